//! Whether the GIC took what was written. To the Non-secure state the registers of an interrupt in Group 0 read as zero and ignore writes
//! (IHI 0048B, 4.1.2 and 4.3), so that firmware which leaves interrupts there makes them silent.

use super::{
    ALARM, GICC_CTLR, GICC_ENABLE, GICC_EOI_MODE, GICC_PMR, GICD_CTLR, GICD_IPRIORITYR,
    GICD_ISENABLER, Gic, KICK, MAINTENANCE, PRIORITIES, PRIVATE_ENABLED, VIRTUAL_TIMER,
};
use crate::board::readback::{Ignored, check};

/// The bits that priorities have in every GIC, seen from either state, of the four private interrupts that are used.
const FIRST_PRIORITIES: u32 = 0x0000_00f0;
const LAST_PRIORITIES: u32 = 0xf0f0_f000;
const _: () =
    assert!(KICK == 0 && MAINTENANCE / 4 == 6 && ALARM / 4 == 6 && VIRTUAL_TIMER / 4 == 6);

impl Gic {
    /// The distributor, and `console`, if that is an interrupt that there is.
    pub(super) fn check_distributor(&self, console: Option<u32>) -> Result<(), Ignored> {
        let gicd = self.distributor;
        check("GICD_CTLR", 1, 1, gicd.read(GICD_CTLR))?;
        let Some(id) = console.map(u64::from) else {
            return Ok(());
        };
        let enabled = gicd.read(GICD_ISENABLER + id / 32 * 4);
        check("GICD_ISENABLER", 1 << (id % 32), u32::MAX, enabled)?;
        let priorities = gicd.read(GICD_IPRIORITYR + id / 4 * 4);
        check(
            "GICD_IPRIORITYR",
            0xf0 << (8 * (id % 4)),
            PRIORITIES,
            priorities,
        )
    }

    /// What this core has for itself.
    pub(super) fn check_core(&self) -> Result<(), Ignored> {
        let (gicd, gicc) = (self.distributor, self.interface);
        let enabled = gicd.read(GICD_ISENABLER);
        check("GICD_ISENABLER0", PRIVATE_ENABLED, PRIVATE_ENABLED, enabled)?;
        let first = gicd.read(GICD_IPRIORITYR);
        check("GICD_IPRIORITYR0", FIRST_PRIORITIES, PRIORITIES, first)?;
        let last = gicd.read(GICD_IPRIORITYR + 24);
        check("GICD_IPRIORITYR6", LAST_PRIORITIES, PRIORITIES, last)?;
        let on = GICC_ENABLE | GICC_EOI_MODE;
        check("GICC_CTLR", on, on, gicc.read(GICC_CTLR))?;
        // A mask of the Secure half of the priorities is not the Non-secure state's to change (4.4.2).
        check("GICC_PMR", 0xe0, 0xff, gicc.read(GICC_PMR))
    }
}
