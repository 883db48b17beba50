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
        memory: 128 << 20,
        load_address: None,
        pool_capacity: 3,
        accounting: "Reserved",
    };
    assert_eq!(
        config,
        Config {
            log: "Info",
            vms: vec![vm]
        }
    );
}

#[test]
fn every_key_is_read() {
    let text = "log = \"off\"\n[[vm]]\nname = \"vm-1\"\nimage = \"a/b\"\nmemory = \"1G\"\nload_address = 0x4010_0000\n\
                [vm.snapshots]\npool_capacity = 1024\naccounting = \"on-demand\"\n";
    let vm = Vm {
        name: "vm-1".into(),
        guest: Guest::Image("a/b".into()),
        memory: 1 << 30,
        load_address: Some(0x4010_0000),
        pool_capacity: 1024,
        accounting: "OnDemand",
    };
    assert_eq!(
        parse(text).unwrap(),
        Config {
            log: "Off",
            vms: vec![vm]
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
fn unknown_keys_are_refused_in_every_section() {
    assert_eq!(
        parse("lgo = \"info\"\n").unwrap_err(),
        "lgo: unknown key; allowed: log, vm"
    );
    let keys = "name, guest, image, memory, load_address, snapshots";
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
        "vm[0].name: missing; allowed: 1 to 15 characters out of a-z, 0-9 and -"
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
fn one_vm_runs() {
    assert_eq!(
        parse("").unwrap_err(),
        "vm: there is none; allowed: one [[vm]] section"
    );
    let two = "[[vm]]\nname = \"a\"\nimage = \"b\"\n[[vm]]\nname = \"c\"\nimage = \"d\"\n";
    assert_eq!(
        parse(two).unwrap_err(),
        "vm: there are 2; allowed: one [[vm]] section, as one VM runs for now"
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
