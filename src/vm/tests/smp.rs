//! A VM with several vCPUs, each on a core of its own.

use super::guest::*;
use crate::arch::vcpu::{Registers, Trap, TrapKind};
use crate::config::VmConfig;
use crate::device::gic::ListRegister;
use crate::device::timer::PhysicalTimer;
use crate::fake::abort::Abort;
use crate::fake::worst::Luck;
use crate::fake::{FakeBoard, FakeCore, Patience, System};
use crate::hvc::ids;
use crate::trap::Access;
use crate::trap::sysreg::TimerRegister;
use crate::vm::saved_lrs::SavedLrs;
use crate::vm::vcpu::RunState;
use crate::vm::{Core, ExitAction, Interrupt, LoadedVcpu, Vm};
use std::boxed::Box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::vec::Vec;

pub const CPU_OFF: u64 = ids::PSCI_CPU_OFF.0 as u64;
pub const CPU_ON: u64 = ids::PSCI_CPU_ON_64.0 as u64;
pub const AFFINITY_INFO: u64 = ids::PSCI_AFFINITY_INFO_64.0 as u64;
pub const SYSTEM_OFF: u64 = ids::PSCI_SYSTEM_OFF.0 as u64;
pub const SYSTEM_RESET: u64 = ids::PSCI_SYSTEM_RESET.0 as u64;

/// GICH_VMCR and GICH_APR of a CPU interface that signals everything.
pub const OPEN: [u32; 2] = [0x1f << 27 | 3, 0];

/// Where vCPUs beside the first start.
pub const ENTRY: u64 = RAM + 0x9_0000;

/// All that a saved vCPU is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    pub registers: Registers,
    pub system: System,
    pub interface: [u32; 2],
    pub timer: PhysicalTimer,
    pub run_state: RunState,
}

/// The VM, and a core for each of its vCPUs. A vCPU is either loaded on its core or saved.
pub struct Smp {
    pub vm: &'static Vm<FakeBoard>,
    pub cores: Vec<FakeCore>,
    loaded: Vec<Option<LoadedVcpu<'static, FakeBoard>>>,
}

impl Smp {
    /// A VM of which vCPU 0 is on, and loaded.
    pub fn new(vcpus: u32) -> Self {
        Self::with(VmConfig { vcpus, ..PLAN })
    }

    /// The same, with another plan.
    pub fn with(plan: VmConfig) -> Self {
        let share = [share(0, 32)];
        let plan: &'static VmConfig = Box::leak(Box::new(plan));
        let board = FakeBoard::with_luck(&share, Luck::bad(plan.vcpus.into()));
        let vm = Vm::new(plan, 0, board, &share, |vcpu| vcpu).unwrap();
        Self::of(Box::leak(Box::new(vm)))
    }

    /// The same, of a VM that was just started.
    pub fn of(vm: &'static Vm<FakeBoard>) -> Self {
        let vcpus = vm.vcpus.len();
        let mut smp = Self {
            vm,
            cores: FakeCore::several(vcpus),
            loaded: (0..vcpus).map(|_| None).collect(),
        };
        let worst = smp.vm.shared.lock().memory.backend.worst.clone();
        for core in &mut smp.cores {
            core.worst = Some(worst.clone());
        }
        assert!(smp.load(0));
        smp
    }

    /// The same, all of whose vCPUs are on and saved.
    pub fn all_on(vcpus: u32) -> Self {
        let mut smp = Self::new(vcpus);
        for vcpu in 1..vcpus.into() {
            assert_eq!(smp.ask(0, CPU_ON, &[vcpu, ENTRY, 0]), 0);
        }
        smp.save(0);
        smp
    }

    /// Loads a vCPU, if it may run.
    pub fn load(&mut self, vcpu: usize) -> bool {
        assert!(self.loaded[vcpu].is_none());
        self.loaded[vcpu] = self.vm.load(&mut self.cores[vcpu], vcpu);
        self.loaded[vcpu].is_some()
    }

    pub fn save(&mut self, vcpu: usize) {
        let running = self.loaded[vcpu].take().expect("it is loaded");
        running.put(&mut self.cores[vcpu]);
    }

    /// The vCPU, which is loaded, and its core.
    pub fn on(&mut self, vcpu: usize) -> (&mut LoadedVcpu<'static, FakeBoard>, &mut FakeCore) {
        let running = self.loaded[vcpu].as_mut().expect("it is loaded");
        (running, &mut self.cores[vcpu])
    }

