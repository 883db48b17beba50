//! VMs on the worst board: their vCPUs take turns on its cores, with stage 1 on and off, caches on and off; and what they read is what they
//! wrote, or what a snapshot brought back.

mod around;
mod control;
mod op;
mod places;

use super::guest::*;
use super::smp::{CPU_ON, ENTRY, SYSTEM_RESET, sync};
use crate::addr::{PAGE_SIZE, Pa};
use crate::arch::vcpu::Trap;
use crate::config::VmConfig;
use crate::fake::worst::{
    Access, Barrier, By, Cache, Domain, Fault, Instruction, Luck, Worst, any_luck,
};
use crate::fake::{FakeBoard, FakeCore, cases, performed, trap};
use crate::trap::sysreg::caches_are_on;
use crate::vm::vcpu::RunState;
use crate::vm::{ExitAction, LoadedVcpu, Vm, VmBackend};
use op::{Op, op};
use places::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

const CORES: usize = 2;

/// Each of two VMs may have up to three vCPUs. The first controls the second.
static PLANS: [[VmConfig; 3]; 2] = [
    [controller(1), controller(2), controller(3)],
    [target(1), target(2), target(3)],
];

const fn plan(vcpus: u32) -> VmConfig {
    VmConfig {
        vcpus,
        windows: &[WINDOW],
        ..PLAN
    }
}

const fn controller(vcpus: u32) -> VmConfig {
    VmConfig {
        controls: &[1],
        ..plan(vcpus)
    }
}

const fn target(vcpus: u32) -> VmConfig {
    VmConfig {
        controlled_by: Some(0),
        ..plan(vcpus)
    }
}

/// What a guest's memory must be.
#[derive(Clone, Default)]
struct Contents {
    words: BTreeMap<u64, u64>,
    /// Lines that were stored to, and not made known to instruction caches.
    written: BTreeSet<u64>,
    /// What a vCPU has mapped as a slot from [`LATER`] on.
    maps: BTreeMap<(usize, usize), u64>,
}

#[derive(Default)]
struct Model {
    now: Contents,
    kept: BTreeMap<u64, Contents>,
}

/// A vCPU that is loaded: its VM and number.
struct Loaded<'a> {
    vm: usize,
    vcpu: usize,
    running: LoadedVcpu<'a, FakeBoard>,
}

struct World<'a> {
    vms: &'a [Vm<FakeBoard>],
    worst: Worst,
    cores: Vec<FakeCore>,
    loaded: Vec<Option<Loaded<'a>>>,
    models: Vec<Model>,
    /// What is in the window, whoever stored it.
    window: BTreeMap<u64, u64>,
    /// The controller catches debug exceptions of its target.
    catches: bool,
    /// Which vCPUs have Non-cacheable table walks: a bit for each of each VM.
    uncached_walks: u8,
}

impl<'a> World<'a> {
    fn new(vms: &'a [Vm<FakeBoard>], worst: &Worst, uncached_walks: u8) -> Self {
        let core = |number| {
            let mut core = FakeCore::new(number);
            core.worst = Some(worst.clone());
            core
        };
        Self {
            vms,
            worst: worst.clone(),
            cores: (0..CORES).map(core).collect(),
            loaded: (0..CORES).map(|_| None).collect(),
            models: vms.iter().map(|_| Model::default()).collect(),
            window: BTreeMap::new(),
            catches: false,
            uncached_walks,
        }
    }

