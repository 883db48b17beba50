//! What a core does between vCPUs: limits that are over, the UARTs, the operator's commands, periodic checkpoints.

use super::backend::Interrupt;
use super::budget::SLICE;
use super::clock::NEVER;
use super::console_host::ConsoleHost;
use super::control::tell_controller;
use super::operator::Controls;
use super::schedule::{OPERATORS_CORE, Scheduler};
use super::{Core, Vm, VmBackend};
use crate::console::Input;

impl<B: VmBackend, C: ConsoleHost<B>> Scheduler<'_, B, C> {
    /// Stops those whose time is over. On core 0, takes input, carries out the operator's commands and takes periodic checkpoints. No vCPU is
    /// loaded.
    pub(super) fn housekeep(&mut self) {
        let now = B::Core::physical_count();
        for i in 0..self.run_queue.len() {
            let (vm, _) = self.run_queue[i];
            if vm.limit() <= now {
                vm.stop_at_limit(self.core);
                tell_controller(self.vms, vm, self.core);
            }
        }
        if self.core.number() != OPERATORS_CORE {
            return;
        }
        if self.console.poll_due() <= B::Core::physical_count() {
            self.console_input();
        }
        if self.command_at() <= B::Core::physical_count() {
            self.command = false;
            let console = self.console;
            self.in_command = true;
            let input = console.run_command(&mut Controls::new(self));
            self.in_command = false;
            // Commands that come one behind the other leave the core to others in between.
            self.next_command = B::Core::physical_count() + SLICE;
            self.take_input(input);
        }
        for vm in self.vms {
            vm.checkpoint_when_due(self.core);
        }
    }

    /// Whether [`housekeep`](Self::housekeep), or the command that is being carried out, has something to do.
    pub(super) fn needs_housekeeping(&self) -> bool {
        let now = B::Core::physical_count();
        let due = |vm: &Vm<B>| vm.next_checkpoint() <= now;
        self.limits && self.run_queue.iter().any(|(vm, _)| vm.limit() <= now)
            || self.core.number() == OPERATORS_CORE
                && (self
                    .command_at()
                    .min(self.command_due)
                    .min(self.console.poll_due())
                    <= now
                    || self.vms.iter().any(due))
    }

    /// When a command is to be carried out that waits; or [`NEVER`].
    pub(super) fn command_at(&self) -> u64 {
        match self.command && !self.in_command {
            true => self.next_command,
            false => NEVER,
        }
    }

    /// Takes an interrupt that the core has, while no vCPU is loaded.
    pub(super) fn take_interrupt(&mut self) {
        match self.core.acknowledge() {
            Interrupt::Console => self.console_input(),
            Interrupt::Second => self.serve_second(),
            _ => {}
        }
    }

    /// Whether it is for the console that the core was interrupted.
    pub(super) fn is_the_consoles(&self, interrupt: Interrupt) -> bool {
        let is_due = || self.console.poll_due() <= B::Core::physical_count();
        interrupt == Interrupt::Console || self.core.number() == 0 && is_due()
    }

    pub(super) fn console_input(&mut self) {
        let input = self.console.drain_uart();
        self.take_input(input);
        // On the Raspberry Pi all PL011s have one interrupt.
        self.serve_second();
    }

    fn take_input(&mut self, input: Input) {
        self.command |= input.command;
        self.give_input(input.guest);
        for vm in (0..self.vms.len()).filter(|vm| input.room >> vm & 1 != 0) {
            self.give_input(Some(vm));
        }
    }

    pub(super) fn serve_second(&mut self) {
        let vm = self.console.serve_second();
        self.give_input(vm);
    }

    /// Says to VM number `vm` that it has input, or room for output.
    fn give_input(&mut self, vm: Option<usize>) {
        if let Some(vm) = vm.and_then(|vm| self.vms.get(vm)) {
            vm.request_input(self.core);
        }
    }
}
