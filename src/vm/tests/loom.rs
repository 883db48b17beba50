//! What cores may do and see beside each other, all of it: loom runs each of these again and again, with the cores' steps in another order, and
//! with older values where nothing orders a load behind a store. `make loom` runs them; other builds do not have them.
//!
//! All of the VM's code is the real one, and so is the scheduler's. The cores are fakes, whose kick is a release that who takes it acquires
//! ([`Core::kick`](crate::vm::Core::kick)). The guest's RAM is a [`Word`]: two accesses that nothing orders fail the test, even if they come
//! out right; likewise what a lock protects. A core that is not told sleeps for ever, which loom finds after a number of steps.

use super::guest::{CHECKPOINT, PLAN, share};
use super::interrupts::{GICD, ITARGETSR, UART_BIT};
use super::scheduling::{Quiet, turn_on};
use super::smp::{AFFINITY_INFO, CPU_OFF, CPU_ON, ENTRY, OPEN, WORD, sync};
use crate::arch::vcpu::{Registers, Trap, TrapKind};
use crate::config::VmConfig;
use crate::device::UART_BASE;
use crate::fake::abort::Abort;
use crate::fake::sync::{Word, yield_now};
use crate::fake::{FakeBoard, FakeCore, Patience, set_count};
use crate::monitor::VmControl;
use crate::vm::operator::Controls;
use crate::vm::schedule::Scheduler;
use crate::vm::vcpu::RunState;
use crate::vm::{Core, Vm};
use loom::thread::JoinHandle;
use std::boxed::Box;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use std::vec::Vec;

/// Bytes of each vCPU's instructions, the first's at [`ENTRY`].
const CODE: u64 = 0x100;

/// What the `step`th instruction of that vCPU does; or nothing, and it switches itself off.
pub trait Guest: Fn(usize, u64, &mut Registers) -> Option<Trap> + Send + Sync + 'static {}

impl<G: Fn(usize, u64, &mut Registers) -> Option<Trap> + Send + Sync + 'static> Guest for G {}

/// Runs through all that may happen, if a core is not interrupted between two steps more than so many times.
pub fn explore(preemptions: usize, scene: impl Fn() + Send + Sync + 'static) {
    let executions = Arc::new(AtomicUsize::new(0));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = 3000;
    let (count, start) = (executions.clone(), Instant::now());
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        scene();
    });
    let executions = executions.load(Ordering::Relaxed);
    std::println!("{executions} executions in {:.1?}", start.elapsed());
}

/// A thread with a larger stack than loom's.
pub fn spawn<R: Send + 'static>(action: impl FnOnce() -> R + Send + 'static) -> JoinHandle<R> {
    let thread = loom::thread::Builder::new().stack_size(1 << 17);
    thread.spawn(action).unwrap()
}

/// A VM whose vCPUs are all on, and two cores.
pub struct Scene {
    pub vms: Arc<Vec<Vm<FakeBoard>>>,
    cores: [Option<FakeCore>; 2],
    /// The vCPUs that have nothing left to do, a bit for each.
    ended: Arc<AtomicU8>,
}

impl Scene {
    /// With so many vCPUs, pinned to the cores that `core_of` says.
    pub fn new(vcpus: u32, core_of: fn(usize) -> usize, guest: impl Guest) -> Self {
        spawn(move || Self::set(vcpus, core_of, Arc::new(guest)))
            .join()
            .unwrap()
    }

    fn set(vcpus: u32, core_of: fn(usize) -> usize, guest: Arc<impl Guest>) -> Self {
        set_count(1 << 40);
        let plan = Box::leak(Box::new(VmConfig { vcpus, ..PLAN }));
        let share = [share(0, 32)];
        let vm = Vm::new(plan, 0, FakeBoard::new(&share), &share, core_of).unwrap();
        turn_on(&vm);
        let mut cores: [_; 2] = FakeCore::several(2).try_into().ok().unwrap();
        for (i, slot) in vm.vcpus.iter().enumerate() {
            let mut vcpu = slot.lock();
            vcpu.registers.pc = ENTRY + CODE * i as u64;
            vcpu.interface = OPEN;
            drop(vcpu);
            let enables = [(GICD, 1), (GICD + 0x100, 0xffff_ffff)];
            // UARTEN, RXE, TXE; the receive interrupts. They go to vCPU 0.
            let uart = [
                (ITARGETSR + 32, 0x0101_0101),
                (GICD + 0x104, UART_BIT),
                (UART_BASE.0 + 0x30, 0x301),
                (UART_BASE.0 + 0x38, 0x50),
            ];
            for (at, value) in enables.into_iter().chain(uart) {
                stores(&vm, &mut cores[core_of(i)], i, at, value);
            }
        }
        let ended = Arc::new(AtomicU8::new(0));
        for core in &mut cores {
            core.patience = Patience::Kick;
            let (guest, ended) = (guest.clone(), ended.clone());
            core.program = Some(Box::new(move |registers| {
                let vcpu = ((registers.pc - ENTRY) / CODE) as usize;
                let step = registers.pc % CODE / 4;
                guest(vcpu, step, registers).unwrap_or_else(|| {
                    ended.fetch_or(1 << vcpu, Ordering::Relaxed);
                    hvc(registers, CPU_OFF, &[])
                })
            }));
        }
        Self {
            vms: Arc::new(Vec::from([vm])),
            cores: cores.map(Some),
            ended,
        }
    }

