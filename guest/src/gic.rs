//! The GICv2: the distributor, and this CPU's interface to it (Arm IHI 0048B, 4.3 and 4.4).
//!
//! Functions do one register access each, so that a program decides what it accesses and when. Nothing here is remembered.

use crate::mmio;

/// Where the distributor's registers are.
pub const DISTRIBUTOR: usize = 0x0800_0000;
/// Where the CPU interface's registers are; each CPU finds its own there.
pub const CPU_INTERFACE: usize = 0x0801_0000;

/// What [`acknowledge`] returns when nothing is pending that is let through.
pub const SPURIOUS: u32 = 1023;
/// The lowest priority that all GICs have. A smaller number goes first; 5 bits are sure to be there, multiples of 8.
pub const LOWEST_PRIORITY: u8 = 0xf0;

/// Offsets of the distributor's registers.
pub mod distributor {
    /// GICD_CTLR. Bit 0: group 0 is forwarded, to which all interrupts belong after a reset.
    pub const CTLR: usize = 0x000;
    /// GICD_TYPER.
    pub const TYPER: usize = 0x004;
    /// GICD_ISENABLERn: a bit for each interrupt, as in the next five.
    pub const ISENABLER: usize = 0x100;
    /// GICD_ICENABLERn.
    pub const ICENABLER: usize = 0x180;
    /// GICD_ISPENDRn.
    pub const ISPENDR: usize = 0x200;
    /// GICD_ICPENDRn.
    pub const ICPENDR: usize = 0x280;
    /// GICD_ISACTIVERn.
    pub const ISACTIVER: usize = 0x300;
    /// GICD_ICACTIVERn.
    pub const ICACTIVER: usize = 0x380;
    /// GICD_IPRIORITYRn: a byte for each interrupt.
    pub const IPRIORITYR: usize = 0x400;
    /// GICD_ITARGETSRn: a byte for each interrupt, a bit in it for each CPU.
    pub const ITARGETSR: usize = 0x800;
    /// GICD_ICFGRn: two bits for each interrupt.
    pub const ICFGR: usize = 0xc00;
    /// GICD_SGIR.
    pub const SGIR: usize = 0xf00;
    /// GICD_CPENDSGIRn: a byte for each SGI, a bit in it for each sender.
    pub const CPENDSGIR: usize = 0xf10;
    /// GICD_SPENDSGIRn.
    pub const SPENDSGIR: usize = 0xf20;
    /// ICPIDR2: bits 7:4 are the architecture's version.
    pub const ICPIDR2: usize = 0xfe8;
}

/// Offsets of the CPU interface's registers.
pub mod cpu_interface {
    /// GICC_CTLR. Bit 0: group 0 is signalled. Bit 9: EOImode, [`end`](super::end) does not deactivate.
    pub const CTLR: usize = 0x00;
    /// GICC_PMR: only what has a smaller priority than this is signalled.
    pub const PMR: usize = 0x04;
    /// GICC_BPR.
    pub const BPR: usize = 0x08;
    /// GICC_IAR.
    pub const IAR: usize = 0x0c;
    /// GICC_EOIR.
    pub const EOIR: usize = 0x10;
    /// GICC_RPR: the priority that runs.
    pub const RPR: usize = 0x14;
    /// GICC_HPPIR: what would be acknowledged, if its priority is high enough.
    pub const HPPIR: usize = 0x18;
    /// GICC_APR0.
    pub const APR: usize = 0xd0;
    /// GICC_IIDR.
    pub const IIDR: usize = 0xfc;
    /// GICC_DIR.
    pub const DIR: usize = 0x1000;
}

/// To whom [`send`] sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// The CPUs whose bits are set.
    Cpus(u8),
    /// All but the sender.
    Others,
    /// The sender.
    Myself,
}

/// Reads a register of the distributor.
#[inline]
pub fn read(offset: usize) -> u32 {
    mmio::read32(DISTRIBUTOR + offset)
}

