//! As `loom`, of a controller and its target, each on a core of its own: whatever the order of their steps, each stop is told once, and nobody
//! sleeps for ever.

use super::control::{CONTROLLED, CONTROLLER, EVENT, RUN};
use super::guest::share;
use super::loom::{explore, hvc, spawn};
use super::scheduling::Quiet;
use super::smp::{OPEN, SYSTEM_OFF};
use crate::arch::vcpu::{Registers, Trap};
use crate::config::VmConfig;
use crate::fake::sync::yield_now;
use crate::fake::{FakeBoard, FakeCore, Patience, set_count};
use crate::monitor::VmControl;
use crate::vm::Vm;
use crate::vm::operator::Controls;
use crate::vm::schedule::Scheduler;
use loom::thread::JoinHandle;
use std::boxed::Box;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::vec::Vec;

/// What a guest's next call is, by what its last one returned; or none any more.
type Call = Option<(u64, [u64; 3])>;

/// A controller on core 0 and its target on core 1.
struct Scene {
    vms: Arc<Vec<Vm<FakeBoard>>>,
    cores: [Option<FakeCore>; 2],
    /// The VMs that have nothing left to do, a bit for each.
    ended: Arc<AtomicU8>,
}

impl Scene {
    /// What each of them calls next; `x` are its x0 to x3.
    fn new(next: impl Fn(usize, [u64; 4]) -> Call + Send + Sync + 'static) -> Self {
        spawn(move || Self::set(Arc::new(next))).join().unwrap()
    }

    fn set(next: Arc<impl Fn(usize, [u64; 4]) -> Call + Send + Sync + 'static>) -> Self {
        set_count(1 << 40);
        let vm = |(number, plan): (usize, VmConfig)| {
            let share = [share(number as u64, 32)];
            let plan = Box::leak(Box::new(plan));
            let vm = Vm::new(plan, number, FakeBoard::new(&share), &share, |_| number).unwrap();
            let mut vcpu = vm.vcpus[0].lock();
            vcpu.registers.x[20] = number as u64;
            vcpu.interface = OPEN;
            drop(vcpu);
            vm
        };
        let vms = [CONTROLLER, CONTROLLED].into_iter().enumerate().map(vm);
        let vms = Arc::new(vms.collect::<Vec<_>>());
        let ended = Arc::new(AtomicU8::new(0));
        let mut cores: [_; 2] = FakeCore::several(2).try_into().ok().unwrap();
        for core in &mut cores {
            core.patience = Patience::Kick;
            let (next, ended) = (next.clone(), ended.clone());
            core.program = Some(Box::new(move |registers: &mut Registers| -> Trap {
                let number = registers.x[20] as usize;
                let x = registers.x[..4].try_into().unwrap();
                match next(number, x) {
                    Some((function, arguments)) => hvc(registers, function, &arguments),
                    None => {
                        ended.fetch_or(1 << number, Ordering::Relaxed);
                        hvc(registers, SYSTEM_OFF, &[])
                    }
                }
            }));
        }
        Self {
            vms,
            cores: cores.map(Some),
            ended,
        }
    }

    /// That core does what it does all day, until the VM that is pinned to it has nothing left to do.
    fn serve(&mut self, core: usize) -> JoinHandle<()> {
        let mut fake = self.cores[core].take().unwrap();
        let (vms, ended) = (self.vms.clone(), self.ended.clone());
        spawn(move || {
            let desk = Quiet::default();
            let mut scheduler = Scheduler::new(&mut fake, &vms, &desk);
            while ended.load(Ordering::Relaxed) & 1 << core == 0 || !vms[core].is_off() {
                let before = (scheduler.core.ran.len(), scheduler.core.slept.len());
                scheduler.schedule_once();
                if (scheduler.core.ran.len(), scheduler.core.slept.len()) == before {
                    yield_now();
                }
            }
        })
    }
}

#[test]
fn each_event_is_told_once_and_the_target_goes_on() {
    explore(2, || {
        let told = Arc::new(Mutex::new(Vec::new()));
        let theirs = told.clone();
        let mut scene = Scene::new(move |vm, x| match (vm, x) {
            (0, [0, 1 | 2, a, b]) => {
                theirs.lock().unwrap().push((x[1], a, b));
                Some((RUN, [0; 3]))
            }
            // It is off.
            (0, [2, ..]) => None,
            (0, _) => Some((RUN, [0; 3])),
            // EVENT has returned 0 and left the rest.
            (_, [0, 1, ..]) => Some((EVENT, [2, 20, 21])),
            (_, [0, 2, ..]) => None,
            (_, _) => Some((EVENT, [1, 10, 11])),
        });
        let cores = [0, 1].map(|core| scene.serve(core));
        for core in cores {
            core.join().unwrap();
        }
        assert_eq!(*told.lock().unwrap(), [(1, 10, 11), (2, 20, 21)]);
    });
}

#[test]
fn what_the_operator_does_to_a_target_reaches_who_runs_it() {
    explore(2, || {
        let told = Arc::new(Mutex::new(Vec::new()));
        let theirs = told.clone();
        // Reset, it has not begun: its controller is not told of an event.
        let mut scene = Scene::new(move |vm, x| match (vm, x[0]) {
            (0, RUN..) | (1, _) => Some((RUN, [0; 3])),
            (0, 1) => {
                theirs.lock().unwrap().push(x[0]);
                None
            }
            (_, _) => Some((RUN, [0; 3])),
        });
        let controller = scene.serve(0);
        let mut core = scene.cores[1].take().unwrap();
        let vms = scene.vms.clone();
        let operator = spawn(move || {
            let desk = Quiet::default();
            let mut controls = Controls::of(&vms, &mut core, &desk);
            controls.pause(1).unwrap();
            controls.resume(1).unwrap();
            // Only one that runs is told of.
            while controls.status(1).state != crate::monitor::VmState::Running {
                yield_now();
            }
            controls.reset(1).unwrap();
        });
        operator.join().unwrap();
        controller.join().unwrap();
        assert_eq!(*told.lock().unwrap(), [1]);
    });
}
