//! A core's system registers. A write to one is in effect for what the program does from the next context synchronization event on; before,
//! speculation may have it already, or not yet (D24.1.2, "Synchronization requirements for AArch64 System registers"; D1.3.5, "Context
//! synchronization events"). Each register by itself: so a core may walk with those of two vCPUs, half and half.

use super::luck::Chance;
use std::collections::HashMap;
use std::vec::Vec;

/// One of them.
#[derive(Default)]
struct Register {
    effective: u64,
    /// What was written since, the last one at the end.
    written: Vec<u64>,
}

/// All that were ever used.
#[derive(Default)]
pub struct Registers(HashMap<&'static str, Register>);

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
    /// As the program reads it: what it wrote last.
    pub fn read(&self, name: &'static str) -> u64 {
        match self.0.get(name) {
            Some(register) => *register.written.last().unwrap_or(&register.effective),
            None => at_reset(name),
        }
    }

    /// As it is in effect.
    pub fn effective(&self, name: &'static str) -> u64 {
        self.0
            .get(name)
            .map_or_else(|| self.read(name), |register| register.effective)
    }

    /// As speculation may see it now.
    pub fn speculative(&self, name: &'static str, chance: &mut Chance) -> u64 {
        let Some(register) = self.0.get(name) else {
            return at_reset(name);
        };
        match chance.pick(register.written.len() + 1) {
            0 => register.effective,
            n => register.written[n - 1],
        }
    }

    /// Writes it.
    pub fn write(&mut self, name: &'static str, value: u64, chance: &mut Chance) {
        let register = self.0.entry(name).or_default();
        if chance.strikes(chance.luck.half) {
            register.written.push(value);
        } else {
            register.written.clear();
            register.effective = value;
        }
    }

    /// It is that, for the program and for speculation: not by a write of the program.
    pub fn become_now(&mut self, name: &'static str, value: u64) {
        let register = self.0.entry(name).or_default();
        register.written.clear();
        register.effective = value;
    }

    /// A context synchronization event.
    pub fn synchronize(&mut self) {
        for register in self.0.values_mut() {
            if let Some(last) = register.written.pop() {
                register.effective = last;
                register.written.clear();
            }
        }
    }

    /// Whether a register has these bits whatever of it is in effect.
    pub fn has_surely(&self, name: &'static str, bits: u64) -> bool {
        let mut values = self.0.get(name).into_iter().flat_map(|register| {
            let written = register.written.iter().copied();
            written.chain([register.effective])
        });
        values.next().is_some_and(|first| first & bits == bits)
            && values.all(|value| value & bits == bits)
    }

    /// Those that were written and are not synchronized.
    pub fn unsynchronized(&self) -> Vec<&'static str> {
        let pending = self.0.iter().filter(|(_, r)| !r.written.is_empty());
        pending.map(|(name, _)| *name).collect()
    }
}
