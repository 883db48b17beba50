//! Tests of the GIC: its registers one by one, its delivery in known situations, and both at random against a GIC that has
//! no list registers.

mod delivery;
mod hardware;
mod list_registers;
mod random;
mod reference;
mod registers;
mod timer;
mod world;

use super::*;
use hardware::{Hardware, SPURIOUS};

/// An SPI with a level-sensitive line.
const UART_INTID: u32 = 33;

/// The guest writes GICC_DIR on vCPU 0, whose interrupts are those that are in flight.
fn deactivate(gic: &mut Gic, hardware: &mut Hardware, value: u32) {
    assert!(hardware.cpu_interface().eoi_mode());
    if gic.deactivation_scope(0, value) != LrScope::None {
        gic.sync(0, hardware);
    }
    gic.deactivate(0, value);
    gic.flush(0, hardware);
}

/// A GIC with everything on, as a kernel sets it up, all priorities 0xa0.
fn ready(vcpus: usize) -> Gic {
    let mut gic = Gic::new(vcpus);
    for vcpu in 0..vcpus {
        gic.write(vcpu, 0x100, 4, 0xffff_ffff);
        for word in 0..8 {
            gic.write(vcpu, 0x400 + 4 * word, 4, 0xa0a0_a0a0);
        }
    }
    for word in 8..16 {
        gic.write(0, 0x400 + 4 * word, 4, 0xa0a0_a0a0);
        gic.write(0, 0x800 + 4 * word, 4, 0x0101_0101);
    }
    gic.write(0, 0x104, 4, 0xffff_ffff);
    gic.write(0, 0, 4, 3);
    gic
}

/// INTIDs in list registers, in order.
fn listed(hardware: &Hardware) -> std::vec::Vec<u32> {
    let pending = hardware.lists.iter().filter(|r| r.is_pending());
    let mut intids: std::vec::Vec<_> = pending.map(|r| r.intid()).collect();
    intids.sort();
    intids
}
