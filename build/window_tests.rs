//! Windows, and one line for each kind of mistake with them.

use super::super::parse;
use super::Window;

/// The windows of a file with three VMs and `lines`.
fn windows(lines: &str) -> Result<Vec<Window>, String> {
    let vm = |name| format!("[[vm]]\nname = \"{name}\"\nimage = \"i\"\n");
    let text: String = ["a", "b", "c"].map(vm).concat();
    parse(&(text + lines)).map(|config| config.windows)
}

/// What is wrong with a window that has `lines` besides what it needs.
fn error(lines: &str) -> String {
    let needed = [("name", "\"w\""), ("size", "\"4K\""), ("vms", "[\"a\"]")];
    let left_out = needed
        .iter()
        .filter(|(key, _)| !lines.contains(&format!("{key} =")));
    let rest: String = left_out
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    windows(&format!("[[window]]\n{rest}{lines}\n")).expect_err("must be refused")
}

#[test]
fn windows_have_a_name_a_size_and_vms() {
    let text = "[[window]]\nname = \"x\"\nsize = \"4K\"\nvms = [\"a\"]\n\
                [[window]]\nname = \"to-b-2\"\nsize = \"2M\"\nvms = [\"c\", \"b\"]\n";
    let expected = [("x", 4 << 10, vec![0]), ("to-b-2", 2 << 20, vec![2, 1])];
    let window = |(name, size, vms): (&str, u64, Vec<usize>)| Window {
        name: name.into(),
        size,
        vms,
    };
    assert_eq!(windows(text), Ok(expected.map(window).into()));
    assert_eq!(windows(""), Ok(vec![]));
}

#[test]
fn each_key_must_be_there() {
    for (key, allowed) in [
        (
            "name",
            "1 to 15 characters out of a-z, 0-9 and -, the first of them a letter",
        ),
        (
            "size",
            "a multiple of 4K from 4K to 2M, for example \"64K\"",
        ),
        ("vms", "a list of names of VMs, for example [\"a\", \"b\"]"),
    ] {
        let keys = ["name = \"w\"", "size = \"4K\"", "vms = [\"a\"]"];
        let rest = keys.into_iter().filter(|line| !line.starts_with(key));
        let text = format!("[[window]]\n{}\n", rest.collect::<Vec<_>>().join("\n"));
        let error = windows(&text).expect_err(key);
        assert_eq!(
            error,
            format!("window[0].{key}: missing; allowed: {allowed}")
        );
    }
}

#[test]
fn a_name_is_one_of_a_node() {
    for name in ["", "0a", "-a", "A", "a_b", "a@4", "sixteen-letters-"] {
        let allowed = "1 to 15 characters out of a-z, 0-9 and -, the first of them a letter";
        assert_eq!(
            error(&format!("name = \"{name}\"")),
            format!("window[0].name: \"{name}\" is not allowed; allowed: {allowed}")
        );
    }
}

#[test]
fn a_size_is_whole_pages_up_to_a_block() {
    for bad in [
        "\"0K\"",
        "\"3K\"",
        "\"6K\"",
        "\"2052K\"",
        "\"4M\"",
        "\"4096\"",
        "4096",
    ] {
        assert_eq!(
            error(&format!("size = {bad}")),
            format!(
                "window[0].size: {bad} is not allowed; allowed: a multiple of 4K from 4K to 2M, for example \"64K\""
            )
        );
    }
}

#[test]
fn vms_are_named_once() {
    for bad in ["\"a\"", "0"] {
        assert_eq!(
            error(&format!("vms = {bad}")),
            format!(
                "window[0].vms: {bad} is not allowed; allowed: a list of names of VMs, for example [\"a\", \"b\"]"
            )
        );
    }
    for bad in ["[]", "[1]", "[\"a\", [\"b\"]]"] {
        assert_eq!(
            error(&format!("vms = {bad}")),
            "window[0].vms: this array is not allowed; allowed: a list of names of VMs, for example [\"a\", \"b\"]"
        );
    }
    assert_eq!(
        error("vms = [\"a\", \"d\\n\"]"),
        "window[0].vms: there is no VM \"d\\n\"; allowed: \"a\", \"b\", \"c\""
    );
    assert_eq!(
        error("vms = [\"a\", \"c\", \"a\"]"),
        "window[0].vms: \"a\" is there twice; allowed: each VM once"
    );
}

#[test]
fn unknown_keys_and_too_many_windows_are_refused() {
    assert_eq!(
        error("ipa = 0"),
        "window[0].ipa: unknown key; allowed: name, size, vms"
    );
    let many = |count: usize| {
        let window = |i| format!("[[window]]\nname = \"w{i}\"\nsize = \"4K\"\nvms = [\"a\"]\n");
        windows(&(0..count).map(window).collect::<String>())
    };
    assert_eq!(many(8).map(|windows| windows.len()), Ok(8));
    assert_eq!(
        many(9).unwrap_err(),
        "window: there are 9; allowed: up to 8 [[window]] sections"
    );
    let twice = "[[window]]\nname = \"w\"\nsize = \"4K\"\nvms = [\"a\"]\n".repeat(2);
    assert_eq!(
        windows(&twice).unwrap_err(),
        "window[1].name: \"w\" is the name of window[0]; allowed: a name of its own"
    );
    assert_eq!(
        parse("window = 1\n[[vm]]\nname = \"a\"\nimage = \"i\"\n").unwrap_err(),
        "window: 1 is not allowed; allowed: [[window]] sections"
    );
}
