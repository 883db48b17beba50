//! What a physical core does all day: it runs the vCPUs that are pinned to it, in turn, and sleeps when none of them would run.
//!
//! A vCPU that waits for an interrupt stays loaded as long as no other wants the core: then its timer's interrupt finds it there. With others
//! about, each has the core for a [`SLICE`] at most. Core 0 has the console's interrupt, and does what the operator says.

use super::backend::Interrupt;
use super::loaded::{Next, Running};
use super::operator::Controls;
use super::vcpu::NEVER;
use super::{Core, Hardware, Vm};
use crate::console::Input;
use crate::monitor::Operator;
use alloc::vec::Vec;

/// How long a vCPU has the core if another wants it: counts of the physical counter, about 5 ms on both boards.
pub(super) const SLICE: u64 = 1 << 18;

/// How soon a vCPU gets the core that another on the same core has called: the caller may be waiting for it.
pub(super) const SOON: u64 = SLICE / 16;

/// All VMs.
pub struct World<H: Hardware> {
    /// By number.
    pub vms: Vec<Vm<H>>,
}

/// The operator's desk, and the power switch.
pub trait Desk<H: Hardware> {
    /// Takes the console's input.
    fn input(&self) -> Input;
    /// The physical count at which it is to be taken if no interrupt has come by then.
    fn input_due(&self) -> u64;
    /// Does what the operator entered. Returns the VM that has characters to read after that, if one has.
    fn command(&self, operator: &mut impl Operator) -> Option<usize>;
    /// The VM that has the keyboard.
    fn attached(&self) -> usize;
    /// Gives the keyboard to a VM.
    fn attach(&self, vm: usize);
    /// All VMs are off.
    fn power_off(&self) -> !;
}

/// Runs the vCPUs that are pinned to `core`, for ever.
pub fn run<H: Hardware>(core: &mut H::Core, world: &World<H>, desk: &impl Desk<H>) -> ! {
    let mut scheduler = Scheduler::new(core, world, desk);
    loop {
        if world.vms.iter().all(Vm::is_off) {
            desk.power_off();
        }
        scheduler.round();
    }
}

pub(super) struct Scheduler<'a, H: Hardware, D> {
    pub(super) core: &'a mut H::Core,
    world: &'a World<H>,
    desk: &'a D,
    /// The vCPUs of this core: VM and number.
    own: Vec<(&'a Vm<H>, usize)>,
    /// Which of them is next.
    turn: usize,
    /// The operator waits.
    command: bool,
}

impl<'a, H: Hardware, D: Desk<H>> Scheduler<'a, H, D> {
    pub(super) fn new(core: &'a mut H::Core, world: &'a World<H>, desk: &'a D) -> Self {
        let number = core.number();
        let own: Vec<_> = world
            .vms
            .iter()
            .flat_map(|vm| vm.pinned_to(number).map(move |vcpu| (vm, vcpu)))
            .collect();
        core.set_shared(own.len() > 1);
        Self {
            core,
            world,
            desk,
            own,
            turn: 0,
            command: false,
        }
    }

    /// One vCPU's visit to the core; or a sleep, if there is none.
    pub(super) fn round(&mut self) {
        self.chores();
        let count = self.own.len();
        let runnable = |&i: &usize| self.is_runnable(i % count);
        match (self.turn..self.turn + count).find(runnable) {
            Some(i) => {
                self.turn = (i + 1) % count;
                self.visit(i % count);
            }
            None => self.sleep(),
        }
    }

    fn is_runnable(&self, i: usize) -> bool {
        let (vm, vcpu) = self.own[i];
        vm.is_runnable(vcpu)
    }

    /// Whether a vCPU beside the `i`th wants the core.
    fn is_wanted(&self, i: usize) -> bool {
        (0..self.own.len()).any(|other| other != i && self.is_runnable(other))
    }

