//! A tree made by `vm-fdt`, asked what the boards ask.

use super::*;
use std::vec::Vec;
use vm_fdt::{FdtReserveEntry, FdtWriter, FdtWriterResult};

/// A board with the Raspberry Pi's peculiarities: a bus with ranges, a console that is not the first serial port,
/// a spin table, memory in two banks, all three kinds of reservations.
pub fn board() -> Vec<u8> {
    write_board().expect("a tree")
}

fn write_board() -> FdtWriterResult<Vec<u8>> {
    let mut tree = FdtWriter::new_with_mem_reserv(&[FdtReserveEntry::new(0, 0x1000)?])?;
    let root = tree.begin_node("")?;
    tree.property_string("model", "Test Board")?;
    tree.property_u32("#address-cells", 2)?;
    tree.property_u32("#size-cells", 1)?;
    let aliases = tree.begin_node("aliases")?;
    tree.property_string("serial0", "/soc/serial@7e201000")?;
    tree.property_string("serial1", "/soc/serial@7e215040")?;
    tree.end_node(aliases)?;
    let chosen = tree.begin_node("chosen")?;
    tree.property_string("stdout-path", "serial1:115200n8")?;
    tree.property_string("bootargs", "one two")?;
    tree.property("rng-seed", b"random")?;
    tree.end_node(chosen)?;
    let reserved = tree.begin_node("reserved-memory")?;
    tree.property_u32("#address-cells", 2)?;
    tree.property_u32("#size-cells", 1)?;
    for (name, reg, no_map) in [
        ("a@8000000", [0, 0x800_0000, 0x1000], false),
        ("b@9000000", [0, 0x900_0000, 0x2000], true),
    ] {
        let node = tree.begin_node(name)?;
        tree.property_array_u32("reg", &reg)?;
        if no_map {
            tree.property_null("no-map")?;
        }
        tree.end_node(node)?;
    }
    let pool = tree.begin_node("linux,cma")?;
    tree.property_u32("size", 0x400_0000)?;
    tree.end_node(pool)?;
    tree.end_node(reserved)?;
    let memory = tree.begin_node("memory@0")?;
    tree.property_string("device_type", "memory")?;
    tree.property_array_u32("reg", &[0, 0, 0x3c00_0000, 1, 0x4000_0000, 0x8000_0000])?;
    tree.end_node(memory)?;
    write_soc(&mut tree)?;
    let cpus = tree.begin_node("cpus")?;
    for (number, method, status) in [
        (0, "spin-table", "okay"),
        (1, "spin-table", "disabled"),
        (0x100, "psci", "okay"),
        (2, "spin-table", "fail-test"),
        (3, "brcm,bcm2836-smp", "okay"),
    ] {
        let cpu = tree.begin_node(&std::format!("cpu@{number:x}"))?;
        tree.property_string("device_type", "cpu")?;
        tree.property_u32("reg", number)?;
        tree.property_string("status", status)?;
        tree.property_string("enable-method", method)?;
        if method == "spin-table" {
            tree.property_u64("cpu-release-addr", 0xd8 + 8 * u64::from(number))?;
        }
        tree.end_node(cpu)?;
    }
    let cache = tree.begin_node("l2-cache")?;
    tree.property_string("device_type", "cache")?;
    tree.property_u32("reg", 9)?;
    tree.end_node(cache)?;
    tree.end_node(cpus)?;
    tree.end_node(root)?;
    tree.finish()
}

fn write_soc(tree: &mut FdtWriter) -> FdtWriterResult<()> {
    let soc = tree.begin_node("soc")?;
    tree.property_u32("#address-cells", 1)?;
    tree.property_u32("#size-cells", 1)?;
    let ranges = [
        0x7e00_0000,
        0,
        0xfe00_0000,
        0x180_0000,
        0x4000_0000,
        0,
        0xff80_0000,
        0x80_0000,
    ];
    tree.property_array_u32("ranges", &ranges)?;
    for (name, model, base, status) in [
        ("serial@7e201400", "arm,pl011", 0x7e20_1400, "disabled"),
        ("serial@7e201000", "arm,pl011", 0x7e20_1000, "okay"),
        (
            "serial@7e215040",
            "brcm,bcm2835-aux-uart",
            0x7e21_5040,
            "okay",
        ),
        ("gic@40041000", "arm,gic-400", 0x4004_1000, "okay"),
        ("lost@10", "lost", 0x10, "okay"),
    ] {
        let device = tree.begin_node(name)?;
        tree.property_string_list(
            "compatible",
            [model, "arm,primecell"].map(Into::into).to_vec(),
        )?;
        if model == "arm,gic-400" {
            tree.property_array_u32(
                "reg",
                &[base, 0x1000, 0x4004_2000, 0x2000, 0x4004_4000, 0x2000],
            )?;
        } else {
            tree.property_array_u32("reg", &[base, 0x200])?;
        }
        tree.property_string("status", status)?;
        // The console's clock is fixed, the other UART's is not.
        match base {
            0x7e20_1000 => {
                tree.property_array_u32("clocks", &[7, 7])?;
                tree.property_array_u32("interrupts", &[0, 121, 4])?;
            }
            0x7e21_5040 => {
                tree.property_array_u32("clocks", &[8, 19])?;
                tree.property_array_u32("interrupts", &[1, 9, 4])?;
            }
            _ => {}
        }
        tree.end_node(device)?;
    }
    for (name, model, phandle) in [
        ("osc", "fixed-clock", 7),
        ("cprman", "brcm,bcm2711-cprman", 8),
    ] {
        let clock = tree.begin_node(name)?;
        tree.property_string("compatible", model)?;
        tree.property_phandle(phandle)?;
        tree.property_u32("clock-frequency", 54_000_000)?;
        tree.end_node(clock)?;
    }
    tree.end_node(soc)
}

