//! Calls by their numbers, to machines of one to eight CPUs.

use super::*;
use crate::hvc::tests::smccc;
use PowerState::{Off, On, OnPending};

struct Vm<'a>(&'a [(u64, PowerState)]);

impl PowerView for Vm<'_> {
    fn cpus(&self) -> impl Iterator<Item = (u64, PowerState)> {
        self.0.iter().copied()
    }

    fn is_ram(&self, entry: Ipa) -> bool {
        (0x4000_0000..0x4800_0000).contains(&entry.0)
    }
}

const ONE: Vm<'_> = Vm(&[(0, On)]);
const FOUR: Vm<'_> = Vm(&[(0, On), (1, Off), (2, OnPending), (0x100, Off)]);

fn act(vm: &Vm<'_>, arguments: &[u64]) -> Action {
    match smccc(arguments) {
        super::super::Hypercall::Psci(call) => call.handle(vm),
        super::super::Hypercall::Answered(results) => Action::Return(results),
        other => panic!("{other:?}"),
    }
}

fn value(vm: &Vm<'_>, arguments: &[u64]) -> i64 {
    match act(vm, arguments) {
        Action::Return(results) => results.as_slice()[0] as i64,
        other => panic!("{other:?}"),
    }
}

#[test]
fn versions_and_features() {
    assert_eq!(value(&ONE, &[0x8400_0000]), 0x1_0001);
    assert_eq!(value(&ONE, &[0x8400_0006]), 2);
    for known in [
        0x8000_0000,
        0x8400_0000,
        0x8400_0001,
        0xc400_0001,
        0x8400_0002,
        0x8400_0003,
        0xc400_0003,
        0x8400_0004,
        0xc400_0004,
        0x8400_0006,
        0x8400_0008,
        0x8400_0009,
        0x8400_000a,
        0x8400_0012,
        0xc400_0012,
    ] {
        assert_eq!(value(&ONE, &[0x8400_000a, known]), 0, "{known:#x}");
    }
    for unknown in [
        0x8400_0005, // MIGRATE
        0xc400_0005,
        0x8400_0007, // MIGRATE_INFO_UP_CPU
        0xc400_0007,
        0xc400_0000, // names that there are for 32 bits only
        0xc400_0002,
        0xc400_0006,
        0xc400_0008,
        0x8400_000c,
        0x8400_000e,
        0x8000_0001,
        0xc600_0001,
        0,
    ] {
        assert_eq!(value(&ONE, &[0x8400_000a, unknown]), -1, "{unknown:#x}");
        if unknown >> 24 & 0x3f == 4 {
            assert_eq!(value(&ONE, &[unknown]), -1, "{unknown:#x}");
        }
    }
}

#[test]
fn with_one_vcpu_every_cpu_on_is_refused() {
    for (target, code) in [(0, -4), (1, -2), (0x100, -2), (1 << 32, -2), (u64::MAX, -2)] {
        assert_eq!(
            value(&ONE, &[0xc400_0003, target, 0x4008_0000, 0]),
            code,
            "{target:#x}"
        );
    }
    // By the 32-bit name the upper halves do not count.
    assert_eq!(value(&ONE, &[0x8400_0003, 1 << 32, 0x4008_0000, 0]), -4);
    assert_eq!(act(&ONE, &[0x8400_0002]), Action::CpuOff);
}

#[test]
fn cpu_on() {
    let entry = 0x4008_0000;
    for (target, entry, code) in [
        (0, entry, -4),
        (2, entry, -5),
        (3, entry, -2),
        (1, 0, -9),
        (1, entry + 2, -9),
        (1, 0x4800_0000, -9),
    ] {
        assert_eq!(
            value(&FOUR, &[0xc400_0003, target, entry, 0]),
            code,
            "{target} {entry:#x}"
        );
    }
    let on = Action::CpuOn {
        target: 0x100,
        entry: Ipa(entry),
        context: 7 << 40,
    };
    assert_eq!(act(&FOUR, &[0xc400_0003, 0x100, entry, 7 << 40]), on);
}

