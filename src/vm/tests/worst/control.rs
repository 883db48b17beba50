//! What a controller does to its target on the worst board, and what both read afterwards.

use super::op::{Control, Op};
use super::places::PAGES;
use super::{CORES, World, play};
use crate::fake::worst::Luck;
use crate::hvc::{FunctionId, ids};
use crate::vm::ExitAction;
use crate::vm::controller::AfterCall;
use crate::vm::vcpu::RunState;
use std::vec::Vec;

impl World<'_> {
    /// Calls, as the vCPU on that core, which is the controller's. As a kick has it, all vCPUs of the target leave their cores.
    fn control_call(&mut self, core: usize, function: FunctionId, arguments: &[u64]) -> u64 {
        for other in (0..CORES).filter(|&other| other != core) {
            if self.loaded[other]
                .as_ref()
                .is_some_and(|loaded| loaded.vm == 1)
            {
                self.save(other);
            }
        }
        self.cores[core].acts();
        let running = &mut self.loaded[core].as_mut().unwrap().running;
        let x = &mut running.vcpu.registers.x;
        x[0] = u64::from(function.0);
        x[1..7].fill(0);
        x[2..2 + arguments.len()].copy_from_slice(arguments);
        let core = &mut self.cores[core];
        let mut after = running.control_call(self.vms, core);
        while after == AfterCall::Unfinished {
            let is_unfinished = |action: &ExitAction| *action == ExitAction::Unfinished;
            let next = std::iter::repeat_with(|| running.go_on(core))
                .find(|action| !is_unfinished(action));
            assert_eq!(next, Some(ExitAction::Control));
            after = running.control_call(self.vms, core);
        }
        assert_eq!(after, AfterCall::Resume);
        running.vcpu.registers.x[0]
    }

    /// Whether the first vCPU of the target, which is on, has its MMU off.
    fn has_no_mmu(&mut self) -> bool {
        for core in 0..CORES {
            if self.loaded[core].as_ref().is_some_and(|it| it.vm == 1) {
                self.save(core);
            }
        }
        let slot = &self.vms[1].vcpus[0];
        slot.run_state() != RunState::Off && slot.lock().system.sctlr & 1 == 0
    }

    pub(super) fn control(&mut self, core: usize, control: Control) {
        const NOW: u64 = u64::MAX;
        let at = |(slot, word): (usize, u64)| PAGES[slot] + word;
        match control {
            Control::Checkpoint => {
                let id = self.control_call(core, ids::CHECKPOINT_OF, &[]);
                assert!((id as i64) >= 0, "{id:#x}");
                let model = &mut self.models[1];
                model.kept.insert(id, model.now.clone());
            }
            Control::Restore(choice) => {
                let ids: Vec<u64> = self.models[1].kept.keys().copied().collect();
                let Some(&id) = ids.get(choice as usize % ids.len().max(1)) else {
                    return;
                };
                let restored = self.control_call(core, ids::RESTORE_OF, &[id, 1]);
                assert_eq!(restored, id);
                let model = &mut self.models[1];
                model.now = model.kept[&id].clone();
            }
            Control::Write(words, virtually) => {
                let [own, its] = words.map(at);
                let by = u64::from(virtually && self.has_no_mmu());
                assert_eq!(self.control_call(core, ids::WRITE, &[its, own, 8, by]), 0);
                let value = self.models[0].now.words.get(&own).copied();
                let now = &mut self.models[1].now;
                now.words.insert(its, value.unwrap_or(0));
                // What it fetches is what was written.
                now.written.remove(&(its / 64));
            }
            Control::Read(words, virtually) => {
                let [own, its] = words.map(at);
                let by = u64::from(virtually && self.has_no_mmu());
                let arguments = [NOW, its, own, 8, by];
                assert_eq!(self.control_call(core, ids::READ, &arguments), 0);
                let value = self.models[1].now.words.get(&its).copied();
                let now = &mut self.models[0].now;
                now.words.insert(own, value.unwrap_or(0));
                now.written.insert(own / 64);
            }
            Control::Catch(catches) => {
                assert_eq!(self.control_call(core, ids::CATCH, &[catches.into()]), 0);
                self.catches = catches;
            }
        }
        for vm in 0..self.vms.len() {
            self.forget_the_freed_of(vm);
        }
    }

    /// A target that was reset waits for RUN; and if its controller was, it does, too.
    pub(super) fn after_reset(&mut self, core: usize, vm: usize) {
        if self.vms.len() < 2 {
            return;
        }
        if vm == 0 {
            self.vms[0]
                .abandons
                .store(false, crate::arch::sync::Ordering::Relaxed);
        }
        let mut shared = self.vms[1].shared.lock();
        if let Some(target) = &mut shared.target {
            target.forget();
        }
        let told = self.vms[1].run(&mut shared, &mut self.cores[core], None, None);
        assert_eq!(told, None);
    }
}

/// A target executes what its controller wrote to a page that it executed before.
#[test]
fn what_a_controller_writes_is_executed() {
    let code = (0, 0);
    let written = (1, 0);
    let of = |(slot, word): (usize, u64)| Op::Store { slot, word };
    let fetch = Op::Fetch {
        slot: code.0,
        word: code.1,
    };
    let write = Op::ToOther(Control::Write([written, code], false));
    let mut ops = Vec::from([(0, Op::On), (1, Op::On), (1, of(code)), (1, fetch)]);
    for _ in 0..3 {
        ops.extend([(0, of(written)), (0, write), (1, Op::Turn(0)), (1, fetch)]);
    }
    for luck in (0..12).map(Luck::bad).chain([Luck::GOOD]) {
        play(luck, &[1, 1], 16, 0, &ops);
    }
}
