//! Random histories of a VM's time, by both policies: what each vCPU sees of the counters, against a model that only adds up ticks.

use super::guest::*;
use super::history::Random;
use super::scheduling::{Quiet, vms};
use super::smp::*;
use crate::config::{OnReset, Time, VmConfig};
use crate::fake::{FakeBoard, FakeCore, set_count};
use crate::monitor::VmControl;
use crate::snapshot::Which;
use crate::trap::sysreg::TimerRegister::Count;
use crate::vm::operator::Controls;
use crate::vm::{Core, ExitAction, Vm};
use std::collections::BTreeMap;
use std::vec::Vec;

const VCPUS: usize = 3;

/// A guest's time at some moment, as the model knows it.
#[derive(Clone, Copy)]
struct Seen {
    /// What the counters show.
    counter: u64,
    /// What the guest read last: it may never read less.
    read: u64,
    /// The physical count.
    at: u64,
}

struct Life {
    time: Time,
    vms: &'static [Vm<FakeBoard>],
    smp: Smp,
    operator: FakeCore,
    random: Random,
    now: Seen,
    paused: bool,
    kept: BTreeMap<u64, Seen>,
}

impl Life {
    fn new(time: Time, on_reset: OnReset, seed: u64) -> Self {
        let mut random = Random(seed);
        set_count(random.below(1 << 40));
        let plan = VmConfig {
            time,
            on_reset,
            vcpus: VCPUS as u32,
            ..PLAN
        };
        let vms = vms([plan].into(), |_, vcpu| vcpu);
        let mut smp = Smp::of(&vms[0]);
        smp.save(0);
        let at = FakeCore::physical_count();
        let now = Seen {
            counter: 0,
            read: 0,
            at,
        };
        Self {
            time,
            vms,
            smp,
            operator: FakeCore::new(0),
            random,
            now,
            paused: false,
            kept: BTreeMap::new(),
        }
    }

    fn operator<R>(
        &mut self,
        action: impl FnOnce(&mut Controls<'_, '_, FakeBoard, Quiet>) -> R,
    ) -> R {
        action(&mut Controls::of(
            self.vms,
            &mut self.operator,
            &Quiet::default(),
        ))
    }

    fn pass(&mut self, ticks: u64) {
        set_count(FakeCore::physical_count() + ticks);
        self.now.at += ticks;
        if !self.paused || self.time == Time::Passes {
            self.now.counter += ticks;
        }
    }

    /// The VM goes on from `then`.
    fn goes_back(&mut self, then: Seen) {
        let meanwhile = match self.time {
            Time::Stops => 0,
            Time::Passes => self.now.at - then.at,
        };
        self.now.counter = then.counter + meanwhile;
        self.now.read = then.read;
        assert!(self.now.counter >= then.read, "the guest sees time go back");
    }

    fn starts(&mut self) {
        [self.now.counter, self.now.read] = [0; 2];
    }

    /// Something that a vCPU asks for, if it is on and may run.
    fn ask(&mut self, vcpu: usize, function: u64, arguments: &[u64]) -> Option<u64> {
        if !self.smp.load(vcpu) {
            return None;
        }
        let next = self.smp.call(vcpu, function, arguments);
        let x0 = self.smp.registers(vcpu).x[0];
        if next == ExitAction::Resume {
            self.look(vcpu);
        }
        self.smp.save(vcpu);
        Some(x0)
    }

    /// What a loaded vCPU sees by both counters.
    fn look(&mut self, vcpu: usize) {
        let offset = self.smp.cores[vcpu].offsets.last();
        let virtual_counter =
            FakeCore::physical_count().wrapping_sub(*offset.expect("it was loaded"));
        let physical_counter = self.smp.timer(vcpu, Count);
        assert_eq!(physical_counter, virtual_counter, "vCPU {vcpu}");
    }

