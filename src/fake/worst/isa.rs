//! For tests: each instruction is done by the core that the thread stands for ([`Worst::on`](super::Worst::on)), if it stands for one, and is
//! left out where [`mutants`](super::mutants) says so.

use super::registers::at_reset;
use super::{Barrier, Cache, Domain, Instruction, Tlbi, current, mutants};
use crate::addr::{Ipa, Pa, Va};
use core::sync::atomic::{AtomicU64, Ordering};
use std::vec;

/// Does `instruction`, unless the place that calls leaves it out.
#[track_caller]
fn perform(instruction: Instruction) {
    if mutants::is_left_out() {
        return;
    }
    current(|board, core| {
        board.perform(core, instruction);
        board.errors.end_of_run(core);
    });
}

macro_rules! instructions {
    ($($name:ident: $instruction:expr)*) => {$(
        #[doc = concat!("See `metal::", stringify!($name), "`.")]
        #[track_caller]
        pub fn $name() {
            perform($instruction);
        }
    )*};
}

instructions! {
    dsb_sy: Instruction::Dsb(Domain::System, Barrier::All)
    dsb_ish: Instruction::Dsb(Domain::Inner, Barrier::All)
    dsb_ishst: Instruction::Dsb(Domain::Inner, Barrier::Stores)
    dsb_nsh: Instruction::Dsb(Domain::Core, Barrier::All)
    dmb_ishld: Instruction::Dmb(Barrier::Loads)
    dmb_ishst: Instruction::Dmb(Barrier::Stores)
    isb: Instruction::Isb
    tlbi_vmalle1is: Instruction::Tlbi(Domain::Inner, Tlbi::Stage1)
    tlbi_vmalle1: Instruction::Tlbi(Domain::Core, Tlbi::Stage1)
    tlbi_vmalls12e1is: Instruction::Tlbi(Domain::Inner, Tlbi::Vm)
    tlbi_alle1: Instruction::Tlbi(Domain::Core, Tlbi::AllVms)
    ic_ialluis: Instruction::Ic(Domain::Inner, None)
    ic_iallu: Instruction::Ic(Domain::Core, None)
    esb: Instruction::Esb
}

/// See `metal::tlbi_ipas2e1is`.
#[track_caller]
pub fn tlbi_ipas2e1is(ipa: Ipa) {
    perform(Instruction::Tlbi(Domain::Inner, Tlbi::Stage2(ipa)));
}

/// See `metal::tlbi_ipas2e1`.
#[track_caller]
pub fn tlbi_ipas2e1(ipa: Ipa) {
    perform(Instruction::Tlbi(Domain::Core, Tlbi::Stage2(ipa)));
}

/// See `metal::tlbi_vaae1`.
#[track_caller]
pub fn tlbi_vaae1(va: Va) {
    perform(Instruction::Tlbi(Domain::Core, Tlbi::Address(va)));
}

/// See `metal::tlbi_vae2is`.
#[track_caller]
pub fn tlbi_vae2is(address: u64) {
    perform(Instruction::Tlbi(Domain::Inner, Tlbi::El2(address)));
}

/// See `metal::dc_civac`.
#[track_caller]
pub fn dc_civac(address: u64) {
    perform(Instruction::Dc(Cache::CleanAndInvalidate, address));
}

/// See `metal::dc_cvau`.
#[track_caller]
pub fn dc_cvau(address: u64) {
    perform(Instruction::Dc(Cache::Clean, address));
}

/// See `metal::ic_ivau`.
#[track_caller]
pub fn ic_ivau(address: u64) {
    perform(Instruction::Ic(Domain::Inner, Some(address)));
}

/// See `metal::mask_serrors`.
pub fn mask_serrors() {
    current(|board, core| board.errors.mask(core, true, &mut board.chance));
}

/// See `metal::unmask_serrors`.
pub fn unmask_serrors() {
    current(|board, core| board.errors.mask(core, false, &mut board.chance));
}

/// See `metal::load`.
///
/// # Safety
/// None here: the memory is the board's, not the test's.
pub unsafe fn load(at: Pa) -> u32 {
    let word = current(|board, core| board.el2_load(core, at.0 & !7)).unwrap_or(0);
    (word >> (at.0 % 8 * 8)) as u32
}

/// See `metal::load_beside_guests`.
///
/// # Safety
/// None here: the memory is the board's, not the test's.
pub unsafe fn load_beside_guests(at: Pa, to: &mut [u8]) {
    for (at, byte) in (at.0..).zip(to) {
        let word = current(|board, core| board.el2_load(core, at & !7)).unwrap_or(0);
        *byte = (word >> (at % 8 * 8)) as u8;
    }
}

/// See `metal::copy_beside_guests`.
///
/// # Safety
/// None here either.
pub unsafe fn copy_beside_guests(from: Pa, to: Pa, bytes: u64) {
    let mut contents = vec![0; bytes as usize];
    // SAFETY: none.
    unsafe {
        load_beside_guests(from, &mut contents);
        store(to, &contents);
    }
}

/// See `metal::store_beside_guests`.
///
/// # Safety
/// None here either.
pub unsafe fn store_beside_guests(at: Pa, bytes: &[u8]) {
    // SAFETY: none.
    unsafe { store(at, bytes) };
}

/// See `metal::store`.
///
/// # Safety
/// None here either.
pub unsafe fn store(at: Pa, bytes: &[u8]) {
    current(|board, core| {
        board.disturb();
        board.el2_store_bytes(core, at.0, bytes);
    });
}

/// Reads a system register: what was written last, or what it is at reset.
pub fn read(name: &'static str) -> u64 {
    let read = current(|board, core| board.read_register(core, name));
    read.unwrap_or_else(|| at_reset(name))
}

/// Writes a system register: in effect at once, at the next context synchronization event, or any time between.
#[track_caller]
pub fn write(name: &'static str, value: u64) {
    current(|board, core| board.write_register(core, name, value));
}

/// See `metal::TableEntry`.
#[repr(transparent)]
pub struct TableEntry(AtomicU64);

impl TableEntry {
    /// Invalid.
    pub const fn invalid() -> Self {
        Self(AtomicU64::new(0))
    }

    /// What was written last.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Writes it. Walks may see that later.
    pub fn set(&self, descriptor: u64) {
        let stored = current(|board, core| board.table_store(core, &self.0, descriptor));
        if stored.is_none() {
            self.0.store(descriptor, Ordering::Release);
        }
    }
}

/// See `metal::fill_entries`.
pub fn fill_entries(table: &[TableEntry; 512], first: u64, step: u64) {
    for (i, entry) in (0..).zip(table) {
        entry.set(first + i * step);
    }
}
