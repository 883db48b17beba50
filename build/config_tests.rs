//! Good files, and one line for each kind of mistake.

use super::*;

/// The error for a file whose only VM has `lines` in it.
fn error_in_vm(lines: &str) -> String {
    parse(&format!("[[vm]]\nname = \"a\"\nimage = \"b\"\n{lines}\n")).expect_err("must be refused")
}

#[test]
fn what_is_left_out_has_defaults() {
    let config = parse("[[vm]]\nname = \"a\"\nguest = \"snapshots\"\n").unwrap();
    let vm = Vm {
        name: "a".into(),
        guest: Guest::Program("snapshots".into()),
        initrd: None,
        cmdline: None,
        vcpus: 1,
        cores: vec![],
        memory: 128 << 20,
        load_address: None,
        entry: None,
        on_reset: OnReset::Restart,
        checkpoint_every: None,
        time: "Stops",
        pool_capacity: 3,
        accounting: "Reserved",
        controls: vec![],
        controlled_by: None,
        start: "Running",
        uart: "Console",
    };
    assert_eq!(
        config,
        Config {
            log: "Info",
            vms: vec![vm],
            windows: vec![],
        }
    );
}

#[test]
fn every_key_is_read() {
    let text = "log = \"off\"\n[[vm]]\nname = \"vm-1\"\nimage = \"a/b\"\nmemory = \"1G\"\nload_address = 0x4010_0000\nentry = 0x4010_0040\n\
                initrd = \"c d\"\ncmdline = 'console=ttyAMA0 \"x\"'\nvcpus = 8\ncores = [3, 0, 3]\n\
                on_reset = \"restore\"\nreset_tries = 7\ncheckpoint_every = \"10s\"\ntime = \"passes\"\nuart = \"second\"\n\
                [vm.snapshots]\npool_capacity = 1024\naccounting = \"on-demand\"\n";
    let vm = Vm {
        name: "vm-1".into(),
        guest: Guest::Image("a/b".into()),
        initrd: Some("c d".into()),
        cmdline: Some("console=ttyAMA0 \"x\"".into()),
        vcpus: 8,
        cores: vec![3, 0, 3],
        memory: 1 << 30,
        load_address: Some(0x4010_0000),
        entry: Some(0x4010_0040),
        on_reset: OnReset::Restore { tries: 7 },
        checkpoint_every: Some(10_000),
        time: "Passes",
        pool_capacity: 1024,
        accounting: "OnDemand",
        controls: vec![],
        controlled_by: None,
        start: "Running",
        uart: "Second",
    };
    assert_eq!(
        parse(text).unwrap(),
        Config {
            log: "Off",
            vms: vec![vm],
            windows: vec![],
        }
    );
}

#[test]
fn memory_is_whole_blocks_within_bounds() {
    let allowed = "is not allowed; allowed: a multiple of 2M from 2M to 15G, for example \"128M\"";
    for bad in [
        "\"131M\"",
        "\"0M\"",
        "\"66G\"",
        "\"128\"",
        "\"M\"",
        "\"\"",
        "\"128MiB\"",
        "\"é\"",
        "\"99999999999999G\"",
        "128",
    ] {
        assert_eq!(
            error_in_vm(&format!("memory = {bad}")),
            format!("vm[0].memory: {bad} {allowed}")
        );
    }
    for good in ["2M", "2048K", "15G"] {
        assert!(
            parse(&format!(
                "[[vm]]\nname = \"a\"\nimage = \"b\"\nmemory = \"{good}\"\n"
            ))
            .is_ok(),
            "{good}"
        );
    }
}

#[test]
fn a_load_address_lies_in_ram() {
    let allowed =
        "is not allowed; allowed: a multiple of 4K in the VM's RAM, 0x40000000 to 0x47fff000";
    for (bad, shown) in [
        ("0x3fff_f000", "1073737728"),
        ("0x4800_0000", "1207959552"),
        ("0x4000_0800", "1073743872"),
        ("-1", "-1"),
    ] {
        assert_eq!(
            error_in_vm(&format!("load_address = {bad}")),
            format!("vm[0].load_address: {shown} {allowed}")
        );
    }
}

