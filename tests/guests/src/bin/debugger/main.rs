//! Debugs `debuggee`: breakpoints, watchpoints, BRK, steps, and a target that fights.

#![no_std]
#![no_main]

mod addresses;
mod session;
mod stepping;
mod stops;

use avisor_guest::check::{Group, run};
use avisor_guest::entry;

entry!(main);

fn main(_device_tree: usize) -> ! {
    run(
        "debugger",
        &[
            Group::of_snapshots("begins", session::begin),
            Group::of_snapshots("refused", stops::refused),
            Group::of_snapshots("breakpoint", stops::breakpoint),
            Group::of_snapshots("watchpoints", stops::watchpoints),
            Group::of_snapshots("BRK", stops::brk),
            Group::of_snapshots("its own registers", stops::own),
            Group::of_snapshots("it fights", stops::fights),
            Group::of_snapshots("snapshots", stops::snapshots),
            Group::of_snapshots("step", stepping::plain),
            Group::of_snapshots("step over what EL2 does", stepping::traps),
            Group::of_snapshots("step into handlers", stepping::handlers),
            Group::of_snapshots("steps of its own", stepping::of_its_own),
            Group::of_snapshots("steps and an interrupt", stepping::interrupted),
            Group::of_snapshots("the other CPU stands", stepping::others),
            Group::of_snapshots("exclusive accesses", stepping::exclusive),
            Group::of_snapshots("its addresses", addresses::translated),
            Group::of_snapshots("virtual memory", addresses::memory),
            Group::of_snapshots("reset", stops::reset),
        ],
        || (),
    )
}
