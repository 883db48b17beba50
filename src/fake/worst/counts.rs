//! How many instructions were done that hardware pays for by waiting, and `-icount` does not show.

use super::{Domain, Instruction};

/// How many of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// DC, each of a line.
    pub dc: u32,
    /// IC by address, each of a line.
    pub ic: u32,
    /// IC of whole caches.
    pub ic_all: u32,
    /// TLBI for this core.
    pub tlbi: u32,
    /// TLBI for all cores.
    pub tlbi_broadcast: u32,
    /// DSB.
    pub dsb: u32,
}

impl Counts {
    /// One more.
    pub fn add(&mut self, instruction: Instruction) {
        let count = match instruction {
            Instruction::Dc(..) => &mut self.dc,
            Instruction::Ic(_, Some(_)) => &mut self.ic,
            Instruction::Ic(_, None) => &mut self.ic_all,
            Instruction::Tlbi(Domain::Core, _) => &mut self.tlbi,
            Instruction::Tlbi(..) => &mut self.tlbi_broadcast,
            Instruction::Dsb(..) => &mut self.dsb,
            Instruction::Dmb(_) | Instruction::Isb | Instruction::Esb => return,
        };
        *count += 1;
    }
}