#[test]
fn an_entry_is_an_instruction_in_ram() {
    let allowed =
        "is not allowed; allowed: a multiple of 4 in the VM's RAM, 0x40000000 to 0x47fffffc";
    for (bad, shown) in [
        ("0x3fff_fffc", "1073741820"),
        ("0x4800_0000", "1207959552"),
        ("0x4008_0002", "1074266114"),
        ("-4", "-4"),
        ("\"0x40080000\"", "\"0x40080000\""),
    ] {
        assert_eq!(
            error_in_vm(&format!("entry = {bad}")),
            format!("vm[0].entry: {shown} {allowed}")
        );
    }
}

#[test]
fn unknown_keys_are_refused_in_every_section() {
    assert_eq!(
        parse("lgo = \"info\"\n").unwrap_err(),
        "lgo: unknown key; allowed: log, vm, window"
    );
    let keys = "name, guest, image, initrd, cmdline, vcpus, cores, memory, load_address, entry, on_reset, reset_tries, \
                checkpoint_every, time, controls, start, uart, snapshots";
    assert_eq!(
        error_in_vm("mem = \"1G\""),
        format!("vm[0].mem: unknown key; allowed: {keys}")
    );
    let keys = "pool_capacity, accounting";
    assert_eq!(
        error_in_vm("[vm.snapshots]\npools = 1"),
        format!("vm[0].snapshots.pools: unknown key; allowed: {keys}")
    );
}

#[test]
fn choices_and_numbers_are_checked() {
    let error = parse("log = \"loud\"\n").unwrap_err();
    assert_eq!(
        error,
        "log: \"loud\" is not allowed; allowed: \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\""
    );
    let error = error_in_vm("[vm.snapshots]\naccounting = \"lazy\"");
    assert_eq!(
        error,
        "vm[0].snapshots.accounting: \"lazy\" is not allowed; allowed: \"reserved\", \"on-demand\""
    );
    for bad in ["0", "1025", "-1", "\"3\""] {
        let error = error_in_vm(&format!("[vm.snapshots]\npool_capacity = {bad}"));
        assert_eq!(
            error,
            format!("vm[0].snapshots.pool_capacity: {bad} is not allowed; allowed: 1 to 1024")
        );
    }
    assert_eq!(
        error_in_vm("snapshots = 3"),
        "vm[0].snapshots: 3 is not allowed; allowed: a section of its own"
    );
}

#[test]
fn a_vm_has_a_name_and_one_guest() {
    let parse_vm = |lines: &str| parse(&format!("[[vm]]\n{lines}\n")).unwrap_err();
    assert_eq!(
        parse_vm("image = \"b\""),
        "vm[0].name: missing; allowed: 1 to 15 characters out of a-z, 0-9 and -, but no number and not \"latest\""
    );
    assert!(
        parse_vm("name = \"Debian\"\nimage = \"b\"")
            .starts_with("vm[0].name: \"Debian\" is not allowed; allowed: ")
    );
    assert!(
        parse_vm("name = \"sixteen-letters-\"\nimage = \"b\"")
            .starts_with("vm[0].name: \"sixteen-letters-\" is not")
    );
    assert_eq!(
        parse_vm("name = \"a\""),
        "vm[0]: none of `guest` and `image` given; allowed: exactly one"
    );
    assert_eq!(
        error_in_vm("guest = \"b\""),
        "vm[0]: both of `guest` and `image` given; allowed: exactly one"
    );
    assert!(
        parse_vm("name = \"a\"\nguest = \"../x\"")
            .starts_with("vm[0].guest: \"../x\" is not allowed; allowed: the name")
    );
}

#[test]
fn a_path_is_not_empty() {
    let allowed = "is not allowed; allowed: the path of a file, from the repository's root";
    assert_eq!(
        error_in_vm("initrd = \"\""),
        format!("vm[0].initrd: \"\" {allowed}")
    );
}

