//! EL2's own faults. Avisor has no way into them, so a debugger leads it astray.

use std::fs;
use std::thread;

use crate::board::Board;
use crate::debugger::Debugger;
use crate::image::{self, folder};

const GUEST: u64 = 0x4008_0000;

/// A report with ESR, ELR, FAR and the vCPU that was on, and a failing exit code.
#[test]
fn jump_to_nowhere() {
    // b . (for ever); hvc #0
    let code = [0x1400_0000, 0xd400_0002_u32];
    let guest = folder("guests").join("b-hvc.bin");
    fs::write(&guest, code.map(u32::to_le_bytes).concat()).expect("the folder is writable");
    let image = image::with_guest(&guest);

    let socket = Debugger::socket("jump");
    let stub = format!("-gdb unix:{},server=on,wait=off", socket.display());
    let place = socket.clone();
    let astray = thread::spawn(move || {
        let mut debugger = Debugger::connect(&place);
        debugger.run_until_at(GUEST);
        debugger.set_pc(GUEST + 4);
        debugger.step();
        assert_eq!(debugger.level(), 2, "the hvc leads to EL2's vectors");
        debugger.set_pc(8);
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
    // ESR: an instruction abort from EL2 itself, for a translation fault, whatever the level.
    let parts = [
        "AVISOR ERROR: EL2 instruction abort: ESR=0x8600000",
        " ELR=0x8 FAR=0x8 SP=0x",
        "; vCPU 0 of snapshots was on, at 0x40080000",
    ];
    let good = parts.iter().all(|part| report.contains(part));
    run.require(good, &format!("it should have said {parts:?}"));
}