    /// Of a vCPU that is loaded.
    pub fn registers(&mut self, vcpu: usize) -> &mut Registers {
        &mut self.on(vcpu).0.vcpu.registers
    }

    pub fn trap(&mut self, vcpu: usize, trap: Trap) -> ExitAction {
        let (running, core) = self.on(vcpu);
        core.script.push_back(Box::new(move |_| trap));
        finished(running, core)
    }

    /// `hvc #0`.
    pub fn call(&mut self, vcpu: usize, function: u64, arguments: &[u64]) -> ExitAction {
        let registers = self.registers(vcpu);
        registers.x[0] = function;
        registers.x[1..=arguments.len()].copy_from_slice(arguments);
        registers.pc += 4;
        self.trap(vcpu, sync(0x16, 0))
    }

    /// The same, of a call that returns: x0.
    pub fn ask(&mut self, vcpu: usize, function: u64, arguments: &[u64]) -> u64 {
        assert_eq!(self.call(vcpu, function, arguments), ExitAction::Resume);
        self.registers(vcpu).x[0]
    }

    /// WFI.
    pub fn wfi(&mut self, vcpu: usize) -> ExitAction {
        self.trap(vcpu, sync(0x01, 0))
    }

    /// An interrupt of the board.
    pub fn irq(&mut self, vcpu: usize, interrupt: Interrupt) -> ExitAction {
        self.cores[vcpu].interrupts.push_back(interrupt);
        self.take_irq(vcpu)
    }

    /// One that is there already.
    pub fn take_irq(&mut self, vcpu: usize) -> ExitAction {
        let irq = Trap {
            kind: TrapKind::Irq,
            ..sync(0, 0)
        };
        self.trap(vcpu, irq)
    }

    /// A store of 32 bits to a device.
    pub fn store(&mut self, vcpu: usize, at: u64, value: u64) {
        self.registers(vcpu).x[9] = value;
        let store = Abort {
            access: Some(WORD),
            ..Abort::store(at)
        };
        let next = self.trap(vcpu, store.trap());
        assert!(matches!(next, ExitAction::Resume | ExitAction::Review));
    }

    /// A load of 32 bits from a device.
    pub fn load_from(&mut self, vcpu: usize, at: u64) -> u64 {
        let load = Abort {
            access: Some(WORD),
            ..Abort::load(at)
        };
        let next = self.trap(vcpu, load.trap());
        assert!(matches!(next, ExitAction::Resume | ExitAction::Review));
        self.registers(vcpu).x[9]
    }

    /// MSR of a timer's register.
    pub fn set_timer(&mut self, vcpu: usize, register: TimerRegister, value: u64) {
        self.registers(vcpu).x[9] = value;
        assert_eq!(
            self.trap(vcpu, timer_access(register, 0)),
            ExitAction::Resume
        );
    }

    /// MRS of a timer's register.
    pub fn timer(&mut self, vcpu: usize, register: TimerRegister) -> u64 {
        assert_eq!(
            self.trap(vcpu, timer_access(register, 1)),
            ExitAction::Resume
        );
        self.registers(vcpu).x[9]
    }

    /// What is in the list registers of its core: interrupts that are pending, and those that are active.
    pub fn listed(&self, vcpu: usize) -> [Vec<u32>; 2] {
        let of = |is: fn(ListRegister) -> bool| {
            let lrs = self.cores[vcpu].lists.into_iter().filter(|&list| is(list));
            let mut intids: Vec<_> = lrs.map(|list| list.intid()).collect();
            intids.sort();
            intids
        };
        [of(|list| list.is_pending()), of(|list| list.is_active())]
    }

    pub fn phases(&self) -> Vec<RunState> {
        self.vm.vcpus.iter().map(|slot| slot.run_state()).collect()
    }

    /// A vCPU that is saved.
    pub fn saved(&self, vcpu: usize) -> Saved {
        let slot = &self.vm.vcpus[vcpu];
        let saved = slot.try_lock().expect("it is saved");
        Saved {
            registers: saved.registers,
            system: saved.system,
            interface: saved.interface,
            timer: saved.timer,
            run_state: slot.run_state(),
        }
    }

    pub fn all_saved(&self) -> Vec<Saved> {
        (0..self.cores.len()).map(|i| self.saved(i)).collect()
    }

