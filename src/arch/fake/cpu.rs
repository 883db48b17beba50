//! A core, with a vCPU that does what the test wrote down.

use super::abort::{Abort, PERMISSION, TRANSLATION};
use super::memory::Memory;
use super::mmu::{self, Access, Mmu};
use super::recorder::{Asked, Recorder};
use crate::addr::{Ipa, Pa, Va};
use crate::arch::vcpu::{Registers, Trap};
use crate::device::Console;
use crate::snapshot::Bookkeeping;
use crate::stage2::Maintenance;
use crate::trap::inject::{ExceptionState, PstateFeatures};
use crate::trap::sysreg::{SysReg, VmRegister};
use crate::vm::Hardware;
use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ops::Range;
use std::vec::Vec;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The registers beyond the general ones: those that exceptions use, and some to stand for the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[expect(missing_docs, reason = "the registers' names")]
pub struct System {
    pub vbar: u64,
    pub sctlr: u64,
    pub elr: u64,
    pub spsr: u64,
    pub esr: u64,
    pub far: u64,
    pub sp_el0: u64,
    pub sp_el1: u64,
    pub tpidr_el1: u64,
    pub vectors: [u64; 4],
    /// An SError is pending.
    pub serror: u64,
}

impl System {
    /// As after a reset.
    pub const RESET: Self = Self {
        vbar: 0,
        sctlr: 0x30d5_0838,
        elr: 0,
        spsr: 0,
        esr: 0,
        far: 0,
        sp_el0: 0,
        sp_el1: 0,
        tpidr_el1: 0,
        vectors: [0; 4],
        serror: 0,
    };
}

std::thread_local! {
    /// The system registers of each core that was made, and the core that this thread plays: saving and loading them
    /// name no core, as on the board, where they are simply there.
    static SYSTEMS: RefCell<Vec<System>> = const { RefCell::new(Vec::new()) };
    static ON: Cell<usize> = const { Cell::new(0) };
}

/// What the vCPU does until its next trap.
pub type Step = Box<dyn FnOnce(&mut Registers) -> Trap>;

/// A core, its memory and its console.
pub struct FakeCore {
    number: usize,
    /// Its memory.
    pub memory: Memory,
    /// The guest's way there.
    pub mmu: Mmu,
    /// What was asked of it, in order; watches the stage 2 entry that [`watch`](Self::watch) names.
    pub recorder: Recorder<Box<dyn Fn() -> u64>>,
    /// What the vCPU is going to do.
    pub script: VecDeque<Step>,
    /// What the guest's counter shows.
    pub virtual_count: u64,
    /// What the guest's stage 1 says.
    pub stage1: fn(Va) -> Option<Ipa>,
    /// The hardware's identification registers.
    pub id_register: fn(SysReg) -> u64,
    /// What the guest printed.
    pub printed: Vec<u8>,
    /// What is there to be read by it.
    pub typed: VecDeque<u8>,
}

impl FakeCore {
    /// A core with this memory.
    pub fn new(share: &[Range<Pa>]) -> Self {
        let number = SYSTEMS.with_borrow_mut(|systems| {
            systems.push(System::RESET);
            systems.len() - 1
        });
        Self {
            number,
            memory: Memory::new(share),
            mmu: Mmu::new(),
            recorder: Recorder {
                asked: Vec::new(),
                watch: None,
            },
            script: VecDeque::new(),
            virtual_count: 0,
            stage1: |va| Some(Ipa(va.0)),
            id_register: |_| 0,
            printed: Vec::new(),
            typed: VecDeque::new(),
        }
    }

    /// The system registers.
    pub fn system(&self) -> System {
        SYSTEMS.with_borrow(|systems| systems[self.number])
    }

    /// Writes the system registers.
    pub fn set_system(&mut self, system: System) {
        SYSTEMS.with_borrow_mut(|systems| systems[self.number] = system);
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

impl Maintenance for FakeCore {
    fn stores_complete(&mut self) {
        self.recorder.stores_complete();
    }

    fn invalidations_complete(&mut self) {
        self.recorder.invalidations_complete();
    }

    fn invalidate_ipa(&mut self, ipa: Ipa) {
        self.recorder.invalidate_ipa(ipa);
        self.mmu.forget_stage2(ipa);
    }

    fn invalidate_stage1(&mut self) {
        self.recorder.invalidate_stage1();
        self.mmu.forget_combined();
    }

    fn invalidate_ipa_here(&mut self, ipa: Ipa) {
        self.recorder.invalidate_ipa_here(ipa);
        self.mmu.forget_stage2(ipa);
        self.mmu.forget_combined();
    }

    fn invalidate_vm(&mut self) {
        self.recorder.invalidate_vm();
        self.mmu.forget_all();
    }

    fn invalidate_instructions(&mut self) {
        self.recorder.invalidate_instructions();
    }
}

impl Console for FakeCore {
    fn put(&mut self, byte: u8) {
        self.printed.push(byte);
    }

    fn get(&mut self) -> Option<u8> {
        self.typed.pop_front()
    }
}

impl Hardware for FakeCore {
    type System = System;

    fn activate(&mut self, root: Pa) {
        ON.set(self.number);
        self.mmu.activate(root);
    }

    fn run(&mut self, registers: &mut Registers) -> Trap {
        ON.set(self.number);
        let step = self.script.pop_front();
        step.expect("the guest has something to do")(registers)
    }

    fn reset_system(&mut self) {
        self.set_system(System::RESET);
    }

    fn save_system(to: &mut System) {
        *to = SYSTEMS.with_borrow(|systems| systems[ON.get()]);
    }

    fn load_system(from: &System) {
        SYSTEMS.with_borrow_mut(|systems| systems[ON.get()] = *from);
    }

    fn virtual_count(&mut self) -> u64 {
        self.virtual_count
    }

    fn set_virtual_count(&mut self, count: u64) {
        self.recorder.note(Asked::SetVirtualCount(count));
        self.virtual_count = count;
    }

    fn exception_state(&mut self) -> ExceptionState {
        let system = self.system();
        ExceptionState {
            vbar: system.vbar,
            sctlr: system.sctlr,
            far: system.far,
            ..ExceptionState::default()
        }
    }

    fn set_exception_state(&mut self, state: &ExceptionState) {
        self.set_system(System {
            elr: state.elr,
            spsr: state.spsr,
            esr: state.esr,
            far: state.far,
            ..self.system()
        });
    }

    fn pstate_features(&mut self) -> PstateFeatures {
        PstateFeatures::default()
    }

    fn pend_serror(&mut self) {
        self.set_system(System {
            serror: 1,
            ..self.system()
        });
    }

    fn write_vm_register(&mut self, register: VmRegister, value: u64) {
        let mut system = self.system();
        match register {
            VmRegister::Sctlr => system.sctlr = value,
            VmRegister::Esr => system.esr = value,
            VmRegister::Far => system.far = value,
            _ => {}
        }
        self.set_system(system);
    }

    fn release_vm_registers(&mut self) {
        self.recorder.note(Asked::ReleaseVmRegisters);
    }

    fn translate(&mut self, va: Va) -> Option<Ipa> {
        (self.stage1)(va)
    }

    fn id_register(&mut self, reg: SysReg) -> u64 {
        (self.id_register)(reg)
    }

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
}
