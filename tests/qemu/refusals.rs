//! What cannot be run: one clear line, and a failing exit code.

use std::fs;
use std::path::Path;

use crate::board::Board;
use crate::image::{self, folder};
use crate::on_both_boards;
use crate::run::plain_qemu;

on_both_boards!(guest_too_large);

const WRONG_LEVEL: &str = "Avisor needs EL2: under QEMU, run it with -M virt,virtualization=on; on a board, have the firmware enter it at EL2";
const REMEDY: &str = "give the machine more, or the VM less `memory`, a smaller `pool_capacity` or `accounting = \"on-demand\"`";

#[test]
fn started_at_el1() {
    let image = image::with_config("configs/default.toml");
    let run = Board::Virt
        .boots(image)
        .set("QEMU_ARGS", "-M virtualization=off")
        .until_it_ends();
    run.fails(&format!("AVISOR ERROR: started at EL1; {WRONG_LEVEL}"));
}

/// No boot loader enters a kernel there, so a stub plays one. Nobody can end the run at EL3, without firmware.
#[test]
fn started_at_el3() {
    let image = image::with_config("configs/default.toml");
    let stub = folder("guests").join("el3-stub.bin");
    // mov x0, #0x40000000 (the device tree); mov x1, #0x40200000 (the image); br x1
    let code = [0xd2a8_0000, 0xd2a8_0401, 0xd61f_0020_u32];
    fs::write(&stub, code.map(u32::to_le_bytes).concat()).expect("the folder is writable");
    let loader = |file: &Path, rest: &str| {
        format!("-device loader,force-raw=on,file={},{rest}", file.display())
    };
    let run = plain_qemu()
        .arguments("-M virt,virtualization=on,secure=on,gic-version=2 -cpu cortex-a72 -m 1G")
        .arguments(&loader(&image, "addr=0x40200000"))
        .arguments(&loader(&stub, "addr=0x40100000,cpu-num=0"))
        .until_lines(1);
    run.goes_on(&format!("AVISOR ERROR: started at EL3; {WRONG_LEVEL}"));
}

/// The guest alone would fit, but its first pool would not.
#[test]
fn too_little_memory_for_a_pool() {
    let image = image::with_config("configs/default.toml");
    let run = Board::Virt.boots(image).set("MEM", "512M").until_it_ends();
    run.fails(&format!(
        "AVISOR INFO: {{banner}}
         AVISOR ERROR: snapshots: it needs {{n}} MiB of memory, and {{n}} MiB are free: {REMEDY}"
    ));
}

/// On a machine on which hardly anything fits.
#[test]
fn too_little_memory_for_anything() {
    let image = image::with_config("configs/snapshots-on-demand.toml");
    let run = Board::Virt.boots(image).set("MEM", "32M").until_it_ends();
    run.fails(&format!(
        "AVISOR INFO: {{banner}}
         AVISOR ERROR: snapshots: it needs {{n}} MiB of memory, and {{n}} MiB are free: {REMEDY}"
    ));
}

/// `cores` names a core that only larger machines have.
#[test]
fn a_core_that_the_machine_has_not() {
    let boots = |cores: &str| {
        let run = Board::Virt.boots(image::with_config("tests/configs/cores.toml"));
        run.set("SMP", cores).until_it_ends()
    };
    boots("2").powers_off();
    boots("1").fails(
        "AVISOR INFO: {banner}
         AVISOR ERROR: hello: `cores` names core 1, and the machine's last is core 0",
    );
}

/// Its bookkeeping alone would take much of the board's memory.
fn guest_too_large(board: Board) {
    let run = board
        .boots(image::with_config("tests/configs/ram-4g.toml"))
        .until_it_ends();
    run.fails(&format!(
        "AVISOR INFO: {{banner}}
         AVISOR ERROR: ram: it needs {{n}} MiB of memory, and {{n}} MiB are free: {REMEDY}"
    ));
}

/// The build says which file, which key, what is there and what is allowed. Every mistake has a test of its own beside
/// `build/config.rs`.
#[test]
fn bad_configuration() {
    image::build_says(
        "tests/configs/bad.toml",
        Path::new(""),
        "tests/configs/bad.toml: vm[0].memory: \"131M\" is not allowed; \
         allowed: a multiple of 2M from 2M to 15G, for example \"128M\"",
    );
}

/// What `make run` asks before it builds.
#[test]
fn bad_machine() {
    for (board, name, value, why) in [
        (
            Board::Virt,
            "SMP",
            "9",
            "SMP=9 is not allowed; allowed: 1 to 8, as many CPUs as a GICv2 serves",
        ),
        (
            Board::Virt,
            "MEM",
            "banana",
            "MEM=banana is not allowed; allowed: a number with M or G, for example 1G",
        ),
        (
            Board::Rpi4,
            "MEM",
            "1G",
            "MEM=1G is not allowed with BOARD=rpi4: QEMU's Raspberry Pi has 2G; leave MEM out",
        ),
    ] {
        let run = board.boots("--check".into()).set(name, value);
        let run = run.until_it_ends();
        run.stops_with_failure();
        run.require(run.errors == format!("tools/qemu: {why}\n"), why);
    }
    let good = Board::Virt.boots("--check".into()).set("MEM", "544M");
    good.until_it_ends().succeeds("");
}

/// A key that would do nothing is refused.
#[test]
fn load_address_of_a_program() {
    let file = "tests/configs/load-address.toml";
    let why = "a raw binary has one, but `guest = \"snapshots\"` names a program; allowed: with `image`, or with GUEST";
    let line = format!("{file}: vm[0].load_address: {why}");
    image::build_says(file, Path::new(""), &line);
}

/// A file that is not in the repository, as somebody else's, is made by a command.
#[test]
fn linux_that_is_not_made() {
    let file = "tests/configs/no-linux.toml";
    let why = "\"target/linux/no-such-file\" is not there: run `make linux`, which makes it";
    image::build_says(file, Path::new(""), &format!("{file}: vm[0].initrd: {why}"));
}

#[test]
fn configuration_that_is_no_file() {
    let configs = fs::read_dir(Path::new(image::ROOT).join("configs")).expect("it is there");
    let mut names: Vec<_> = configs
        .map(|file| file.expect("readable").file_name())
        .map(|name| format!("configs/{}", name.display()))
        .collect();
    names.sort();
    let allowed = format!("allowed: {}, or a file of your own", names.join(", "));
    for (config, why) in [
        ("no/such.toml", "is not there"),
        ("configs", "is a directory"),
    ] {
        let line = format!("CONFIG: {config:?} {why}; {allowed}");
        image::build_says(config, Path::new(""), &line);
    }
}
