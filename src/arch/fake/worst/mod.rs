//! The worst board that the Arm ARM permits.

pub mod isa;
pub mod mutants;

use crate::addr::Ipa;
use std::cell::RefCell;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

/// Whom an instruction is for, or complete for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Domain {
    /// This core (NSH, or no `IS`).
    Core,
    /// All cores (ISH).
    Inner,
    /// All cores, and whoever goes around the caches (SY).
    System,
}

/// What a barrier is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barrier {
    /// Loads (LD).
    Loads,
    /// Stores (ST).
    Stores,
    /// Both, and maintenance.
    All,
}

/// What a TLBI invalidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tlbi {
    /// IPAS2E1.
    Stage2(Ipa),
    /// VMALLE1.
    Stage1,
    /// VMALLS12E1.
    Vm,
    /// ALLE1.
    AllVms,
    /// VAE2.
    El2(u64),
    /// ALLE2.
    AllEl2,
}

/// What a DC does to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// CIVAC.
    CleanAndInvalidate,
    /// IVAC.
    Invalidate,
    /// ZVA.
    Zero,
}

/// An instruction that Rust has no word for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// DSB.
    Dsb(Domain, Barrier),
    /// DMB ISH.
    Dmb(Barrier),
    /// ISB.
    Isb,
    /// TLBI.
    Tlbi(Domain, Tlbi),
    /// DC by address.
    Dc(Cache, u64),
    /// IC, by address or for all.
    Ic(Domain, Option<u64>),
    /// CLREX.
    Clrex,
}

/// The board.
pub struct Board;

impl Board {
    /// A core does an instruction.
    pub fn perform(&mut self, _core: usize, _instruction: Instruction) {}
    /// EL2 loads a doubleword.
    pub fn el2_load(&mut self, _core: usize, _at: u64) -> u64 {
        0
    }
    /// EL2 stores a doubleword.
    pub fn el2_store(&mut self, _core: usize, _at: u64, _value: u64) {}
    /// EL2 stores bytes.
    pub fn el2_store_bytes(&mut self, _core: usize, _at: u64, _bytes: &[u8]) {}
    /// MRS.
    pub fn read_register(&mut self, _core: usize, _name: &'static str) -> u64 {
        0
    }
    /// MSR.
    pub fn write_register(&mut self, _core: usize, _name: &'static str, _value: u64) {}
    /// A store to an entry of a translation table at `at`, which held `before`.
    pub fn table_store(&mut self, _core: usize, _at: u64, _before: u64) {}
}

std::thread_local! {
    static CURRENT: RefCell<Vec<(Arc<Mutex<Board>>, usize)>> = const { RefCell::new(Vec::new()) };
}

/// Does something as the core that this thread stands for, if it stands for one.
pub fn current<R>(action: impl FnOnce(&mut Board, usize) -> R) -> Option<R> {
    let (board, core) = CURRENT.with_borrow(|current| current.last().cloned())?;
    let mut board = board
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    Some(action(&mut board, core))
}
