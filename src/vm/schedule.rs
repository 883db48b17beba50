//! What a physical core does all day: it runs the vCPUs that are pinned to it, in turn, and sleeps when none of them would run.
//!
//! A vCPU that waits for an interrupt stays loaded as long as no other vCPU wants the core: then its timer's interrupt finds it there. If
//! another one wants it, each has the core for its [budget](super::budget) at most, and pays for what it had. Core 0 has the console's interrupt, and does what the operator says;
//! the core of the VM that has the second UART has that one's.

use super::backend::Interrupt;
use super::budget::Budgets;
use super::clock::NEVER;
use super::console_host::ConsoleHost;
use super::control::{has_ended, tell_controller};
use super::controller::abandon_targets;
use super::exit::ExitAction;
use super::loaded::LoadedVcpu;
use super::{Core, Vm, VmBackend};
use alloc::vec::Vec;
use core::ops::ControlFlow;

/// The core that has the console, and does what the operator says.
pub(super) const OPERATORS_CORE: usize = 0;

/// Runs the vCPUs that are pinned to `core`, for ever.
pub fn run<B: VmBackend>(core: &mut B::Core, vms: &[Vm<B>], console: &impl ConsoleHost<B>) -> ! {
    let mut scheduler = Scheduler::new(core, vms, console);
    loop {
        if vms.iter().all(|vm| has_ended(vms, vm)) {
            console.power_off();
        }
        scheduler.schedule_once();
    }
}

/// The scheduler of a core. A vCPU is named by its place in the run queue.
pub(super) struct Scheduler<'a, B: VmBackend, C> {
    pub(super) core: &'a mut B::Core,
    pub(super) vms: &'a [Vm<B>],
    pub(super) console: &'a C,
    /// The vCPUs that are pinned to this core: VM and number.
    pub(super) run_queue: Vec<(&'a Vm<B>, usize)>,
    /// What they have left of it.
    pub(super) budgets: Budgets,
    /// The place in the run queue at which the next search for a runnable vCPU begins.
    next: usize,
    /// The operator has entered a command.
    pub(super) command: bool,
    /// One is being carried out.
    pub(super) in_command: bool,
    /// The physical count from which on the next one may be: a slice behind the end of the one before, so that others have the core however many come.
    pub(super) next_command: u64,
    /// The physical count at which that goes on, while others have the core; or [`NEVER`].
    pub(super) command_due: u64,
    /// Some of them are under control: their time may have a limit.
    pub(super) limits: bool,
}

/// A vCPU's time on the core.
#[derive(Clone, Copy)]
pub(super) struct Slice {
    /// The vCPU's place in the run queue.
    pub(super) vcpu: usize,
    /// The physical count at which its turn began.
    pub(super) start: u64,
    /// The physical count up to which it has paid, if it pays.
    paid: u64,
    /// Another vCPU wanted the core at the last look: it pays.
    pub(super) contended: bool,
}

/// A vCPU whose turn it is.
struct Turn {
    /// Its place in the run queue.
    vcpu: usize,
    /// The physical count at which its turn began.
    start: u64,
    /// Another one handed it the core.
    handed: Option<Handed>,
}

/// How a vCPU came to the core without the queue.
#[derive(Clone, Copy)]
pub(super) struct Handed {
    /// The place in the run queue of who had the core.
    pub(super) by: usize,
    /// A third one wants it.
    contended: bool,
}

impl<'a, B: VmBackend, C: ConsoleHost<B>> Scheduler<'a, B, C> {
    pub(super) fn new(core: &'a mut B::Core, vms: &'a [Vm<B>], console: &'a C) -> Self {
        let number = core.number();
        let run_queue: Vec<_> = vms
            .iter()
            .flat_map(|vm| vm.pinned_to(number).map(move |vcpu| (vm, vcpu)))
            .collect();
        core.set_multiplexed(run_queue.len() > 1);
        Self {
            core,
            vms,
            console,
            budgets: Budgets::new(run_queue.len()),
            limits: run_queue
                .iter()
                .any(|(vm, _)| vm.config.controlled_by.is_some()),
            run_queue,
            next: 0,
            command: false,
            in_command: false,
            next_command: 0,
            command_due: NEVER,
        }
    }

