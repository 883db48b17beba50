//! The board's GICv2 (Arm IHI 0048): kept quiet, as no interrupt of the board has a taker yet.

use crate::arch::aarch64::mmio::Registers;
use crate::arch::tree::Tree;

/// What trees call it.
const COMPATIBLE: [&str; 2] = ["arm,cortex-a15-gic", "arm,gic-400"];

const GICD_CTLR: u64 = 0;
const GICC_CTLR: u64 = 0;
/// Both groups off, and what comes in beside the GIC stays out (IRQBypDisGrp, FIQBypDisGrp): these bits have other places in the
/// Non-secure copy, so all places are written, which are reserved where they mean nothing.
const GICC_OFF: u32 = 0xf << 5;

/// Switches interrupts off for this core and at the source: one that the firmware left pending would make a guest trap for ever, as
/// nobody would take it.
pub fn silence(tree: &Tree) {
    for device in COMPATIBLE.iter().filter_map(|model| tree.compatible(model)) {
        if let Some(registers) = Registers::map(device.base, device.size) {
            registers.write(GICD_CTLR, 0);
        }
        let interface = device.second;
        if let Some(registers) = interface.and_then(|at| Registers::map(at.base, at.size)) {
            registers.write(GICC_CTLR, GICC_OFF);
        }
    }
}