fn at(device: Option<Device>) -> Option<(u64, u64)> {
    device.map(|device| (device.base, device.size))
}

#[test]
fn devices_are_found_at_their_physical_addresses() {
    let bytes = board();
    let tree = Tree::new(&bytes).unwrap();
    let uart = Some((0xfe20_1000, 0x200));
    assert_eq!(at(tree.find_referenced("/aliases", "serial0")), uart);
    assert_eq!(
        at(tree.find_compatible("arm,pl011")),
        uart,
        "the first one is disabled"
    );
    assert_eq!(
        at(tree.find_referenced("/chosen", "stdout-path")),
        Some((0xfe21_5040, 0x200))
    );
    let gic = tree.find_compatible("arm,gic-400");
    let regions = [0, 1, 2, 3, 4].map(|index| {
        let region = gic.as_ref()?.registers(index)?;
        Some((region.base, region.size))
    });
    assert_eq!(
        regions,
        [
            Some((0xff84_1000, 0x1000)),
            Some((0xff84_2000, 0x2000)),
            Some((0xff84_4000, 0x2000)),
            None,
            None
        ]
    );
    assert_eq!(
        at(tree.device("/soc/serial")),
        Some((0xfe20_1400, 0x200)),
        "the first of the name"
    );
    assert_eq!(
        at(tree.find_compatible("lost")),
        None,
        "no range leads there"
    );
    assert_eq!(at(tree.find_referenced("/aliases", "serial2")), None);
    assert_eq!(at(tree.device("/soc/nobody@0")), None);
}

#[test]
fn only_a_fixed_clock_has_a_rate_that_the_tree_knows() {
    let bytes = board();
    let tree = Tree::new(&bytes).unwrap();
    for (model, rate) in [
        ("arm,pl011", Some(54_000_000)),
        ("brcm,bcm2835-aux-uart", None),
        ("arm,gic-400", None),
    ] {
        assert_eq!(
            tree.fixed_clock(&tree.find_compatible(model).unwrap()),
            rate
        );
    }
}

#[test]
fn strings_of_the_board() {
    let bytes = board();
    let tree = Tree::new(&bytes).unwrap();
    assert_eq!(
        (tree.model(), tree.bootargs(), tree.psci_method()),
        ("Test Board", "one two", None)
    );
    assert_eq!(tree.rng_seed(), b"random");
}

#[test]
fn memory_and_what_is_reserved_of_it() {
    let bytes = board();
    let tree = Tree::new(&bytes).unwrap();
    let (mut memory, mut reserved) = (Vec::new(), Vec::new());
    tree.each_memory(|bank| memory.push((bank.base, bank.size)));
    tree.each_reserved(|region, no_map| reserved.push((region.base, region.size, no_map)));
    assert_eq!(memory, [(0, 0x3c00_0000), (0x1_4000_0000, 0x8000_0000)]);
    assert_eq!(
        reserved,
        [
            (0, 0x1000, false),
            (0x800_0000, 0x1000, false),
            (0x900_0000, 0x2000, true)
        ]
    );
}

#[test]
fn cores_and_how_they_are_started() {
    let bytes = board();
    let mut cores = Vec::new();
    Tree::new(&bytes)
        .unwrap()
        .each_core(|core| cores.push((core.affinity, core.start)));
    assert_eq!(
        cores,
        [
            (0, Start::SpinTable(0xd8)),
            (1, Start::SpinTable(0xe0)),
            (0x100, Start::Psci),
            (3, Start::Unknown),
        ],
        "the cache is no core, and one core is broken"
    );
}

#[test]
fn an_interrupt_counts_from_the_first_shared_one() {
    let bytes = board();
    let tree = Tree::new(&bytes).unwrap();
    for (model, interrupt) in [
        ("arm,pl011", Some(32 + 121)),
        // A private one.
        ("brcm,bcm2835-aux-uart", None),
        // None.
        ("arm,gic-400", None),
    ] {
        assert_eq!(
            tree.shared_interrupt(&tree.find_compatible(model).unwrap()),
            interrupt
        );
    }
}

#[test]
fn what_is_no_tree_is_refused() {
    assert!(Tree::new(&[0; 64]).is_err());
    assert!(Tree::new(&board()[..200]).is_err());
}
