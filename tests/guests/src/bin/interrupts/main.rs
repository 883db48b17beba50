//! The interrupt controller, the timers and the UART's interrupt as one CPU sees them, and what a snapshot keeps of them.
//!
//! As in `self-test`, a group prints one line, `interrupts: <group>: PASS`, or `FAIL` with the first difference, and groups
//! that need snapshots are skipped where there are none. Most groups keep interrupts masked and look at GICC_IAR
//! themselves: so they see each interrupt exactly when they ask. More CPUs may be there; they stay off.

#![no_std]
#![no_main]

mod controller;
mod delivery;
mod falls;
mod lines;
mod priorities;
mod registers;
mod restored;
mod taken;
mod ticks;

use avisor_guest::check::{self, Group, Outcome};
use avisor_guest::entry;

const fn machine(name: &'static str, test: fn() -> Outcome) -> Group {
    Group::of_machine(name, test)
}

const fn snapshots(name: &'static str, test: fn() -> Outcome) -> Group {
    Group::of_snapshots(name, test)
}

static GROUPS: &[Group] = &[
    machine("identification", registers::identification),
    machine("registers", registers::kept),
    machine("past the last interrupt", registers::past_the_last),
    machine("pending and active bits", registers::pending_and_active),
    machine("SGIs", delivery::sgis),
    machine("pending SGIs", delivery::pending_sgis),
    machine("shared interrupts", delivery::shared),
    machine("disabled interrupts", delivery::disabled),
    machine("end and deactivate", delivery::deactivate),
    machine("priorities", priorities::order),
    machine("priority mask", priorities::mask),
    machine("preemption", priorities::preemption),
    machine("more than list registers", priorities::all_at_once),
    machine("more active than list registers", priorities::all_active),
    machine("virtual timer", lines::virtual_timer),
    machine("physical timer", lines::physical_timer),
    machine("UART", lines::uart),
    machine("timers that fall", falls::timers),
    machine("waits that go on", falls::waits),
    machine("active and pending", falls::active_and_pending),
    machine(
        "more deactivated than list registers",
        falls::many_deactivated,
    ),
    machine(
        "nested, with other priorities",
        falls::nested_with_other_priorities,
    ),
    machine("while it runs", taken::while_it_runs),
    machine("WFI", taken::wfi),
    machine("WFI, masked", taken::wfi_masked),
    machine("nested", taken::nested),
    machine("ticks of the virtual timer", ticks::of_the_virtual_timer),
    machine("ticks of the physical timer", ticks::of_the_physical_timer),
    snapshots("registers, restored", restored::registers),
    snapshots("pending interrupts, restored", restored::pending),
    snapshots("active interrupts, restored", restored::active),
    snapshots("nested, restored", restored::nested),
    snapshots("timers, restored", restored::timers),
    snapshots("counters, restored", restored::counters),
    snapshots("UART, restored", restored::uart),
    snapshots("WFI, restored", restored::wfi),
    snapshots("ticks, restored", ticks::restored),
];

entry!(main);

fn main(_device_tree: usize) -> ! {
    check::run("interrupts", GROUPS, controller::reset)
}