    /// Does what is to be done between two vCPUs, then runs the next runnable one; or sleeps, if there is none.
    pub(super) fn schedule_once(&mut self) {
        if !self.give_turn() {
            self.sleep();
        }
    }

    /// Does what is to be done between two vCPUs, then runs the next runnable one. Returns whether there was one.
    pub(super) fn give_turn(&mut self) -> bool {
        // What it takes to choose a vCPU is part of its turn: it may end at once, and be the one again.
        let mut start = B::Core::physical_count();
        if self.needs_housekeeping() {
            self.housekeep();
            start = B::Core::physical_count();
        }
        let run_queue = &self.run_queue;
        let runnable = |i: usize| {
            let (vm, vcpu) = run_queue[i];
            vm.is_runnable(vcpu)
        };
        let next = self.budgets.next(self.next, runnable);
        if let Some(i) = next {
            self.next = (i + 1) % run_queue.len();
            self.run_slice(i, start);
        }
        next.is_some()
    }

    pub(super) fn is_runnable(&self, i: usize) -> bool {
        let (vm, vcpu) = self.run_queue[i];
        vm.is_runnable(vcpu)
    }

    /// Whether a vCPU beside the `i`th wants the core.
    fn needs_resched(&self, i: usize) -> bool {
        (0..self.run_queue.len()).any(|other| other != i && self.is_runnable(other))
    }

    /// Sees who wants the core besides the vCPU that `slice` is of, which pays for what it had since another one did. Nobody pays for a core that
    /// nobody else wanted.
    fn update(&mut self, slice: &mut Slice) {
        let contended = self.needs_resched(slice.vcpu);
        if slice.contended != contended {
            let now = B::Core::physical_count();
            if slice.contended {
                self.budgets.charge(slice.vcpu, now - slice.paid);
            }
            (slice.paid, slice.contended) = (now, contended);
        }
    }

    /// Sleeps, with no vCPU loaded, until there is an interrupt.
    fn sleep(&mut self) {
        self.set_alarm(None);
        self.core.idle();
        self.take_interrupt();
    }

    /// Runs the `i`th vCPU, whose turn began at the physical count `start`; and as long as it, or who follows it, hands the core over, that one: who waits
    /// for a VM that it controls, and the VM that tells it something, need no queue.
    fn run_slice(&mut self, i: usize, start: u64) {
        let mut turn = Turn {
            vcpu: i,
            start,
            handed: None,
        };
        while let Some(next) = self.take_turn(&turn) {
            // Who wants the core besides the two has its share of it.
            if next.handed.is_some_and(|from| from.contended) && self.budgets.left(next.vcpu) == 0 {
                break;
            }
            turn = next;
        }
    }

    /// Loads a vCPU, runs it as long as it keeps the core, and puts it. Returns whose turn is next, if the core is handed over.
    fn take_turn(&mut self, turn: &Turn) -> Option<Turn> {
        let i = turn.vcpu;
        let (vm, vcpu) = self.run_queue[i];
        let mut slice = Slice {
            vcpu: i,
            start: turn.start,
            paid: turn.start,
            contended: match turn.handed {
                Some(from) => from.contended,
                None => self.needs_resched(i),
            },
        };
        let Some(mut loaded) = vm.load(self.core, vcpu) else {
            self.take_turn_without_vcpu(&mut slice);
            return None;
        };
        if let Some(from) = turn.handed {
            self.set_alarm_when_handed(from, &slice);
            loaded.return_from_run(self.vms);
        } else {
            self.set_alarm(Some(&slice));
        }
        let mut next = None;
        loop {
            let mut action = loaded.run(self.vms, self.core);
            if action == ExitAction::Await {
                // If another core has ended that already, it has kicked this one.
                if let Some(target) = loaded.slot().awaited() {
                    next = self.place_of(|vm, vcpu| vm.number == target && vm.is_runnable(vcpu));
                }
                if next.is_some() {
                    break;
                }
                action = ExitAction::Wait;
            }
            if matches!(action, ExitAction::Put) {
                break;
            }
            if action == ExitAction::Wait && !self.needs_resched(i) && !self.needs_housekeeping() {
                action = self.sleep_loaded(&mut loaded, &slice);
            }
            if action == ExitAction::Unfinished {
                // As if the vCPU had run: what would have interrupted it is seen to. It is there still if there was none.
                action = loaded.handle_interrupt(self.core);
            }
            self.update(&mut slice);
            if self.after_run(&mut loaded, &slice, action).is_break() {
                break;
            }
        }
        loaded.put(self.core);
        let now = B::Core::physical_count();
        if slice.contended {
            self.budgets.charge(i, now - slice.paid);
        }
        Some(Turn {
            vcpu: next.or_else(|| self.after_put(vm))?,
            start: now,
            handed: Some(Handed {
                by: i,
                contended: slice.contended,
            }),
        })
    }

