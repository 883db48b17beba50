//! What the board may differ in: CPU, cores, memory. And guests whose RAM is large.

use crate::board::Board;
use crate::guests::{FIRST_POOL, WITHOUT_THE_FIRST};
use crate::image;
use crate::self_test::check_self_test;

/// A CPU with much that the cortex-a72 has not: pointer authentication, SVE, 16-bit VMIDs, ...
#[test]
fn self_test_on_cpu_max() {
    self_test_on("max");
}

#[test]
fn self_test_on_cpu_neoverse_n1() {
    self_test_on("neoverse-n1");
}

/// A core that says it is the Raspberry Pi's, and has not its registers: what an erratum asks for is undefined at EL2, on each of the cores.
#[test]
fn self_test_where_an_erratum_is_not_el2s_to_mend() {
    self_test_on("neoverse-n1,midr=0x410fd083");
}

fn self_test_on(cpu: &str) {
    let image = image::with_config("tests/configs/self-test.toml");
    let run = Board::Virt
        .boots(image)
        .set("QEMU_ARGS", &format!("-cpu {cpu}"));
    check_self_test(&run.until_it_ends());
}

/// No core but the one that the board starts with. (All boards have four otherwise.)
#[test]
fn one_core() {
    let image = image::with_config("tests/configs/self-test.toml");
    check_self_test(&Board::Virt.boots(image).set("SMP", "1").until_it_ends());
}

/// A guest of 128 MiB and one pool of three snapshots of it need 512 MiB, and some.
#[test]
fn memory_for_one_pool() {
    let image = image::with_config("configs/default.toml");
    let run = Board::Virt.boots(image).set("MEM", "544M").until_it_ends();
    run.succeeds(&[FIRST_POOL, WITHOUT_THE_FIRST].concat());
}

/// With ten pools of three the guest goes round nine times before its #1 is gone.
#[test]
fn memory_for_ten_pools() {
    let image = image::with_config("configs/default.toml");
    let run = Board::Virt.boots(image).set("MEM", "4G").until_it_ends();
    run.powers_off();
    let pools = run.count("AVISOR INFO: new snapshot pool size: 384MB");
    run.require(pools == 11, "it should make eleven pools");
    run.require(run.count("AVISOR INFO: freed ") == 1, "one pool should go");
    run.require(run.count("restore of #1 was refused") == 1, "it should end");
}

/// The hypervisor alone, without what its image carries for it.
#[test]
fn image_below_348_kib() {
    let guest = image::guest_program("snapshots");
    let size = |path| std::fs::metadata(path).expect("it was just built").len();
    let own = size(image::with_guest(&guest)) - size(guest);
    assert!(own < 348 << 10, "{own} bytes");
}

#[test]
fn guest_of_1_gib() {
    large_guest("tests/configs/ram-1g.toml", "2G", 1024);
}

#[test]
fn guest_of_4_gib() {
    large_guest("tests/configs/ram-4g.toml", "6G", 4096);
}

fn large_guest(config: &str, board_memory: &str, mib: u64) {
    let image = image::with_config(config);
    let run = Board::Virt
        .boots(image)
        .set("MEM", board_memory)
        .until_it_ends();
    run.succeeds(&format!(
        "AVISOR INFO: {{banner}}
         AVISOR INFO: ram: {mib} MiB of RAM, Elf image, entered at 0x40080000
         ram: {mib} MiB
         ram: zero at the start: true
         AVISOR INFO: new snapshot pool size: {}MB
         ram: as it was after a restore: true
         AVISOR INFO: ram: off",
        3 * mib
    ));
}
