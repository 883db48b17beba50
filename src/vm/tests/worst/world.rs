//! What vCPUs do on the board's cores, one at a time: loads and stores, traps, maintenance; and how they take turns.

use super::*;

impl<'a> World<'a> {
    pub(super) fn turn(&mut self, core: usize, choice: usize) {
        self.save(core);
        let of =
            |(vm, it): (usize, &'a Vm<FakeBoard>)| it.pinned_to(core).map(move |vcpu| (vm, vcpu));
        let own: Vec<_> = self.vms.iter().enumerate().flat_map(of).collect();
        let order = (0..own.len()).map(|i| own[(i + choice) % own.len()]);
        self.loaded[core] = order.into_iter().find_map(|(vm, vcpu)| {
            let mut running = self.vms[vm].load(&mut self.cores[core], vcpu)?;
            // What it is in the midst of comes before all that it does.
            while running.vcpu.unfinished.is_some() {
                running.go_on(&mut self.cores[core]);
            }
            let catches = self.cores[core].debug.is_caught();
            assert_eq!(catches, vm == 1 && self.catches, "its debug exceptions");
            Some(Loaded { vm, vcpu, running })
        });
    }

    pub(super) fn save(&mut self, core: usize) {
        if let Some(loaded) = self.loaded[core].take() {
            self.cores[core].acts();
            loaded.running.put(&mut self.cores[core]);
        }
    }

    pub(super) fn trap(&mut self, core: usize, trap: Trap) -> ExitAction {
        let loaded = self.loaded[core].as_mut().expect("it is loaded");
        self.cores[core]
            .script
            .push_back(std::boxed::Box::new(move |_| trap));
        finished(&mut loaded.running, &mut self.cores[core])
    }

    /// MSR of a register by its number, from x9.
    pub(super) fn msr(&mut self, core: usize, register: u64, value: u64) {
        self.loaded[core].as_mut().unwrap().running.vcpu.registers.x[9] = value;
        assert_eq!(
            self.trap(core, sync(0x18, register | 9 << 5)),
            ExitAction::Resume
        );
    }

    pub(super) fn hvc(
        &mut self,
        core: usize,
        function: u64,
        arguments: &[u64],
    ) -> (ExitAction, u64) {
        let registers = &mut self.loaded[core].as_mut().unwrap().running.vcpu.registers;
        registers.x[0] = function;
        registers.x[1..=arguments.len()].copy_from_slice(arguments);
        registers.pc += 4;
        let next = self.trap(core, sync(0x16, 0));
        let loaded = self.loaded[core].as_ref().unwrap();
        (next, loaded.running.vcpu.registers.x[0])
    }

    /// As a kick has it: all others of the VM leave their cores.
    pub(super) fn quiesce_others(&mut self, core: usize) {
        let vm = self.loaded[core].as_ref().unwrap().vm;
        for other in (0..CORES).filter(|&other| other != core) {
            if self.loaded[other]
                .as_ref()
                .is_some_and(|loaded| loaded.vm == vm)
            {
                self.save(other);
            }
        }
    }

    /// The guest's instruction, again until it does not trap.
    pub(super) fn access<R>(
        &mut self,
        core: usize,
        va: u64,
        access: Access,
        go: impl Fn(&Worst) -> Result<R, Fault>,
    ) -> R {
        // A block is filled with zeros in four pieces.
        for _ in 0..10 {
            match go(&self.worst) {
                Ok(result) => return result,
                Err(fault) => {
                    let next = self.trap(core, trap(fault, va, access));
                    assert!(
                        matches!(next, ExitAction::Resume | ExitAction::Review),
                        "{next:?}"
                    );
                }
            }
        }
        panic!("{access:?} at {va:#x} goes on trapping");
    }

    pub(super) fn by(&self, core: usize) -> By {
        match caches_are_on(self.cores[core].system.sctlr) {
            true => By::Cache,
            false => By::Around,
        }
    }

    /// The virtual address and the IPA of a word.
    pub(super) fn place(&self, core: usize, slot: usize, word: u64) -> (u64, u64) {
        let vcpu = self.loaded[core].as_ref().unwrap().vcpu;
        match self.by(core) {
            By::Cache => (slot as u64 * PAGE_SIZE + word, mapped(vcpu, slot) + word),
            By::Around => (PAGES[slot] + word, PAGES[slot] + word),
        }
    }

    pub(super) fn store_at(&mut self, core: usize, va: u64, value: u64) {
        let by = self.by(core);
        self.access(core, va, Access::Store, |worst| {
            worst.store(core, va, value, by)
        });
    }

    pub(super) fn guest_does(&self, core: usize, instruction: Instruction) {
        self.worst.guest_does(core, instruction);
    }

    pub(super) fn dsb(&self, core: usize) {
        self.guest_does(core, Instruction::Dsb(Domain::System, Barrier::All));
    }

    /// What it stored is to be executed: its own maintenance.
    pub(super) fn maintain(&mut self, core: usize, va: u64) {
        let at = self.access(core, va, Access::Load, |worst| {
            worst.translate(core, va, Access::Load)
        });
        self.dsb(core);
        self.guest_does(core, Instruction::Dc(Cache::CleanAndInvalidate, at));
        self.dsb(core);
        self.guest_does(core, Instruction::Ic(Domain::Inner, Some(at)));
        self.dsb(core);
    }

    /// A vCPU's start: the first one writes the tables for all, and each switches its MMU on.
    pub(super) fn switch_on(&mut self, core: usize) {
        let loaded = self.loaded[core].as_ref().unwrap();
        let (vm, vcpu) = (loaded.vm, loaded.vcpu);
        if vcpu == 0 {
            for vcpu in 0..self.vms[vm].vcpus.len() {
                let fixed = (0..PAGES.len()).map(|slot| (slot, mapped(vcpu, slot)));
                let own = [
                    (MAIL_SLOT, MAIL),
                    (TABLE_SLOT, table(vcpu)),
                    (WINDOW_SLOT, WINDOW.ipa().0),
                ];
                for (slot, page) in fixed.chain(own) {
                    self.store_at(core, table(vcpu) + slot as u64 * 8, page | 1);
                }
            }
            self.dsb(core);
        }
        let sctlr = self.cores[core].system.sctlr | 1 << 12 | 5;
        let tcr = match self.uncached_walks >> (3 * vm + vcpu) & 1 {
            0 => 1 << 23 | 1 << 10 | 1 << 8,
            _ => 1 << 23,
        };
        self.msr(core, 3 << 20 | 2 << 10, table(vcpu));
        self.msr(core, 3 << 20 | 2 << 17 | 2 << 10, tcr);
        self.msr(core, 3 << 20 | 1 << 10, sctlr);
    }

    /// With a loop by set and way before it, as kernels have it.
    pub(super) fn switch_off(&mut self, core: usize) {
        self.msr(core, 1 << 20 | 2 << 17 | 7 << 10 | 14 << 1, 0);
        let sctlr = self.cores[core].system.sctlr & !5;
        self.msr(core, 3 << 20 | 1 << 10, sctlr);
    }

    pub(super) fn restored(&mut self, core: usize, next: ExitAction, id: u64) {
        let vm = self.loaded[core].as_ref().unwrap().vm;
        let model = &mut self.models[vm];
        model.now = model.kept[&id].clone();
        if next == ExitAction::Put {
            self.save(core);
        }
    }

    pub(super) fn forget_the_freed(&mut self, core: usize) {
        self.forget_the_freed_of(self.loaded[core].as_ref().unwrap().vm);
    }

    pub(super) fn forget_the_freed_of(&mut self, vm: usize) {
        let shared = self.vms[vm].shared.lock();
        let there = |id: u64| shared.snapshots.first_id_from(&shared.memory, id) == Ok(id);
        self.models[vm].kept.retain(|id, _| there(*id));
    }
}