    /// That core does what it does all day, until its vCPUs have nothing left to do.
    pub fn serve(&mut self, core: usize) -> JoinHandle<FakeCore> {
        self.serve_behind(core, |_, _| ())
    }

    /// The same, when it has done something else.
    pub fn serve_behind(
        &mut self,
        core: usize,
        first: impl FnOnce(&Vm<FakeBoard>, &mut FakeCore) + Send + 'static,
    ) -> JoinHandle<FakeCore> {
        let mut core = self.cores[core].take().unwrap();
        let (vms, ended) = (self.vms.clone(), self.ended.clone());
        spawn(move || {
            let vm = &vms[0];
            first(vm, &mut core);
            let number = core.number();
            let is_over = |vcpu: usize| {
                ended.load(Ordering::Relaxed) & 1 << vcpu != 0
                    && vm.vcpus[vcpu].run_state() == RunState::Off
            };
            let desk = Quiet::default();
            let mut scheduler = Scheduler::new(&mut core, &vms, &desk);
            while !vm.pinned_to(number).all(is_over) {
                let before = (scheduler.core.ran.len(), scheduler.core.slept.len());
                scheduler.schedule_once();
                // It found the vCPU locked, and the gate still open: it would try that for ever, if nobody else had a turn.
                if (scheduler.core.ran.len(), scheduler.core.slept.len()) == before {
                    yield_now();
                }
            }
            core
        })
    }

    /// Both do.
    fn serve_both(&mut self) {
        let cores = [0, 1].map(|core| self.serve(core));
        for core in cores {
            core.join().unwrap();
        }
    }

    /// That core does something else.
    fn on<R: Send + 'static>(
        &mut self,
        core: usize,
        action: impl FnOnce(&[Vm<FakeBoard>], &mut FakeCore) -> R + Send + 'static,
    ) -> JoinHandle<R> {
        let mut core = self.cores[core].take().unwrap();
        let vms = self.vms.clone();
        spawn(move || action(&vms, &mut core))
    }
}

/// A vCPU, which nobody has, stores 32 bits to a device.
fn stores(vm: &Vm<FakeBoard>, core: &mut FakeCore, vcpu: usize, at: u64, value: u64) {
    let mut running = vm.load(core, vcpu).unwrap();
    core.script
        .push_back(Box::new(move |registers| store(registers, at, value)));
    running.step(core);
    running.vcpu.registers.pc -= 4;
    running.put(core);
}

fn store(registers: &mut Registers, at: u64, value: u64) -> Trap {
    registers.x[9] = value;
    Abort {
        access: Some(WORD),
        ..Abort::store(at)
    }
    .trap()
}

/// `hvc #0`.
pub fn hvc(registers: &mut Registers, function: u64, arguments: &[u64]) -> Trap {
    registers.x[0] = function;
    registers.x[1..=arguments.len()].copy_from_slice(arguments);
    registers.pc += 4;
    sync(0x16, 0)
}

fn wfi() -> Trap {
    sync(0x01, 0)
}

/// Behind an instruction that does not trap: an interrupt of the board, or none that anybody knows.
fn next(registers: &mut Registers) -> Trap {
    registers.pc += 4;
    Trap {
        kind: TrapKind::Irq,
        ..sync(0, 0)
    }
}

/// The same, but the instruction is tried again. The others have a turn.
pub fn again() -> Trap {
    yield_now();
    Trap {
        kind: TrapKind::Irq,
        ..sync(0, 0)
    }
}

#[test]
fn who_stops_a_vm_has_it_to_itself_and_it_goes_on_afterwards() {
    explore(3, || {
        let ram = Arc::new(Word::new(0));
        let theirs = ram.clone();
        let mut scene = Scene::new(
            2,
            |vcpu| vcpu,
            move |_, step, registers| {
                (step == 0).then(|| {
                    theirs.set(theirs.get() + 1);
                    registers.x[5] = theirs.get();
                    next(registers)
                })
            },
        );
        let core = scene.serve(1);
        let stopper = scene.on(0, move |vms, core| {
            let vm = &vms[0];
            let shared = vm.shared.lock();
            let mut others = vm.quiesce(core, None);
            let vcpu = others.get(1).unwrap();
            assert_eq!(vcpu.registers.x[5], ram.get(), "the newest");
            ram.set(ram.get());
            vm.release(core, others);
            drop(shared);
        });
        stopper.join().unwrap();
        core.join().unwrap();
    });
}

