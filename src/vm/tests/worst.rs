//! VMs on the worst board: their vCPUs take turns on its cores, with stage 1 on and off, caches on and off; and what they read is what they
//! wrote, or what a snapshot brought back.

mod around;
mod control;
mod op;
mod places;
mod world;

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
            // Around the caches by who has them off and was the last to store.
            Op::LoadWindow { word } if is_on || self.vms.len() == 1 && vcpus == 1 => {
                let (va, by) = match is_on {
                    true => (WINDOW_SLOT as u64 * PAGE_SIZE + word, By::Cache),
                    false => (WINDOW.ipa().0 + word, By::Around),
                };
                let load = |worst: &Worst| worst.load(core, va, by);
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