    fn step(&mut self) {
        let vcpu = self.random.below(VCPUS as u64) as usize;
        match self.random.below(20) {
            0..=4 => {
                let ticks = self.random.below(1 << 30);
                self.pass(ticks);
            }
            5..=6 => {
                if let Some(id) = self.ask(vcpu, CHECKPOINT, &[]) {
                    self.kept.insert(id, self.now);
                }
            }
            7 => {
                if let Ok(id) = self.operator(|vms| vms.checkpoint(0)) {
                    self.kept.insert(id, self.now);
                }
            }
            8..=10 => self.restore(vcpu),
            11 => self.reset_by_guest(vcpu),
            12 => {
                self.operator(|vms| vms.reset(0)).unwrap();
                self.starts();
            }
            13 => self.paused |= self.operator(|vms| vms.pause(0)).is_ok(),
            14..=15 => self.paused &= self.operator(|vms| vms.resume(0)).is_err(),
            16 if self.random.below(4) == 0 => {
                self.ask(vcpu, SYSTEM_OFF, &[]);
            }
            _ => {
                let other = self.random.below(VCPUS as u64);
                self.ask(vcpu, CPU_ON, &[other, ENTRY, 0]);
            }
        }
    }

    fn restore(&mut self, vcpu: usize) {
        let ids: Vec<u64> = self.kept.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        let id = self.random.of(&ids);
        let by_operator = self.random.below(2) == 0;
        let done = match by_operator {
            true => self.operator(|vms| vms.restore(0, Which::Id(id)).is_ok()),
            false => self.ask(vcpu, RESTORE, &[id, 1]).is_some(),
        };
        if done {
            self.goes_back(self.kept[&id]);
        }
    }

    fn reset_by_guest(&mut self, vcpu: usize) {
        let generation = self.generation();
        if self.ask(vcpu, SYSTEM_RESET, &[]).is_none() {
            return;
        }
        match self.kept.values().next_back() {
            Some(&newest) if self.generation() != generation => self.goes_back(newest),
            _ => self.starts(),
        }
    }

    fn generation(&self) -> u64 {
        self.smp.vm.shared.lock().snapshots.generation()
    }

    /// All that can be seen of the time.
    fn check(&mut self) {
        assert_eq!(self.smp.vm.virtual_count(), self.now.counter);
        assert!(self.now.counter >= self.now.read);
        for vcpu in 0..VCPUS {
            if !self.smp.load(vcpu) {
                continue;
            }
            self.look(vcpu);
            assert_eq!(self.smp.timer(vcpu, Count), self.now.counter);
            self.now.read = self.now.counter;
            self.smp.save(vcpu);
        }
        let infos: Vec<_> = (self.kept.keys().copied().collect::<Vec<_>>().into_iter())
            .map(|id| {
                let mut shared = self.smp.vm.shared.lock();
                let shared = &mut *shared;
                (id, shared.snapshots.info(&mut shared.memory, id))
            })
            .collect();
        for (id, info) in infos {
            match info {
                Ok(info) => assert_eq!(info.taken.counter, self.kept[&id].counter),
                // Its pool was freed.
                Err(_) => {
                    self.kept.remove(&id);
                }
            }
        }
    }
}

#[test]
fn whatever_happens_the_counter_is_one_that_the_vm_can_have() {
    for seed in 0..60 {
        let time = [Time::Stops, Time::Passes][seed as usize % 2];
        let on_reset = match seed % 3 {
            0 => OnReset::Restore { tries: 2 },
            _ => OnReset::Restart,
        };
        let mut life = Life::new(time, on_reset, seed);
        for _ in 0..150 {
            life.step();
            life.check();
        }
    }
}

/// The way into the fault that was: a snapshot from before a reset, gone back to after it.
#[test]
fn a_restore_across_a_reset_leaves_no_counter_behind() {
    for time in [Time::Stops, Time::Passes] {
        let mut smp = Smp::with(VmConfig { time, ..PLAN });
        set_count(FakeCore::physical_count() + 5000);
        let id = smp.ask(0, CHECKPOINT, &[]);
        assert_eq!(smp.call(0, SYSTEM_RESET, &[]), ExitAction::Resume);
        assert_eq!(smp.timer(0, Count), 0);
        set_count(FakeCore::physical_count() + 10);
        assert_eq!(smp.call(0, RESTORE, &[id, 1]), ExitAction::Resume);
        let expected = match time {
            Time::Stops => 5000,
            Time::Passes => 5010,
        };
        assert_eq!(smp.timer(0, Count), expected, "{time:?}");
    }
}