    /// Puts different values everywhere in a saved vCPU, which `seed` decides; its timers are off.
    pub fn scramble(&mut self, vcpu: usize, seed: u64) {
        let value =
            |n: u64| ((seed << 16 | vcpu as u64) << 16 | n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut saved = self.vm.vcpus[vcpu].try_lock().expect("it is saved");
        saved.registers = Registers {
            x: std::array::from_fn(|i| value(i as u64)),
            pc: ENTRY + (value(31) & 0xffc),
            pstate: 0x3c5 | value(32) & 0xf000_0000,
        };
        saved.system = System {
            vbar: value(40),
            sctlr: value(41),
            tpidr_el1: value(42),
            vectors: std::array::from_fn(|i| value(50 + i as u64)),
            ..System::RESET
        };
        saved.interface = [value(60) as u32, value(61) as u32];
        saved.timer.write(TimerRegister::Compare, value(62), 0);
    }

    pub fn scramble_all(&mut self, seed: u64) {
        for vcpu in 0..self.cores.len() {
            self.scramble(vcpu, seed);
        }
    }

    /// Does something while `others` compute or wait on their cores, in threads; they are saved before it and after it.
    pub fn beside<R>(&mut self, others: &[usize], action: impl FnOnce(&mut Self) -> R) -> R {
        let (vm, done) = (self.vm, AtomicBool::new(false));
        let numbers = 0..self.cores.len();
        let mut board: Vec<_> = self
            .cores
            .iter_mut()
            .map(|core| Some(std::mem::replace(core, FakeCore::new(0))))
            .collect();
        let mut theirs = Vec::new();
        for i in numbers {
            let core = board[i].take().unwrap();
            match others.contains(&i) {
                true => theirs.push((i, core)),
                false => self.cores[i] = core,
            }
        }
        std::thread::scope(|scope| {
            let serve = |(i, mut core): (usize, FakeCore)| {
                let done = &done;
                scope.spawn(move || {
                    core.patience = Patience::Kick;
                    // A kick takes it out of its run loop: it sees that the test is done.
                    core.set_multiplexed(true);
                    serve(vm, i, &mut core, done);
                    // In what follows it is the test's core: alone with its vCPU, which waits for the VM's lock as long as it takes.
                    core.set_multiplexed(false);
                    (i, core)
                })
            };
            let threads: Vec<_> = theirs.into_iter().map(serve).collect();
            for &i in others {
                while vm.vcpus[i].run_state() == RunState::Ready && vm.vcpus[i].try_lock().is_some()
                {
                    std::thread::yield_now();
                }
            }
            let result = action(self);
            done.store(true, Ordering::Release);
            let mine = (0..self.cores.len()).find(|i| !others.contains(i)).unwrap();
            for &i in others {
                self.cores[mine].kick(i);
            }
            for thread in threads {
                let (i, core) = thread.join().unwrap();
                self.cores[i] = core;
            }
            result
        })
    }
}

/// Runs a vCPU until the test is done.
fn serve(vm: &Vm<FakeBoard>, vcpu: usize, core: &mut FakeCore, done: &AtomicBool) {
    while !done.load(Ordering::Acquire) {
        let Some(mut running) = vm.load(core, vcpu) else {
            std::thread::yield_now();
            continue;
        };
        while !done.load(Ordering::Acquire) {
            let mut next = running.run(&[], core);
            if next == ExitAction::Wait {
                core.idle();
                next = running.handle_interrupt(core);
            }
            if next == ExitAction::Put {
                break;
            }
        }
        running.put(core);
    }
    let mut lrs = SavedLrs::default();
    lrs.take_from(core);
    assert_eq!(lrs, SavedLrs::default());
}

/// An access of 32 bits, with x9.
pub const WORD: Access = Access {
    size: 4,
    reg: 9,
    sign_extend: false,
    sixty_four: false,
};

/// MRS (1) or MSR (0) with x9.
fn timer_access(register: TimerRegister, direction: u64) -> Trap {
    let reg = register.encoding();
    let fields = [
        (reg.op0(), 20),
        (reg.op2(), 17),
        (reg.op1(), 14),
        (reg.crn(), 10),
        (9, 5),
        (reg.crm(), 1),
    ];
    let place = |iss, (field, shift): (u8, u32)| iss | u64::from(field) << shift;
    sync(0x18, fields.into_iter().fold(direction, place))
}

/// A synchronous exception of `class` with this syndrome, from an instruction of 32 bits.
pub fn sync(class: u64, iss: u64) -> Trap {
    Trap {
        kind: TrapKind::Sync,
        esr: class << 26 | 1 << 25 | iss,
        far: 0,
        hpfar: 0,
    }
}