    /// What must be done while no vCPU is loaded.
    fn chores(&mut self) {
        if self.core.number() != 0 {
            return;
        }
        if self.desk.input_due() <= H::Core::count() {
            self.console_input();
        }
        if core::mem::take(&mut self.command) {
            let vm = self.desk.command(&mut Controls {
                world: self.world,
                core: self.core,
                desk: self.desk,
            });
            self.give_input(vm);
        }
        for vm in &self.world.vms {
            vm.checkpoint_when_due(self.core);
        }
    }

    fn has_chores(&self) -> bool {
        let now = H::Core::count();
        let due = |vm: &Vm<H>| vm.next_checkpoint() <= now;
        self.core.number() == 0
            && (self.command || self.desk.input_due() <= now || self.world.vms.iter().any(due))
    }

    /// How long the `i`th vCPU, which has the core since `start`, may keep it: a physical count.
    fn end_of_turn(&self, i: usize, start: u64) -> u64 {
        let others = (0..self.own.len()).filter(|&other| other != i && self.is_runnable(other));
        let patience = others.map(|other| {
            let (vm, vcpu) = self.own[other];
            if vm.is_called(vcpu) { SOON } else { SLICE }
        });
        patience.min().map_or(NEVER, |patience| start + patience)
    }

    /// Sets the alarm to when something is to be done here besides running the `i`th vCPU, which has the core since `start`.
    fn set_alarm(&mut self, turn: Option<(usize, u64)>) {
        let mut at = turn.map_or(NEVER, |(i, start)| self.end_of_turn(i, start));
        // Those that wait. What the one that is on waits for interrupts by itself.
        for other in (0..self.own.len()).filter(|&other| turn.is_none_or(|(i, _)| i != other)) {
            if !self.is_runnable(other) {
                let (vm, vcpu) = self.own[other];
                at = at.min(vm.deadline_of(vcpu));
            }
        }
        if self.core.number() == 0 {
            let next = self.world.vms.iter().map(Vm::next_checkpoint).min();
            at = at.min(next.unwrap_or(NEVER)).min(self.desk.input_due());
        }
        if at != NEVER {
            self.core.alarm_by(at);
        }
    }

    fn sleep(&mut self) {
        self.set_alarm(None);
        self.core.idle();
        if self.core.acknowledge() == Interrupt::Console {
            self.console_input();
        }
    }

    fn console_input(&mut self) {
        let input = self.desk.input();
        self.command |= input.command;
        self.give_input(input.guest);
    }

    fn give_input(&mut self, vm: Option<usize>) {
        if let Some(vm) = vm.and_then(|vm| self.world.vms.get(vm)) {
            vm.give_input(self.core);
        }
    }

    fn visit(&mut self, i: usize) {
        let (vm, vcpu) = self.own[i];
        let Some(mut running) = vm.load_vcpu(self.core, vcpu) else {
            return;
        };
        let start = H::Core::count();
        self.set_alarm(Some((i, start)));
        loop {
            let mut next = running.run(self.core);
            if next == Next::Wait && !self.is_wanted(i) && !self.has_chores() {
                self.set_alarm(Some((i, start)));
                self.core.idle();
                next = running.interrupt(self.core);
            }
            if !self.goes_on(&mut running, i, next, start) {
                break;
            }
        }
        running.save(self.core);
    }

    /// Whether the `i`th vCPU keeps the core.
    fn goes_on(&mut self, running: &mut Running<'_, H>, i: usize, next: Next, start: u64) -> bool {
        match next {
            Next::Resume | Next::Review => true,
            Next::Leave => false,
            // It would have slept, had nobody else wanted the core.
            Next::Wait => false,
            Next::Yield => !self.is_wanted(i),
            Next::Interrupt(Interrupt::Console) => {
                self.console_input();
                running.answer_calls(self.core) != Next::Leave && !self.has_chores()
            }
            Next::Interrupt(_) if self.has_chores() => false,
            Next::Interrupt(_) => {
                let over = self.own.len() > 1 && H::Core::count() >= self.end_of_turn(i, start);
                if !over {
                    self.set_alarm(Some((i, start)));
                }
                !over
            }
        }
    }
}