#[test]
fn affinity_info_of_cpus_and_groups() {
    for (target, level, expected) in [
        (0, 0, 0),
        (1, 0, 1),
        (2, 0, 2),
        (3, 0, -2),
        (0x0ff, 1, 0),
        (0x100, 1, 1),
        (0x200, 1, -2),
        (0x300, 2, 0),
        (0, 3, 0),
        (0, 4, -2),
        (0, 1 << 40, 0),
        (0, 1 << 40 | 4, -2),
    ] {
        assert_eq!(
            value(&FOUR, &[0xc400_0004, target, level]),
            expected,
            "{target:#x} {level}"
        );
    }
}

#[test]
fn suspend_off_and_reset() {
    assert_eq!(
        act(&ONE, &[0xc400_0001, 0x0001_0000, 0x4008_0000, 0]),
        Action::Standby
    );
    assert_eq!(act(&ONE, &[0x8400_0001, 0]), Action::Standby);
    assert_eq!(value(&ONE, &[0x8400_0001, 1 << 31]), -2);
    assert_eq!(act(&ONE, &[0x8400_0008]), Action::SystemOff);
    assert_eq!(act(&ONE, &[0x8400_0009]), Action::SystemReset);
    assert_eq!(act(&ONE, &[0xc400_0012, 0, 5]), Action::SystemReset);
    assert_eq!(value(&ONE, &[0x8400_0012, 1]), -2);
    assert_eq!(value(&ONE, &[0x8400_0012, 1 << 31]), -2);
}

/// Every CPU of each machine in every state, seen by calls with arguments of both widths.
#[test]
fn one_to_eight_cpus() {
    const ENTRY: u64 = 0x4000_0000;
    for cpus in 1..=8 {
        for (state, code) in [(On, Some(-4)), (OnPending, Some(-5)), (Off, None)] {
            let mut states = [On; 8].map(|state| (0, state));
            for (affinity, (own, _)) in states.iter_mut().enumerate() {
                *own = affinity as u64;
            }
            for other in 1..cpus {
                let mut states = states;
                states[other].1 = state;
                let (vm, target) = (Vm(&states[..cpus]), other as u64);
                for name in [0x8400_0004, 0xc400_0004] {
                    assert_eq!(value(&vm, &[name, target, 0]), state as i64);
                    assert_eq!(value(&vm, &[name, target, 1]), 0, "the caller is on");
                }
                for name in [0x8400_0003, 0xc400_0003] {
                    let arguments = [name, target, ENTRY, 5];
                    let expected = Action::CpuOn {
                        target,
                        entry: Ipa(ENTRY),
                        context: 5,
                    };
                    match code {
                        Some(code) => assert_eq!(value(&vm, &arguments), code),
                        None => assert_eq!(act(&vm, &arguments), expected),
                    }
                }
            }
            let vm = Vm(&states[..cpus]);
            for nobody in [cpus as u64, 8, 0x100, 0x8000_0000] {
                assert_eq!(value(&vm, &[0xc400_0003, nobody, ENTRY, 0]), -2);
                assert_eq!(value(&vm, &[0xc400_0004, nobody, 0]), -2);
            }
        }
    }
}

/// A 32-bit call has w1-w3, whatever is above them; a 64-bit call has all of x1-x3, but for what is a uint32 by either name.
#[test]
fn widths_of_arguments() {
    const TWO: Vm<'_> = Vm(&[(0, On), (1, Off)]);
    const HIGH: u64 = 0xdead_beef_0000_0000;
    let on = |context| Action::CpuOn {
        target: 1,
        entry: Ipa(0x4000_0000),
        context,
    };
    let high = [HIGH | 1, HIGH | 0x4000_0000, HIGH | 9];
    let [target, entry, context] = high;
    assert_eq!(act(&TWO, &[0x8400_0003, target, entry, context]), on(9));
    assert_eq!(value(&TWO, &[0xc400_0003, target, entry, context]), -2);
    assert_eq!(value(&TWO, &[0xc400_0003, 1, entry, context]), -9);
    assert_eq!(
        act(&TWO, &[0xc400_0003, 1, 0x4000_0000, context]),
        on(context)
    );
    assert_eq!(value(&TWO, &[0x8400_0004, target, HIGH]), 1);
    assert_eq!(value(&TWO, &[0xc400_0004, target, 0]), -2);
    // These are 32 bits wide by either name.
    assert_eq!(value(&TWO, &[0xc400_0004, 1, HIGH]), 1);
    assert_eq!(act(&TWO, &[0xc400_0001, HIGH]), Action::Standby);
    assert_eq!(act(&TWO, &[0xc400_0012, HIGH]), Action::SystemReset);
}
