//! A core's system registers. A write to one is in effect for what the program does from the next context synchronization event on; before,
//! speculation may have it already, or not yet (D24.1.2, "Synchronization requirements for AArch64 System registers"; D1.3.5, "Context
//! synchronization events"). Each register by itself: so a core may walk with those of two vCPUs, half and half.

use super::luck::Chance;
use rustc_hash::FxHashMap;
use std::vec::Vec;

/// One of them.
#[derive(Clone, Default)]
struct Register {
    effective: u64,
    /// What was written since, the last one at the end.
    written: Vec<u64>,
}

impl Register {
    fn read(&self) -> u64 {
        *self.written.last().unwrap_or(&self.effective)
    }

    fn speculative(&self, chance: &mut Chance) -> u64 {
        if self.written.is_empty() {
            return self.effective;
        }
        match chance.pick(self.written.len() + 1) {
            0 => self.effective,
            n => self.written[n - 1],
        }
    }
}

/// Those that walks depend on: they are asked for at each access.
const OF_WALKS: [&str; 4] = ["sctlr_el1", "tcr_el1", "ttbr0_el1", "vttbr_el2"];

/// All that were ever used.
#[derive(Default)]
pub struct Registers {
    of_walks: [Register; OF_WALKS.len()],
    others: FxHashMap<&'static str, Register>,
    /// Those that were written and are not synchronized.
    pending: Vec<&'static str>,
}

/// CTR_EL0 of Cortex-A72: lines of 64 bytes; the instruction cache physically indexed and tagged.
const CTR: u64 = 0x8444_c004;
/// DCZID_EL0: DC ZVA clears 64 bytes.
const DCZID: u64 = 4;
/// ID_AA64PFR0_EL1: FEAT_RAS.
const PFR0: u64 = 1 << 28;

/// What identification registers say, and 0 for others.
pub fn at_reset(name: &str) -> u64 {
    match name {
        "ctr_el0" => CTR,
        "dczid_el0" => DCZID,
        "id_aa64pfr0_el1" => PFR0,
        _ => 0,
    }
}

impl Registers {
    fn get(&self, name: &'static str) -> Option<&Register> {
        match OF_WALKS.iter().position(|known| *known == name) {
            Some(place) => Some(&self.of_walks[place]),
            None => self.others.get(name),
        }
    }

    fn get_mut(&mut self, name: &'static str) -> &mut Register {
        match OF_WALKS.iter().position(|known| *known == name) {
            Some(place) => &mut self.of_walks[place],
            None => self.others.entry(name).or_default(),
        }
    }

    /// As the program reads it: what it wrote last.
    pub fn read(&self, name: &'static str) -> u64 {
        self.get(name)
            .map_or_else(|| at_reset(name), Register::read)
    }

    /// As it is in effect.
    pub fn effective(&self, name: &'static str) -> u64 {
        let register = self.get(name);
        register.map_or_else(|| at_reset(name), |register| register.effective)
    }

    /// SCTLR_EL1, TCR_EL1, TTBR0_EL1 and VTTBR_EL2 as they are in effect.
    pub fn of_walks(&self) -> [u64; 4] {
        self.of_walks.each_ref().map(|register| register.effective)
    }

    /// The same, each as speculation may see it now.
    pub fn of_speculative_walks(&self, chance: &mut Chance) -> [u64; 4] {
        self.of_walks
            .each_ref()
            .map(|register| register.speculative(chance))
    }

    /// The register of that name, as speculation may see it now.
    pub fn speculative(&self, name: &'static str, chance: &mut Chance) -> u64 {
        let register = self.get(name);
        register.map_or_else(|| at_reset(name), |register| register.speculative(chance))
    }

    /// Writes it.
    pub fn write(&mut self, name: &'static str, value: u64, chance: &mut Chance) {
        let late = chance.strikes(chance.luck.half);
        let register = self.get_mut(name);
        if late {
            register.written.push(value);
            self.pending.push(name);
        } else {
            register.written.clear();
            register.effective = value;
        }
    }

    /// It is that, for the program and for speculation: not by a write of the program.
    pub fn become_now(&mut self, name: &'static str, value: u64) {
        let register = self.get_mut(name);
        register.written.clear();
        register.effective = value;
    }

    /// A context synchronization event.
    pub fn synchronize(&mut self) {
        while let Some(name) = self.pending.pop() {
            let register = self.get_mut(name);
            if let Some(last) = register.written.pop() {
                register.effective = last;
                register.written.clear();
            }
        }
    }

    /// Whether a register has these bits whatever of it is in effect.
    pub fn has_surely(&self, name: &'static str, bits: u64) -> bool {
        let mut values = self.get(name).into_iter().flat_map(|register| {
            let written = register.written.iter().copied();
            written.chain([register.effective])
        });
        values.next().is_some_and(|first| first & bits == bits)
            && values.all(|value| value & bits == bits)
    }

    /// Those that were written and are not synchronized.
    pub fn unsynchronized(&self) -> Vec<&'static str> {
        let waits = |name: &&&'static str| self.get(name).is_some_and(|r| !r.written.is_empty());
        self.pending.iter().filter(waits).copied().collect()
    }
}
