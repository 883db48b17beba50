//! A board: memory, the guest's way there, and a console.

use super::abort::{Abort, PERMISSION, TRANSLATION};
use super::cpu::FakeCore;
use super::memory::Memory;
use super::mmu::{self, Access, Mmu};
use super::recorder::{Asked, Recorder};
use crate::addr::{Ipa, Pa};
use crate::arch::vcpu::Trap;
use crate::device::Console;
use crate::snapshot::Bookkeeping;
use crate::stage2::Maintenance;
use crate::vm::Hardware;
use std::boxed::Box;
use std::collections::VecDeque;
use std::ops::Range;
use std::vec::Vec;

/// A VM's memory and its console.
pub struct FakeBoard {
    /// Its memory.
    pub memory: Memory,
    /// The guest's way there.
    pub mmu: Mmu,
    /// What was asked of it, in order; watches the stage 2 entry that [`watch`](Self::watch) names.
    pub recorder: Recorder<Box<dyn Fn() -> u64 + Send>>,
    /// What the guest printed.
    pub printed: Vec<u8>,
    /// What is there to be read by it.
    pub typed: VecDeque<u8>,
    /// What the log calls its VM, if there are several.
    pub log_name: Option<&'static str>,
}

impl FakeBoard {
    /// A board with this memory.
    pub fn new(share: &[Range<Pa>]) -> Self {
        Self {
            memory: Memory::new(share),
            mmu: Mmu::new(),
            recorder: Recorder {
                asked: Vec::new(),
                watch: None,
            },
            printed: Vec::new(),
            typed: VecDeque::new(),
            log_name: None,
        }
    }

    /// From here on, notes say what the stage 2 entry for `ipa` held then. Those so far are gone.
    pub fn watch(&mut self, ipa: Ipa) {
        let root = self.mmu.root();
        self.recorder = Recorder {
            asked: Vec::new(),
            watch: Some(Box::new(move || mmu::leaf_entry(root, ipa))),
        };
    }

    /// An access of the guest with its MMU off: where it goes, or the trap instead. After a permission fault HPFAR_EL2 is UNKNOWN.
    pub fn access(&mut self, ipa: Ipa, access: Access) -> Result<Pa, Trap> {
        self.mmu.access(ipa, access).map_err(|fault| {
            let abort = match access {
                Access::Load => Abort::load(ipa.0),
                Access::Store => Abort::store(ipa.0),
                Access::Fetch => Abort::fetch(ipa.0),
            };
            let (status, reported) = match fault.permission {
                true => (PERMISSION, Ipa(0xdead_b000)),
                false => (TRANSLATION, ipa),
            };
            Abort {
                status: status & !3 | fault.level,
                ipa: reported,
                ..abort
            }
            .trap()
        })
    }
}

impl Maintenance for FakeBoard {
    #[track_caller]
    fn stores_complete(&mut self) {
        self.recorder.stores_complete();
    }

    #[track_caller]
    fn invalidations_complete(&mut self) {
        self.recorder.invalidations_complete();
    }

    #[track_caller]
    fn invalidate_ipa(&mut self, ipa: Ipa) {
        self.recorder.invalidate_ipa(ipa);
        self.mmu.forget_stage2(ipa);
    }

    #[track_caller]
    fn invalidate_stage1(&mut self) {
        self.recorder.invalidate_stage1();
        self.mmu.forget_combined();
    }

    #[track_caller]
    fn invalidate_ipa_here(&mut self, ipa: Ipa) {
        self.recorder.invalidate_ipa_here(ipa);
        self.mmu.forget_stage2(ipa);
        self.mmu.forget_combined();
    }

    #[track_caller]
    fn invalidate_vm(&mut self) {
        self.recorder.invalidate_vm();
        self.mmu.forget_all();
    }

    #[track_caller]
    fn invalidate_instructions(&mut self, at: Pa, bytes: u64) {
        self.recorder.invalidate_instructions(at, bytes);
    }
}

impl Console for FakeBoard {
    fn put(&mut self, byte: u8) {
        self.printed.push(byte);
    }

    fn get(&mut self) -> Option<u8> {
        self.typed.pop_front()
    }
}

impl Hardware for FakeBoard {
    type Core = FakeCore;

    fn bookkeeping(&self, at: Pa) -> &Bookkeeping {
        self.memory.bookkeeping(at)
    }

    fn bookkeeping_mut(&mut self, at: Pa) -> &mut Bookkeeping {
        self.memory.bookkeeping_mut(at)
    }

    fn word(&self, at: Pa) -> u32 {
        *self.memory.word(at)
    }

    fn word_mut(&mut self, at: Pa) -> &mut u32 {
        self.memory.word_mut(at)
    }

    fn copy_page(&mut self, from: Pa, to: Pa) {
        self.recorder.note(Asked::Copy { from, to });
        self.memory.copy(from, to);
    }

    fn zero(&mut self, at: Pa, bytes: u64) {
        self.recorder.note(Asked::Zero(at, bytes));
        self.memory.zero(at, bytes);
    }

    fn clean_and_invalidate(&mut self, at: Pa, bytes: u64) {
        self.recorder.note(Asked::CleanAndInvalidate(at, bytes));
    }

    fn write(&mut self, at: Pa, bytes: &[u8]) {
        self.recorder.note(Asked::Write(at, bytes.len() as u64));
        self.memory.write(at, bytes);
    }

    fn instruction(&mut self, at: Pa) -> u32 {
        assert!(at.0.is_multiple_of(4));
        u32::from_le_bytes(std::array::from_fn(|i| {
            self.memory.read(Pa(at.0 + i as u64))
        }))
    }

    fn log_name(&self) -> Option<&'static str> {
        self.log_name
    }

    fn virtual_interface(&self) -> Pa {
        Pa(0x0804_0000)
    }
}