    /// The `choice`th vCPU of this core that may run has it from here on.
    fn turn(&mut self, core: usize, choice: usize) {
        self.save(core);
        let of =
            |(vm, it): (usize, &'a Vm<FakeBoard>)| it.pinned_to(core).map(move |vcpu| (vm, vcpu));
        let own: Vec<_> = self.vms.iter().enumerate().flat_map(of).collect();
        let order = (0..own.len()).map(|i| own[(i + choice) % own.len()]);
        self.loaded[core] = order.into_iter().find_map(|(vm, vcpu)| {
            let running = self.vms[vm].load(&mut self.cores[core], vcpu)?;
            let catches = self.cores[core].debug.is_caught();
            assert_eq!(catches, vm == 1 && self.catches, "its debug exceptions");
            Some(Loaded { vm, vcpu, running })
        });
    }

    fn save(&mut self, core: usize) {
        if let Some(loaded) = self.loaded[core].take() {
            self.cores[core].acts();
            loaded.running.put(&mut self.cores[core]);
        }
    }

    fn trap(&mut self, core: usize, trap: Trap) -> ExitAction {
        let loaded = self.loaded[core].as_mut().expect("it is loaded");
        self.cores[core]
            .script
            .push_back(std::boxed::Box::new(move |_| trap));
        finished(&mut loaded.running, &mut self.cores[core])
    }

    /// MSR of a register by its number, from x9.
    fn msr(&mut self, core: usize, register: u64, value: u64) {
        self.loaded[core].as_mut().unwrap().running.vcpu.registers.x[9] = value;
        assert_eq!(
            self.trap(core, sync(0x18, register | 9 << 5)),
            ExitAction::Resume
        );
    }

    fn hvc(&mut self, core: usize, function: u64, arguments: &[u64]) -> (ExitAction, u64) {
        let registers = &mut self.loaded[core].as_mut().unwrap().running.vcpu.registers;
        registers.x[0] = function;
        registers.x[1..=arguments.len()].copy_from_slice(arguments);
        registers.pc += 4;
        let next = self.trap(core, sync(0x16, 0));
        let loaded = self.loaded[core].as_ref().unwrap();
        (next, loaded.running.vcpu.registers.x[0])
    }

    /// As a kick has it: all others of the VM leave their cores.
    fn quiesce_others(&mut self, core: usize) {
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
    fn access<R>(
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

    fn by(&self, core: usize) -> By {
        match caches_are_on(self.cores[core].system.sctlr) {
            true => By::Cache,
            false => By::Around,
        }
    }

    /// The virtual address and the IPA of a word.
    fn place(&self, core: usize, slot: usize, word: u64) -> (u64, u64) {
        let vcpu = self.loaded[core].as_ref().unwrap().vcpu;
        match self.by(core) {
            By::Cache => (slot as u64 * PAGE_SIZE + word, mapped(vcpu, slot) + word),
            By::Around => (PAGES[slot] + word, PAGES[slot] + word),
        }
    }

    fn store_at(&mut self, core: usize, va: u64, value: u64) {
        let by = self.by(core);
        self.access(core, va, Access::Store, |worst| {
            worst.store(core, va, value, by)
        });
    }

    fn guest_does(&self, core: usize, instruction: Instruction) {
        self.worst.guest_does(core, instruction);
    }

    fn dsb(&self, core: usize) {
        self.guest_does(core, Instruction::Dsb(Domain::System, Barrier::All));
    }

    /// What it stored is to be executed: its own maintenance.
    fn maintain(&mut self, core: usize, va: u64) {
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
    fn switch_on(&mut self, core: usize) {
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
    fn switch_off(&mut self, core: usize) {
        self.msr(core, 1 << 20 | 2 << 17 | 7 << 10 | 14 << 1, 0);
        let sctlr = self.cores[core].system.sctlr & !5;
        self.msr(core, 3 << 20 | 1 << 10, sctlr);
    }

    fn restored(&mut self, core: usize, next: ExitAction, id: u64) {
        let vm = self.loaded[core].as_ref().unwrap().vm;
        let model = &mut self.models[vm];
        model.now = model.kept[&id].clone();
        if next == ExitAction::Put {
            self.save(core);
        }
    }

    fn forget_the_freed(&mut self, core: usize) {
        self.forget_the_freed_of(self.loaded[core].as_ref().unwrap().vm);
    }

    fn forget_the_freed_of(&mut self, vm: usize) {
        let shared = self.vms[vm].shared.lock();
        let there = |id: u64| shared.snapshots.first_id_from(&shared.memory, id) == Ok(id);
        self.models[vm].kept.retain(|id, _| there(*id));
    }

    fn step(&mut self, core: usize, op: Op, stamp: u64) {
        if let Op::Turn(choice) = op {
            return self.turn(core, choice);
        }
        let Some(loaded) = &self.loaded[core] else {
            return;
        };
        let (vm, vcpu) = (loaded.vm, loaded.vcpu);
        let vcpus = self.vms[vm].vcpus.len();
        let is_on = self.by(core) == By::Cache;
        if vcpu != 0 && !is_on && self.step_around(core, op, stamp) {
            return;
        }
        match op {
            Op::Turn(_) => {}
            Op::Store { slot, word } => {
                let (va, ipa) = self.place(core, slot, word);
                self.store_at(core, va, stamp);
                let now = &mut self.models[vm].now;
                now.words.insert(ipa, stamp);
                now.written.insert(ipa / 64);
                self.forget_the_freed(core);
            }
            Op::Load { slot, word } => {
                let (va, ipa) = self.place(core, slot, word);
                self.expect(core, va, ipa);
            }
            Op::Map { slot, page } if is_on => self.map(core, LATER + slot, page),
            Op::Mail { word } => self.mail(core, word, stamp),
            Op::Fetch { slot, word } => {
                let (va, ipa) = self.place(core, slot, word);
                if self.models[vm].now.written.contains(&(ipa / 64)) {
                    self.maintain(core, va);
                    self.models[vm].now.written.remove(&(ipa / 64));
                }
                let by = self.by(core);
                let value = self.access(core, va, Access::Fetch, |worst| worst.fetch(core, va, by));
                let expected = self.models[vm].now.words.get(&ipa).copied().unwrap_or(0);
                assert_eq!(value, expected, "instruction at {ipa:#x}");
                self.forget_the_freed(core);
            }
            Op::StoreWindow { word } if is_on => {
                self.store_at(core, WINDOW_SLOT as u64 * PAGE_SIZE + word, stamp);
                self.window.insert(word, stamp);
            }
            Op::LoadWindow { word } if is_on => {
                let va = WINDOW_SLOT as u64 * PAGE_SIZE + word;
                let load = |worst: &Worst| worst.load(core, va, By::Cache);
                let value = self.access(core, va, Access::Load, load);
                let expected = self.window.get(&word).copied().unwrap_or(0);
                assert_eq!(value, expected, "window, {word:#x}");
            }
            Op::On if !is_on => self.switch_on(core),
            Op::Off if is_on && vcpus == 1 => self.switch_off(core),
            Op::CpuOn(other) if is_on && other < vcpus => {
                // One that is about to go off is not waited for here.
                if self.vms[vm].vcpus[other].run_state() == RunState::Off {
                    let (next, _) = self.hvc(core, CPU_ON, &[other as u64, ENTRY, 0]);
                    assert_eq!(next, ExitAction::Resume);
                }
            }
            Op::Checkpoint => {
                self.quiesce_others(core);
                let (next, id) = self.hvc(core, CHECKPOINT, &[]);
                assert_eq!(
                    (next, (id as i64) >= 0),
                    (ExitAction::Resume, true),
                    "{id:#x}"
                );
                let model = &mut self.models[vm];
                model.kept.insert(id, model.now.clone());
                self.forget_the_freed(core);
            }
            Op::Restore(choice) => {
                let ids: Vec<u64> = self.models[vm].kept.keys().copied().collect();
                if let Some(&id) = ids.get(choice as usize % ids.len().max(1)) {
                    self.quiesce_others(core);
                    let (next, _) = self.hvc(core, RESTORE, &[id, 1]);
                    self.restored(core, next, id);
                }
            }
            Op::Latest => {
                if let Some((&id, _)) = self.models[vm].kept.last_key_value() {
                    self.quiesce_others(core);
                    let (next, _) = self.hvc(core, RESTORE, &[LATEST, 1]);
                    self.restored(core, next, id);
                }
            }
            Op::Rounds { slot, word } => {
                for round in 0..4 {
                    self.step(core, Op::Store { slot, word }, stamp << 8 | round);
                    self.step(core, Op::Fetch { slot, word }, stamp);
                    self.step(core, Op::Latest, stamp);
                    self.step(core, Op::Load { slot, word }, stamp);
                    self.step(core, Op::Fetch { slot, word }, stamp);
                }
            }
            Op::Delete(choice) => {
                let ids: Vec<u64> = self.models[vm].kept.keys().copied().collect();
                if let Some(&id) = ids.get(choice as usize % ids.len().max(1)) {
                    assert_eq!(self.hvc(core, DELETE, &[id]), (ExitAction::Resume, 0));
                    self.models[vm].kept.remove(&id);
                }
            }
            Op::Reset => {
                self.quiesce_others(core);
                let (next, _) = self.hvc(core, SYSTEM_RESET, &[]);
                self.models[vm].now = Contents::default();
                if next == ExitAction::Put {
                    self.save(core);
                }
                self.after_reset(core, vm);
            }
            Op::StoreWindow { .. } | Op::LoadWindow { .. } => {}
            Op::ToOther(control) if vm == 0 && self.vms.len() == 2 => self.control(core, control),
            Op::ToOther(_) => {}
            Op::On | Op::Off | Op::CpuOn(_) | Op::Map { .. } => {}
        }
    }
}

/// A restore leaves all that it can to the first access; or writes pages back, no more than two at a time.
fn defer_beyond(vm: &Vm<FakeBoard>, entries: usize) {
    vm.shared.lock().snapshots.defer_beyond(entries);
}

/// A history of VMs with so many vCPUs each, on a board with that luck.
fn play(luck: Luck, vcpus: &[usize], blocks: u64, uncached_walks: u8, ops: &[(usize, Op)]) {
    let worst = Worst::new(CORES, luck);
    worst.enter(0);
    let window = WINDOW_AT..Pa(WINDOW_AT.0 + WINDOW.bytes);
    FakeBoard::with(&[window], worst.clone()).zero(WINDOW_AT, WINDOW.bytes);
    let vm = |(number, vcpus): (usize, &usize)| {
        let share = [share(number as u64, blocks)];
        let mut board = FakeBoard::with(&share, worst.clone());
        board.windows.push(WINDOW_AT);
        Vm::new(&PLANS[number][vcpus - 1], number, board, &share, |vcpu| {
            (vcpu + number) % CORES
        })
        .unwrap()
    };
    let vms: Vec<_> = vcpus.iter().enumerate().map(vm).collect();
    // Some times, what a restore takes back is left to the first access, or to pieces.
    match luck.seed % 4 {
        0 | 1 => vms.iter().for_each(|vm| defer_beyond(vm, 0)),
        2 => vms.iter().for_each(|vm| defer_beyond(vm, 16)),
        _ => {}
    }
    let mut world = World::new(&vms, &worst, uncached_walks);
    for core in 0..CORES {
        world.turn(core, 0);
    }
    performed("vm::tests::worst", ops.len());
    for (stamp, (core, op)) in ops.iter().enumerate() {
        world.step(*core, *op, stamp as u64 + 1);
    }
    for core in 0..CORES {
        world.save(core);
    }
}

proptest! {
    #![proptest_config(cases(120))]

    #[test]
    fn guests_read_what_they_wrote_or_what_came_back(
        luck in any_luck(),
        vcpus in prop::collection::vec(1..=3_usize, 1..=2),
        blocks in prop::sample::select([6, 9, 16].as_slice()),
        uncached_walks in prop_oneof![Just(0), any::<u8>()],
        ops in prop::collection::vec((0..CORES, op()), 1..120),
    ) {
        play(luck, &vcpus, blocks, uncached_walks, &ops);
    }
}