#[test]
fn a_command_line_is_one_line() {
    let allowed = "is not allowed; allowed: up to 2047 printable ASCII characters";
    for (bad, shown) in [
        ("\"a\\u0000b\"", "\"a\\u0000b\""),
        ("\"a\\nb\"", "\"\"\" a b\"\"\""),
        ("\"é\"", "\"é\""),
        ("1", "1"),
    ] {
        let error = error_in_vm(&format!("cmdline = {bad}"));
        assert_eq!(error, format!("vm[0].cmdline: {shown} {allowed}"));
    }
    let good = |length| {
        let line = "x".repeat(length);
        parse(&format!(
            "[[vm]]\nname = \"a\"\nimage = \"b\"\ncmdline = \"{line}\"\n"
        ))
        .is_ok()
    };
    assert!(good(0) && good(2047) && !good(2048));
}

#[test]
fn vcpus_are_as_many_as_a_gicv2_serves() {
    for bad in ["0", "9", "-1", "\"2\"", "1.5"] {
        let error = error_in_vm(&format!("vcpus = {bad}"));
        assert_eq!(
            error,
            format!("vm[0].vcpus: {bad} is not allowed; allowed: 1 to 8")
        );
    }
}

#[test]
fn cores_are_numbers_of_cores_and_no_more_than_vcpus() {
    for (bad, shown) in [
        ("0", "0"),
        ("\"0\"", "\"0\""),
        ("[]", "this array"),
        ("[8]", "this array"),
        ("[0, -1]", "this array"),
        ("[0, \"1\"]", "this array"),
    ] {
        let error = error_in_vm(&format!("vcpus = 2\ncores = {bad}"));
        assert_eq!(
            error,
            format!(
                "vm[0].cores: {shown} is not allowed; allowed: a list of cores, numbers from 0 to 7, for example [0, 1]"
            )
        );
    }
    assert_eq!(
        error_in_vm("vcpus = 2\ncores = [0, 1, 2]"),
        "vm[0].cores: 3 cores for 2 vCPUs; allowed: one for each vCPU at the most"
    );
}

#[test]
fn tries_are_for_restores() {
    let vm = |lines: &str| {
        let text = format!("[[vm]]\nname = \"a\"\nimage = \"b\"\n{lines}\n");
        parse(&text).map(|mut config| config.vms.remove(0).on_reset)
    };
    assert_eq!(vm("on_reset = \"restart\""), Ok(OnReset::Restart));
    assert_eq!(
        vm("on_reset = \"restore\""),
        Ok(OnReset::Restore { tries: 3 })
    );
    for lines in ["reset_tries = 3", "on_reset = \"restart\"\nreset_tries = 3"] {
        assert_eq!(
            vm(lines).unwrap_err(),
            "vm[0].reset_tries: without effect; allowed: with `on_reset = \"restore\"`"
        );
    }
    assert_eq!(
        error_in_vm("on_reset = \"restore\"\nreset_tries = 0"),
        "vm[0].reset_tries: 0 is not allowed; allowed: 1 to 1000"
    );
    assert_eq!(
        error_in_vm("on_reset = \"stop\""),
        "vm[0].on_reset: \"stop\" is not allowed; allowed: \"restart\", \"restore\""
    );
}

#[test]
fn periods_have_a_unit() {
    let every = |text: &str| {
        let text = format!("[[vm]]\nname = \"a\"\nimage = \"b\"\ncheckpoint_every = \"{text}\"\n");
        parse(&text).map(|config| config.vms[0].checkpoint_every)
    };
    for (good, milliseconds) in [("10ms", 10), ("10s", 10_000), ("1440m", 86_400_000)] {
        assert_eq!(every(good), Ok(Some(milliseconds)), "{good}");
    }
    let allowed =
        "a number with ms, s or m, from 10ms to 1440m, for example \"500ms\", \"10s\" or \"2m\"";
    for bad in [
        "9ms",
        "1441m",
        "10",
        "s",
        "",
        "-1s",
        "1.5s",
        "1h",
        "99999999999999999999s",
        "9999999999999999999m",
        "é",
    ] {
        assert_eq!(
            every(bad).unwrap_err(),
            format!("vm[0].checkpoint_every: \"{bad}\" is not allowed; allowed: {allowed}")
        );
    }
}

