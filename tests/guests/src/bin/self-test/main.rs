//! Does everything that a snapshot must bring back, and everything that the machine must answer, and says what differs.
//!
//! A group prints one line, `self-test: <group>: PASS`, or `FAIL` with the first difference. Groups that need
//! snapshots are skipped where there are none, so that the rest can be tried on QEMU alone.
//!
//! A test that goes back in time must not forget what it saw: all memory is rolled back, its own notes as well. So
//! what is expected is fixed before the checkpoint; what differs between checkpoint and restore is checked there, and
//! ends the test *without* a restore; and the comparison with the past happens after it.

#![no_std]
#![no_main]
// Registers, page tables and faults are what is tested: nearly all of it is assembly.
#![allow(unsafe_code)]

mod absent;
mod caches;
mod calls;
mod context;
mod debug;
mod el0;
mod fault;
mod load_store;
mod machine;
mod memory;
mod mmu;
mod registers;
mod system;

use avisor_guest::check::{self, Group, Outcome};
use avisor_guest::entry;

const fn machine(name: &'static str, test: fn() -> Outcome) -> Group {
    Group::of_machine(name, test)
}

const fn snapshots(name: &'static str, test: fn() -> Outcome) -> Group {
    Group::of_snapshots(name, test)
}

static GROUPS: &[Group] = &[
    machine("PSCI", machine::psci),
    machine("PL011", machine::pl011),
    machine("absent devices", absent::devices),
    machine("the PCIe bus in the device tree", absent::pcie_node),
    machine("hvc with other immediates", machine::hvc_immediates),
    machine("WFI and WFE", machine::wait),
    machine("exceptions at EL1, MMU off", machine::faults_el1),
    machine("exceptions at EL1, MMU on", || mmu::on(machine::faults_el1)),
    machine("exceptions at EL0, MMU off", el0::faults),
    machine("exceptions at EL0, MMU on", || mmu::on(el0::faults)),
    machine(
        "loads and stores without syndrome at EL1, MMU off",
        load_store::at_el1,
    ),
    machine("loads and stores without syndrome at EL1, MMU on", || {
        mmu::on(load_store::at_el1)
    }),
    machine(
        "loads and stores without syndrome at EL0, MMU off",
        load_store::at_el0,
    ),
    machine("loads and stores without syndrome at EL0, MMU on", || {
        mmu::on(load_store::at_el0)
    }),
    snapshots("OS Lock", debug::os_lock),
    machine("registers of external debuggers", debug::external),
    snapshots("SMC and vendor calls", machine::vendor_calls),
    snapshots("widths of arguments", calls::widths),
    snapshots("ids and errors", calls::ids_and_errors),
    snapshots("the tree", calls::tree),
    snapshots("values and generation", calls::values),
    snapshots("virtual counter", calls::virtual_counter),
    snapshots("PL011 registers", machine::pl011_restored),
    snapshots("registers by hvc #1", registers::plain),
    snapshots("registers by SMCCC", registers::smccc),
    snapshots("registers by hvc #1, restored by SMCCC", registers::mixed),
    snapshots("registers on SP_EL0", registers::on_sp_el0),
    snapshots("registers, MMU on", || mmu::on(registers::plain)),
    snapshots("registers of EL0, MMU off", el0::registers),
    snapshots("registers of EL0, MMU on", || mmu::on(el0::registers)),
    snapshots("pages all over RAM, MMU off", memory::pages),
    snapshots("pages all over RAM, MMU on", || mmu::on(memory::pages)),
    snapshots("one page under two addresses", || mmu::on(memory::aliases)),
    snapshots("code that changes, MMU off", memory::code),
    snapshots("code that changes, MMU on", || mmu::on(memory::code)),
    snapshots("exclusive monitor", || mmu::on(memory::exclusive_monitor)),
    snapshots("MMU off, then on", memory::mmu_switched_on),
    snapshots("caches off and on, by set and way", caches::off_and_on),
    snapshots("MMU on, then off", || mmu::on(memory::mmu_switched_off)),
];

entry!(main);

fn main(_device_tree: usize) -> ! {
    check::run("self-test", GROUPS, || {})
}