    /// The turn of a vCPU that could not be loaded: its VM is in the midst of an errand, which goes on; or another core has what loading takes.
    #[cold]
    #[inline(never)]
    fn take_turn_without_vcpu(&mut self, slice: &mut Slice) {
        let (vm, vcpu) = self.run_queue[slice.vcpu];
        if !vm.goes_on_errand(vcpu) {
            // Who else wants the core does not wait for that, too.
            self.budgets.forfeit(slice.vcpu);
            return self.take_interrupt();
        }
        loop {
            vm.go_on_errand(self.core);
            self.take_interrupt();
            self.update(slice);
            let now = B::Core::physical_count();
            if !vm.has_errand() || self.needs_housekeeping() || now >= self.end_of_slice(slice) {
                break;
            }
        }
        if slice.contended {
            let now = B::Core::physical_count();
            self.budgets.charge(slice.vcpu, now - slice.paid);
        }
    }

    /// What comes after a vCPU of `vm` was put: who controls the VM, or is controlled by it, gets to know that it stopped. Returns who waited for that.
    #[inline]
    fn after_put(&mut self, vm: &Vm<B>) -> Option<usize> {
        abandon_targets(self.vms, vm, self.core);
        let vcpu = tell_controller(self.vms, vm, self.core)?;
        let controller = vm.config.controlled_by?;
        self.place_of(|vm, index| vm.number == controller && index == vcpu)
    }

    /// The first place in the run queue of which this is true.
    #[inline]
    fn place_of(&self, is_it: impl Fn(&Vm<B>, usize) -> bool) -> Option<usize> {
        self.run_queue
            .iter()
            .position(|&(vm, vcpu)| is_it(vm, vcpu))
    }

    /// Sleeps with the vCPU loaded, which waits, until there is an interrupt; and has the vCPU handle that. It may still wait afterwards.
    fn sleep_loaded(&mut self, loaded: &mut LoadedVcpu<'_, B>, slice: &Slice) -> ExitAction {
        self.set_alarm(Some(slice));
        self.core.idle();
        loaded.handle_interrupt(self.core)
    }

    /// Does what `action` asks of the scheduler, and says whether the vCPU keeps the core.
    fn after_run(
        &mut self,
        loaded: &mut LoadedVcpu<'_, B>,
        slice: &Slice,
        action: ExitAction,
    ) -> ControlFlow<()> {
        let keeps_core = match action {
            ExitAction::Resume | ExitAction::Review | ExitAction::Unfinished => true,
            ExitAction::Put => false,
            // It would have slept, had no other vCPU wanted the core.
            ExitAction::Wait | ExitAction::Control | ExitAction::Await => false,
            ExitAction::Yield if slice.contended => {
                self.budgets.forfeit(slice.vcpu);
                false
            }
            ExitAction::Yield => true,
            ExitAction::Interrupt(source)
                if source == Interrupt::Second || self.is_the_consoles(source) =>
            {
                match source {
                    Interrupt::Second => self.serve_second(),
                    _ => self.console_input(),
                }
                // It may have been the alarm.
                self.set_alarm(Some(slice));
                loaded.check_requests(self.core) != ExitAction::Put && !self.needs_housekeeping()
            }
            ExitAction::Interrupt(_) if self.needs_housekeeping() => false,
            ExitAction::Interrupt(_) => {
                let is_over = self.run_queue.len() > 1
                    && B::Core::physical_count() >= self.end_of_slice(slice);
                if !is_over {
                    self.set_alarm(Some(slice));
                }
                !is_over
            }
        };
        match keeps_core {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }
}
