//! A core, with a vCPU that does what the test wrote down.

mod gich;
mod patience;
mod seam;
mod step;

pub use patience::Patience;
pub use step::{STEP, executed};

use super::sync::AtomicBool;
use super::system::System;
use super::worst::Worst;
use crate::addr::{Ipa, Va};
use crate::arch::vcpu::{Registers, Stage1Access, Trap, walks};
use crate::device::caught::VcpuDebug;
use crate::device::gic::{LRS_MAX, ListRegister};
use crate::limits::VMS_MAX;
use crate::trap::sysreg::SysReg;
use crate::vm::{Interrupt, VcpuIdentity};
use std::boxed::Box;
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::vec::Vec;

std::thread_local! {
    /// The physical count: it stands still until a test moves it.
    static COUNT: Cell<u64> = const { Cell::new(1 << 40) };
    /// SCTLR_EL1 as it was last written for a guest.
    static SCTLR: Cell<u64> = const { Cell::new(0) };
}

/// SCTLR_EL1 as EL2 last wrote it for a guest, in this thread: for a [`Recorder`](super::Recorder) to watch.
pub fn written_sctlr() -> u64 {
    SCTLR.get()
}

/// Moves the physical count.
pub fn set_count(count: u64) {
    COUNT.set(count);
}

/// What the vCPU does until its next trap.
pub type Step = Box<dyn FnOnce(&mut Registers) -> Trap + Send>;

/// What vCPUs do from their pc on until the next trap.
pub type Program = Box<dyn FnMut(&mut Registers) -> Trap + Send>;

/// An instruction of the loaded vCPU's, with all that the core has; and its trap to EL2, if it has one.
pub type Execute = Box<dyn FnMut(&mut FakeCore, &mut Registers) -> Option<Trap> + Send>;

/// What happens while a core sleeps.
pub type Dream = Box<dyn FnOnce(&mut FakeCore) + Send>;

/// Kicks on their way: one for each core of a board.
type Kicks = Arc<[AtomicBool; 8]>;

/// A core.
pub struct FakeCore {
    number: usize,
    /// The board that it is a core of: what there is of TLBs and caches.
    pub worst: Option<Worst>,
    /// For each VM the vCPU that it had last.
    last: [Option<usize>; VMS_MAX],
    /// Who is loaded.
    pub vcpu: Option<VcpuIdentity>,
    /// The VM whose translations it changed last, with nobody loaded.
    pub faced: Option<usize>,
    /// It still faces that one.
    facing: bool,
    /// What of the loaded vCPU makes way for it.
    lent: Option<walks::Lent>,
    /// No translation starts from the core's registers, and their timer is off.
    is_stopped: bool,
    /// Its registers.
    pub system: System,
    /// Its debug registers.
    pub debug: VcpuDebug,
    /// The same at the last context synchronization event: what an exception return may still see.
    debug_seen: VcpuDebug,
    /// What the vCPU is going to do.
    pub script: VecDeque<Step>,
    /// What it does from its pc on, when the script has ended; or nothing, and it computes.
    pub program: Option<Program>,
    /// What its vCPUs execute, one instruction behind the other, in place of a script.
    pub executes: Option<Execute>,
    /// Interrupts of the board.
    pub interrupts: VecDeque<Interrupt>,
    /// Counts that pass before each look for one: what EL2 does in between takes time.
    pub latency: u64,
    /// Cores that were kicked.
    pub kicked: Vec<usize>,
    kicks: Kicks,
    /// What happens when it kicks another one.
    pub on_kick: Option<Box<dyn FnMut(usize) + Send>>,
    /// What it waits for.
    pub patience: Patience,
    /// VM and vCPU, each time that one was entered and executed something.
    pub ran: Vec<(usize, usize)>,
    /// What happens while it sleeps, the next time and those after that, if there is no interrupt already.
    pub dreams: VecDeque<Dream>,
    /// What the alarm was set to, each time that it fell asleep.
    pub slept: Vec<u64>,
    /// Several vCPUs are pinned to it.
    pub multiplexed: bool,
    /// How far the guest's counter is behind, each time that it was set.
    pub offsets: Vec<u64>,
    /// When the alarm goes off.
    pub alarm: u64,
    /// When that of a review does.
    pub review_alarm: u64,
    /// The list registers.
    pub lists: [ListRegister; LRS_MAX],
    /// GICH_HCR.
    pub control: u32,
    /// GICH_VMCR and GICH_APR.
    pub interface: [u32; 2],
    /// The physical interrupt of the virtual timer is active.
    pub timer_active: bool,
    /// An SError of what was stored, which was not reported yet.
    pub error: bool,
    /// What the guest's stage 1 says.
    pub stage1: fn(Va, Stage1Access) -> Option<Ipa>,
    /// What `stage1` maps is Write-Back.
    pub write_back: bool,
    /// The hardware's identification registers.
    pub id_register: fn(SysReg) -> u64,
}

impl FakeCore {
    /// The core with this number.
    pub fn new(number: usize) -> Self {
        Self {
            number,
            worst: None,
            last: [None; VMS_MAX],
            vcpu: None,
            faced: None,
            facing: false,
            lent: None,
            is_stopped: true,
            system: System::RESET,
            debug: VcpuDebug::RESET,
            debug_seen: VcpuDebug::RESET,
            script: VecDeque::new(),
            program: None,
            executes: None,
            interrupts: VecDeque::new(),
            latency: 0,
            kicked: Vec::new(),
            kicks: Kicks::default(),
            on_kick: None,
            patience: Patience::None,
            ran: Vec::new(),
            dreams: VecDeque::new(),
            slept: Vec::new(),
            multiplexed: false,
            offsets: Vec::new(),
            alarm: u64::MAX,
            review_alarm: u64::MAX,
            lists: [ListRegister::EMPTY; LRS_MAX],
            control: 0,
            interface: [0; 2],
            timer_active: false,
            error: false,
            stage1: |va, _| Some(Ipa(va.0)),
            write_back: true,
            id_register: |_| 0,
        }
    }

    /// The cores of a board, from number 0: each can kick the others, from its own thread too.
    pub fn several(count: usize) -> Vec<Self> {
        let kicks = Kicks::default();
        let core = |number| Self {
            kicks: kicks.clone(),
            ..Self::new(number)
        };
        (0..count).map(core).collect()
    }

    /// The thread does what this core does, from here on.
    pub fn acts(&self) {
        if let Some(worst) = &self.worst {
            worst.enter(self.number);
        }
    }
}