#[test]
fn two_that_ask_at_once_get_it_one_after_the_other() {
    explore(2, || {
        let ids = Arc::new(Mutex::new(Vec::new()));
        let theirs = ids.clone();
        let mut scene = Scene::new(
            2,
            |vcpu| vcpu,
            move |_, step, registers| match step {
                0 => Some(hvc(registers, CHECKPOINT, &[])),
                1 => {
                    theirs.lock().unwrap().push(registers.x[0]);
                    Some(next(registers))
                }
                _ => None,
            },
        );
        scene.serve_both();
        let ids = ids.lock().unwrap();
        assert!(ids.len() == 2 && ids[0] != ids[1], "{ids:?}");
        assert!(scene.vms[0].is_off(), "both are");
    });
}

/// vCPU 0, on core 0, sends vCPU 1 an SGI; that one waits for it.
pub fn sends_an_sgi(vcpu: usize, step: u64, registers: &mut Registers) -> Option<Trap> {
    match (vcpu, step) {
        (0, 0) => Some(store(registers, GICD + 0xf00, 1 << 17 | 5)),
        (1, 0) => Some(wfi()),
        _ => None,
    }
}

#[test]
fn an_sgi_to_one_that_falls_asleep_wakes_it() {
    explore(3, || {
        let mut scene = Scene::new(2, |vcpu| vcpu, sends_an_sgi);
        scene.serve_both();
    });
}

#[test]
fn an_sgi_to_one_that_leaves_the_core_to_another_wakes_it() {
    explore(2, || {
        let mut scene = Scene::new(3, |vcpu| vcpu.min(1), sends_an_sgi);
        scene.serve_both();
    });
}

#[test]
fn input_for_one_that_falls_asleep_wakes_it() {
    explore(3, || {
        let mut scene = Scene::new(
            1,
            |_| 1,
            |_, step, _| match step {
                0 => Some(wfi()),
                _ => None,
            },
        );
        let mut shared = scene.vms[0].shared.lock();
        shared.memory.backend.typed.push_back(b'x');
        drop(shared);
        let core = scene.serve(1);
        let giver = scene.on(0, |vms, core| vms[0].request_input(core));
        giver.join().unwrap();
        core.join().unwrap();
    });
}

#[test]
fn one_that_is_seen_to_be_off_can_be_turned_on() {
    explore(2, || {
        let ram = Word::new(0);
        let mut scene = Scene::new(
            2,
            |vcpu| vcpu,
            move |vcpu, step, registers| match (vcpu, step) {
                (0, 0) => Some(hvc(registers, AFFINITY_INFO, &[1, 0])),
                (0, 1) if registers.x[0] == 0 => {
                    registers.pc -= 4;
                    Some(again())
                }
                (0, 1) => {
                    ram.set(ram.get() + 1);
                    Some(hvc(registers, CPU_ON, &[1, ENTRY + CODE + 8, 77]))
                }
                (0, _) => {
                    assert_eq!(registers.x[0], 0);
                    None
                }
                (1, 0) => {
                    ram.set(1);
                    Some(hvc(registers, CPU_OFF, &[]))
                }
                (1, 2) => {
                    assert_eq!((ram.get(), registers.x[0]), (2, 77));
                    ram.set(3);
                    Some(next(registers))
                }
                _ => None,
            },
        );
        scene.serve_both();
    });
}

#[test]
fn nobody_runs_while_the_vm_is_paused_and_then_all_know_the_time() {
    explore(2, || {
        let ram = Arc::new(Word::new(0));
        let resumed = Arc::new(AtomicBool::new(false));
        let (theirs, seen) = (ram.clone(), resumed.clone());
        let mut scene = Scene::new(
            2,
            |vcpu| vcpu,
            move |_, _, _| {
                theirs.set(theirs.get() + 1);
                (!seen.load(Ordering::Relaxed)).then(again)
            },
        );
        let core = scene.serve(1);
        let operator = scene.on(0, move |vms, core| {
            let desk = Quiet::default();
            let mut controls = Controls::of(vms, core, &desk);
            controls.pause(0).unwrap();
            ram.set(ram.get() + 1);
            set_count(FakeCore::physical_count() + 1000);
            resumed.store(true, Ordering::Relaxed);
            controls.resume(0).unwrap();
        });
        operator.join().unwrap();
        let core = core.join().unwrap();
        assert_eq!(core.offsets.last(), Some(&scene.vms[0].counter_offset()));
    });
}
