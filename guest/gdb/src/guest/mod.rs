//! What runs on Avisor.

mod line;
mod vm;

use alloc::vec::Vec;

use avisor_gdb::debugger::Debugger;
use avisor_gdb::stub::{Next, Stub};
use avisor_gdb::vm::Vm;
use avisor_guest::device_tree::DeviceTree;
use avisor_guest::timer::{self, Timer};
use avisor_guest::{entry, exception, gic, mmu, power_off};

use line::Line;
use vm::Controlled;

entry!(main);

/// How often VMs that nobody debugs are looked after, in microseconds.
const ALARM: u64 = 100_000;

/// The interrupts that there are: the line's, the alarm's, and the one by which this VM interrupts itself.
const INTERRUPTS: usize = 3;

fn main(device_tree: usize) -> ! {
    mmu::enable();
    let tree = DeviceTree::at(device_tree);
    let initrd = tree.and_then(|tree| tree.initrd());
    // SAFETY: this is the only call; there is one CPU, interrupts are masked, and RAM behind the image up to there is nobody's.
    unsafe { avisor_heap::start(device_tree, initrd.map(|(start, _)| start)) };
    let line = tree.map_or("", |tree| tree.command_line());
    let vms = controlled(avisor_gdb::vm::names(line));
    if !vms.is_empty() {
        serve(Stub::new(Debugger::new(vms)));
    }
    power_off()
}

/// The VMs in `controls`, with their names, which the command line has in the same order.
fn controlled<'a>(mut names: impl Iterator<Item = &'a str>) -> Vec<Vm<Controlled>> {
    let machines = (0..).map_while(Controlled::find);
    machines
        .map(|machine| Vm::new(names.next().unwrap_or("?"), machine))
        .collect()
}

/// Goes on until all VMs are off, and nobody debugs them. No interrupt is ever taken: those that are pending end waits.
fn serve(mut stub: Stub<Controlled>) {
    let line = Line::open();
    gic::enable();
    gic::enable_cpu();
    gic::enable_interrupt(Timer::Virtual.intid());
    let mut next = Next::Turn;
    loop {
        let mut is_quiet = true;
        while let Some(byte) = line.receive() {
            stub.byte(byte);
            is_quiet = false;
        }
        line.send(&stub.output());
        // What is level-sensitive and still there is pending again at once: the line, if more came meanwhile, is looked at in the next round.
        for _ in 0..INTERRUPTS {
            end_one();
        }
        if stub.needs_alarm() {
            let due = Timer::Virtual.count() + timer::microseconds(ALARM);
            Timer::Virtual.start(due);
        } else {
            Timer::Virtual.stop();
        }
        if next == Next::Wait && is_quiet {
            exception::wait_for_interrupt();
        }
        next = stub.turn();
        line.send(&stub.output());
        if next == Next::End {
            return;
        }
    }
}

/// Takes an interrupt that is pending, if there is one, and ends it.
fn end_one() {
    let acknowledged = gic::acknowledge();
    // From 1020 on they are no interrupts.
    if acknowledged & 0x3ff < 1020 {
        gic::end(acknowledged);
    }
}