#[test]
fn time_stops_or_passes() {
    assert_eq!(
        error_in_vm("time = \"flies\""),
        "vm[0].time: \"flies\" is not allowed; allowed: \"stops\", \"passes\""
    );
}

#[test]
fn one_to_eight_vms_with_names_of_their_own() {
    assert_eq!(
        parse("").unwrap_err(),
        "vm: there is none; allowed: 1 to 8 [[vm]] sections"
    );
    let vms = |names: &[&str]| {
        let section = |name| format!("[[vm]]\nname = \"{name}\"\nimage = \"b\"\n");
        parse(&names.iter().map(section).collect::<String>())
    };
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let eight = vms(&names[..8]).unwrap().vms;
    assert!(eight.iter().map(|vm| &vm.name).eq(&names[..8]));
    assert_eq!(
        vms(&names).unwrap_err(),
        "vm: there are 9; allowed: 1 to 8 [[vm]] sections"
    );
    assert_eq!(
        vms(&["a", "b", "a"]).unwrap_err(),
        "vm[2].name: \"a\" is the name of vm[0]; allowed: a name of its own"
    );
    assert_eq!(
        parse("vm = [1]\n").unwrap_err(),
        "vm: this array is not allowed; allowed: [[vm]] sections"
    );
}

#[test]
fn bad_toml_is_one_line_with_its_number() {
    let error = parse("log = \"info\"\nvm = = 3\n").unwrap_err();
    assert!(
        error.starts_with("line 2: ") && !error.contains('\n'),
        "{error}"
    );
}

/// To the monitor they mean something else.
#[test]
fn names_that_the_monitor_takes_for_something_else() {
    let named = |name: &str| parse(&format!("[[vm]]\nname = \"{name}\"\nimage = \"b\"\n"));
    for name in ["0", "7", "007", "12345678901", "latest"] {
        assert_eq!(
            named(name).unwrap_err(),
            format!(
                "vm[0].name: \"{name}\" is not allowed; \
                 allowed: 1 to 15 characters out of a-z, 0-9 and -, but no number and not \"latest\""
            )
        );
    }
    for name in [
        "0a",
        "a0",
        "7-",
        "-",
        "late",
        "latest-1",
        "snapshots",
        "vms",
    ] {
        assert!(named(name).is_ok(), "{name}");
    }
}

#[test]
fn a_sign_is_no_digit() {
    for line in [
        "memory = \"+4M\"",
        "memory = \"-4M\"",
        "memory = \"M\"",
        "checkpoint_every = \"+10s\"",
        "checkpoint_every = \"s\"",
    ] {
        let error = error_in_vm(line);
        assert!(error.contains(" is not allowed; allowed: "), "{error}");
    }
}

#[test]
fn an_error_is_one_line_whatever_the_file_says() {
    for text in [
        "\"a\\nb\" = 1",
        "\"a\\r\\u001b[2Jb\" = 1",
        "\"a\\u0085b\\u2028\" = 1",
        "\"a\\nb\" = 1\n\"a\\nb\" = 2",
        "log = \"a\\nb\\u001b\"",
        "log = \"\"\"\na\nb\"\"\"",
        "vm = \"\\n\"",
        "[[vm]]\nname = \"x\\ny\"",
        "[[vm]]\nname = \"x\"\n\"a\\nb\" = 1",
        "[vm]\n\"\n\" = 1",
    ] {
        let error = parse(text).expect_err("must be refused");
        let breaks = |c: char| c.is_control() || c == '\u{2028}';
        assert!(!error.contains(breaks), "{error:?}");
    }
}