/// Writes a register of the distributor.
#[inline]
pub fn write(offset: usize, value: u32) {
    // SAFETY: a register of the distributor: it changes which interrupts come, and no memory.
    unsafe { mmio::write32(DISTRIBUTOR + offset, value) }
}

/// Reads a byte of the distributor's registers.
pub fn read8(offset: usize) -> u8 {
    mmio::read8(DISTRIBUTOR + offset)
}

/// Writes a byte of the distributor's registers.
pub fn write8(offset: usize, value: u8) {
    // SAFETY: as in `write`.
    unsafe { mmio::write8(DISTRIBUTOR + offset, value) }
}

/// Reads a register of this CPU's interface.
#[inline]
pub fn read_cpu(offset: usize) -> u32 {
    mmio::read32(CPU_INTERFACE + offset)
}

/// Writes a register of this CPU's interface.
#[inline]
pub fn write_cpu(offset: usize, value: u32) {
    // SAFETY: a register of the CPU interface: it changes which interrupts come, and no memory.
    unsafe { mmio::write32(CPU_INTERFACE + offset, value) }
}

/// Has the distributor forward interrupts.
pub fn enable() {
    write(distributor::CTLR, 1);
}

/// Has this CPU get interrupts of all priorities but the lowest.
pub fn enable_cpu() {
    write_cpu(cpu_interface::PMR, LOWEST_PRIORITY.into());
    write_cpu(cpu_interface::BPR, 0);
    write_cpu(cpu_interface::CTLR, 1);
}

/// Lets interrupt `intid` through.
pub fn enable_interrupt(intid: u32) {
    set_bit(distributor::ISENABLER, intid);
}

/// Keeps interrupt `intid` back.
pub fn disable_interrupt(intid: u32) {
    set_bit(distributor::ICENABLER, intid);
}

/// Writes a 1 for interrupt `intid`, and 0 for all others, to one of the registers with a bit for each.
#[inline]
pub fn set_bit(registers: usize, intid: u32) {
    write(registers + (intid as usize / 32) * 4, 1 << (intid % 32));
}

/// The bit of interrupt `intid` in one of the registers with a bit for each.
#[inline]
pub fn bit(registers: usize, intid: u32) -> bool {
    read(registers + (intid as usize / 32) * 4) >> (intid % 32) & 1 != 0
}

/// Gives interrupt `intid` a priority.
pub fn set_priority(intid: u32, priority: u8) {
    write8(distributor::IPRIORITYR + intid as usize, priority);
}

/// Has SPI `intid` go to these CPUs, a bit each.
pub fn set_targets(intid: u32, cpus: u8) {
    write8(distributor::ITARGETSR + intid as usize, cpus);
}

/// Makes SPI `intid` edge-triggered, or level-sensitive.
pub fn set_edge(intid: u32, edge: bool) {
    let offset = distributor::ICFGR + (intid as usize / 16) * 4;
    let bit = 2 << (2 * (intid % 16));
    let others = read(offset) & !bit;
    write(offset, others | if edge { bit } else { 0 });
}

/// Sends an SGI, 0 to 15. What was stored before is there when it arrives.
#[inline]
pub fn send(to: To, sgi: u32) {
    let target = match to {
        To::Cpus(cpus) => u32::from(cpus) << 16,
        To::Others => 1 << 24,
        To::Myself => 2 << 24,
    };
    // SAFETY: a barrier.
    unsafe { core::arch::asm!("dsb ish", options(nostack, preserves_flags)) }
    write(distributor::SGIR, target | sgi);
}

/// Takes the best pending interrupt: its number in bits 9:0, or [`SPURIOUS`], and for an SGI the sender in bits 12:10.
#[inline]
pub fn acknowledge() -> u32 {
    read_cpu(cpu_interface::IAR)
}

/// Ends what [`acknowledge`] returned.
#[inline]
pub fn end(acknowledged: u32) {
    write_cpu(cpu_interface::EOIR, acknowledged);
}

/// Deactivates what [`acknowledge`] returned; needed with EOImode only.
pub fn deactivate(acknowledged: u32) {
    write_cpu(cpu_interface::DIR, acknowledged);
}
