//! Software breakpoints: BRK instructions in the VM's memory, which are there only while it runs. So nothing that the debugger shows, and no snapshot
//! of a stop, has one. A snapshot that is taken while it runs does: what was replaced is kept, and put back after a restore.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Range;

use super::Vm;
use crate::machine::{Machine, Refused};

/// The immediate of the debugger's BRKs, "AV". Kernels and compilers use others.
pub const IMMEDIATE: u16 = 0x4156;
/// `brk #0x4156`.
pub const BRK: u32 = 0xd420_0000 | (IMMEDIATE as u32) << 5;

/// The breakpoints of a VM.
#[derive(Default)]
pub struct Breakpoints {
    /// Those that the client wants: virtual addresses, and where these were when it said so.
    wanted: BTreeMap<u64, u64>,
    /// Physical addresses that have a BRK now.
    planted: BTreeSet<u64>,
    /// What each physical address had that ever got a BRK.
    replaced: BTreeMap<u64, u32>,
}

impl Breakpoints {
    /// Whether the client wants one at this virtual address.
    pub fn has(&self, va: u64) -> bool {
        self.wanted.contains_key(&va)
    }

    /// Whether the client wants one at this physical address.
    pub fn has_at(&self, at: u64) -> bool {
        self.wanted.values().any(|&wanted| wanted == at)
    }

    /// In what was read from `at` on, puts what was there in place of BRKs.
    pub fn hide(&self, at: u64, bytes: &mut [u8]) {
        let brk = BRK.to_le_bytes();
        let end = at.saturating_add(bytes.len() as u64);
        for (&place, original) in self.replaced.range(at.saturating_sub(3)..end) {
            let original = original.to_le_bytes();
            // Where in the word the read begins and ends.
            let from = at.saturating_sub(place) as usize;
            let to = (end - place).min(4) as usize;
            let first = (place + from as u64 - at) as usize;
            let part = &mut bytes[first..first + to - from];
            if *part == brk[from..to] {
                part.copy_from_slice(&original[from..to]);
            }
        }
    }
}

impl<M: Machine> Vm<M> {
    /// Wants a breakpoint at a virtual address, in the tables of the vCPU that stopped last.
    pub fn add_breakpoint(&mut self, va: u64) -> Result<(), Refused> {
        let (at, _) = self.translate(None, self.current, va)?;
        if !at.is_multiple_of(4) || self.word(at).is_none() {
            return Err(Refused::Invalid);
        }
        self.breakpoints.wanted.insert(va, at);
        Ok(())
    }

    /// Does not want it any more.
    pub fn remove_breakpoint(&mut self, va: u64) -> bool {
        self.breakpoints.wanted.remove(&va).is_some()
    }

    /// Wants none.
    pub fn forget_breakpoints(&mut self) {
        self.breakpoints.wanted.clear();
    }

    /// Before it runs: BRKs at all places that are wanted, but for those in `except`, and at `more`; and no hardware breakpoint in `except`. All are
    /// virtual addresses.
    pub fn plant(&mut self, more: &[u64], except: &Range<u64>) -> Result<(), Refused> {
        self.comparators.leave_out(&mut self.machine, except)?;
        let more = more
            .iter()
            .filter_map(|&va| Some(self.translate(None, self.current, va).ok()?.0));
        let more: Vec<u64> = more.collect();
        let wanted = self.breakpoints.wanted.iter();
        let wanted = wanted.filter(|(va, _)| !except.contains(va));
        for at in wanted
            .map(|(_, &at)| at)
            .chain(more)
            .collect::<BTreeSet<_>>()
        {
            let Some(word) = self.word(at) else { continue };
            if word != BRK {
                self.breakpoints.replaced.insert(at, word);
                self.machine.write(at, &BRK.to_le_bytes())?;
                self.breakpoints.planted.insert(at);
            }
        }
        Ok(())
    }

    /// When it has stopped: no BRK of the debugger's, of this run or, after a restore or a reset, of another.
    pub fn unplant(&mut self, all: bool) {
        // Each of them was set before: there is such a one.
        let _ = self.comparators.leave_out(&mut self.machine, &(0..0));
        let planted = core::mem::take(&mut self.breakpoints.planted);
        let places: Vec<u64> = match all {
            true => self.breakpoints.replaced.keys().copied().collect(),
            false => planted.into_iter().collect(),
        };
        for at in places {
            let original = self.breakpoints.replaced[&at];
            // What the guest has stored there meanwhile is the guest's.
            if original != BRK && self.word(at) == Some(BRK) {
                // It was written to before: it is there.
                let _ = self.machine.write(at, &original.to_le_bytes());
            }
        }
    }

    /// Whether the BRK at this virtual address is there for the debugger: in this run, or left by another one.
    pub fn is_own_brk(&self, vcpu: usize, va: u64) -> bool {
        self.translate(None, vcpu, va).is_ok_and(|(at, _)| {
            self.breakpoints
                .replaced
                .get(&at)
                .is_some_and(|&word| word != BRK)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_word() {
        let mut breakpoints = Breakpoints::default();
        breakpoints.replaced.insert(0x1000, 0x4433_2211);
        let brk = BRK.to_le_bytes();
        let mut memory = [9; 12];
        memory[4..8].copy_from_slice(&brk);
        for from in 0..12 {
            for to in from..12 {
                let mut bytes = memory[from..to].to_vec();
                breakpoints.hide(0x0ffc + from as u64, &mut bytes);
                let expected = [9, 9, 9, 9, 0x11, 0x22, 0x33, 0x44, 9, 9, 9, 9];
                assert_eq!(bytes, expected[from..to]);
            }
        }
        // What is no BRK is as it is.
        let mut bytes = [1, 2, 3, 4];
        breakpoints.hide(0x1000, &mut bytes);
        assert_eq!(bytes, [1, 2, 3, 4]);
    }
}
