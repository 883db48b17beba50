//! EL2's own faults. Avisor has no way into them, so a debugger leads it astray.

use std::fs;
use std::thread;

use crate::board::Board;
use crate::gdb_client::Debugger;
use crate::image::{self, folder};

const GUEST: u64 = 0x4008_0000;

/// A report with ESR, ELR, FAR and the vCPU that was on, and a failing exit code. ESR: an instruction abort from EL2 itself, for a
/// translation fault, whatever the level.
#[test]
fn jump_to_nowhere() {
    let parts = [
        "AVISOR ERROR: EL2 instruction abort: ESR=0x8600000",
        " ELR=0x8 FAR=0x8 SP=0x",
        "; vCPU 0 of snapshots was on, at 0x40080000",
    ];
    led_astray("jump", |_| 8, &parts);
}

/// An SError of EL2's own is told as such. QEMU has none: the debugger goes to where one leads, the last vector for the current level.
#[test]
fn an_serror_at_el2() {
    let parts = [
        "AVISOR ERROR: EL2 SError: ESR=0x",
        "; vCPU 0 of snapshots was on, at 0x40080000",
    ];
    led_astray("serror", |vectors| vectors + 0x380, &parts);
}

/// Takes a vCPU to EL2, and EL2 to an address that `to` makes of that of the vectors; it must say `parts`.
fn led_astray(name: &'static str, to: fn(u64) -> u64, parts: &[&str]) {
    // b . (for ever); hvc #0
    let code = [0x1400_0000, 0xd400_0002_u32];
    let guest = folder("guests").join(format!("{name}.bin"));
    fs::write(&guest, code.map(u32::to_le_bytes).concat()).expect("the folder is writable");
    let image = image::with_guest(&guest);

    let socket = Debugger::socket(name);
    let stub = format!("-gdb unix:{},server=on,wait=off", socket.display());
    let place = socket.clone();
    let astray = thread::spawn(move || {
        let mut debugger = Debugger::connect(&place);
        debugger.run_until_at(GUEST);
        debugger.set_pc(GUEST + 4);
        debugger.step();
        assert_eq!(debugger.level(), 2, "the hvc leads to EL2's vectors");
        // An exception of AArch64 from a lower level.
        let vectors = debugger.pc() - 0x400;
        debugger.set_pc(to(vectors));
        debugger.go();
    });
    let run = Board::Virt
        .boots(image)
        .set("QEMU_ARGS", &stub)
        .until_it_ends();
    let _ = fs::remove_file(socket);
    astray.join().expect("the debugger did what it had to");

    run.stops_with_failure();
    let report = run.lines.last().map_or("", String::as_str);
    let good = parts.iter().all(|part| report.contains(part));
    run.require(good, &format!("it should have said {parts:?}"));
}
