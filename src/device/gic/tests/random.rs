//! Random guests on random schedules, against the reference.

use super::world::World;
use crate::fake::performed;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

#[derive(Clone, Debug)]
enum Step {
    Read {
        vcpu: usize,
        offset: u64,
        size: u8,
    },
    Write {
        vcpu: usize,
        offset: u64,
        size: u8,
        value: u64,
    },
    Line {
        vcpu: usize,
        intid: u32,
        up: bool,
    },
    TimerLine {
        vcpu: usize,
        up: bool,
    },
    Acknowledge {
        vcpu: usize,
    },
    End {
        vcpu: usize,
    },
    Deactivate {
        vcpu: usize,
        pick: usize,
    },
    Mask {
        vcpu: usize,
        priority: u32,
    },
    Enable {
        vcpu: usize,
        groups: [bool; 2],
    },
    Overdue {
        vcpu: usize,
    },
    Load {
        vcpu: usize,
    },
    Unload {
        vcpu: usize,
    },
    Checkpoint,
    Restore,
}

/// Interrupts that take part: few, so that each is met often.
#[derive(Clone, Copy)]
struct Cast {
    /// By INTID.
    intids: u64,
    /// Whether guests change what is active, its priorities and groups. Where they do, EOImode 0 and more active ones than list registers
    /// have ends that are UNPREDICTABLE.
    forces: bool,
    /// Whether ends may deactivate at once (EOImode 0).
    nested: bool,
}

/// An SGI, both timers, the UART.
const FEW: Cast = Cast {
    intids: 1 << 1 | 1 << 27 | 1 << 30 | 1 << 33,
    forces: true,
    nested: true,
};
const MANY: Cast = Cast {
    intids: u64::MAX,
    forces: false,
    nested: true,
};
/// Any number of them, each deactivated by its number.
const SPLIT: Cast = Cast {
    intids: u64::MAX,
    forces: true,
    nested: false,
};

impl Cast {
    /// Whether no interrupt waits for a list register.
    fn is_small(self) -> bool {
        self.intids.count_ones() <= 4
    }
}

fn sparse() -> impl Strategy<Value = u64> {
    prop_oneof![
        (0..64u32).prop_map(|n| 1 << n),
        (any::<u64>(), any::<u64>()).prop_map(|(a, b)| a & b),
        Just(u64::MAX),
    ]
}

fn priorities() -> impl Strategy<Value = u64> {
    proptest::collection::vec(0..8u64, 8)
        .prop_map(|levels| levels.iter().fold(0, |word, level| word << 8 | level << 5))
}

fn size() -> impl Strategy<Value = u8> {
    prop_oneof![6 => Just(4u8), 1 => Just(1), 1 => Just(2), 1 => Just(8)]
}

/// A write to one of the registers, with its weight. Values are sparse, and of `cast` only.
fn write(vcpu: usize, cast: Cast) -> impl Strategy<Value = Step> {
    let bits = (
        prop_oneof![
            6 => Just(0x100u64),
            3 => Just(0x180),
            6 => Just(0x200),
            2 => Just(0x280),
            if cast.forces { 3 } else { 0 } => Just(0x300),
            if cast.forces { 3 } else { 0 } => Just(0x380),
            if cast.forces { 1 } else { 0 } => Just(0x080),
        ],
        0..2u64,
        sparse(),
    )
        .prop_map(move |(register, word, value)| {
            let value = value & cast.intids >> (32 * word) & 0xffff_ffff;
            (register + 4 * word, 4, value)
        });
    let bytes = (
        prop_oneof![Just(0x400u64), Just(0x800)],
        0..64u64,
        size(),
        priorities(),
        sparse(),
    )
        .prop_map(
            move |(register, n, size, priorities, targets)| match register {
                0x400 if cast.forces => (
                    0x400 + n / u64::from(size) * u64::from(size),
                    size,
                    priorities,
                ),
                _ => (
                    0x820 + n % 32 / u64::from(size) * u64::from(size),
                    size,
                    targets,
                ),
            },
        );
    let sgi = (0..3u64, 0..256u64, 0..16u64).prop_map(move |(filter, targets, intid)| {
        let intid = if cast.is_small() { 1 } else { intid };
        (0xf00, 4, filter << 24 | targets << 16 | intid)
    });
    let sgi_bits = (
        prop_oneof![Just(0xf10u64), Just(0xf20)],
        0..16u64,
        any::<u8>(),
    )
        .prop_map(move |(register, n, value)| {
            (
                register + if cast.is_small() { 1 } else { n },
                1,
                u64::from(value),
            )
        });
    prop_oneof![
        8 => bits,
        4 => bytes,
        8 => sgi,
        1 => sgi_bits,
        1 => (0xc08..0xc10u64, any::<u8>()).prop_map(|(offset, value)| (offset, 1, u64::from(value))),
        1 => prop_oneof![3 => Just(3u64), 1 => 0..4u64].prop_map(|value| (0, 4, value)),
    ]
    .prop_map(move |(offset, size, value)| Step::Write { vcpu, offset, size, value })
}

fn step(vcpus: usize, cast: Cast) -> impl Strategy<Value = Step> {
    (0..vcpus).prop_flat_map(move |vcpu| {
        let line = prop_oneof![
            1 => Just(30u32),
            1 => Just(33),
            if cast.is_small() { 0 } else { 1 } => 32..64u32,
        ];
        prop_oneof![
            10 => write(vcpu, cast),
            2 => (0..0x400u64, size()).prop_map(move |(word, size)| Step::Read { vcpu, offset: 4 * word, size }),
            2 => (0x80..0x100u64, Just(4)).prop_map(move |(word, size)| Step::Read { vcpu, offset: 4 * word, size }),
            4 => (line, any::<bool>()).prop_map(move |(intid, up)| Step::Line { vcpu, intid, up }),
            4 => any::<bool>().prop_map(move |up| Step::TimerLine { vcpu, up }),
            12 => Just(Step::Acknowledge { vcpu }),
            9 => Just(Step::End { vcpu }),
            6 => any::<usize>().prop_map(move |pick| Step::Deactivate { vcpu, pick }),
            1 => prop_oneof![3 => Just(0xffu32), 1 => 0..0x100u32].prop_map(move |priority| Step::Mask { vcpu, priority }),
            1 => prop_oneof![2 => Just([true; 2]), 1 => any::<[bool; 2]>()].prop_map(move |groups| Step::Enable { vcpu, groups }),
            2 => Just(Step::Overdue { vcpu }),
            2 => Just(Step::Load { vcpu }),
            1 => Just(Step::Unload { vcpu }),
            1 => Just(Step::Checkpoint),
            1 => Just(Step::Restore),
        ]
    })
}

/// Does a step. What it causes elsewhere follows before the guest can see it, or only after the next step if that does not
/// look.
fn run(world: &mut World, kept: &mut World, step: &Step, at_once: bool) {
    let looks = !matches!(
        step,
        Step::Write { .. } | Step::Line { .. } | Step::TimerLine { .. }
    );
    if looks {
        world.serve();
    }
    match *step {
        Step::Read { vcpu, offset, size } if world.loaded[vcpu] => world.read(vcpu, offset, size),
        Step::Write {
            vcpu,
            offset,
            size,
            value,
        } if world.loaded[vcpu] => {
            world.write(vcpu, offset, size, value);
        }
        Step::Line { vcpu, intid, up } => world.set_line(vcpu, intid, up),
        Step::TimerLine { vcpu, up } if world.loaded[vcpu] => world.set_timer_line(vcpu, up),
        Step::Acknowledge { vcpu } if world.loaded[vcpu] => world.acknowledge(vcpu),
        Step::End { vcpu } if world.loaded[vcpu] => world.end(vcpu),
        Step::Deactivate { vcpu, pick } if world.loaded[vcpu] => world.deactivate(vcpu, pick),
        Step::Mask { vcpu, priority } if world.loaded[vcpu] => {
            world.hardware[vcpu].mask = priority;
        }
        Step::Enable { vcpu, groups } if world.loaded[vcpu] => {
            world.hardware[vcpu].enabled = groups;
        }
        Step::Overdue { vcpu } => world.review(vcpu, true),
        Step::Load { vcpu } => world.load(vcpu),
        Step::Unload { vcpu } => world.unload(vcpu),
        Step::Checkpoint => *kept = world.checkpoint(),
        Step::Restore => world.restore(kept),
        _ => {}
    }
    if at_once {
        world.serve();
        world.check();
    }
}

fn play(vcpus: usize, cast: Cast, split: bool, levels: &[u64], steps: &[(Step, bool)]) {
    performed("device::gic::tests", steps.len());
    let mut world = World::new(vcpus);
    for vcpu in 0..vcpus {
        world.hardware[vcpu].split = split;
        world.write(vcpu, 0x100, 4, cast.intids & 0xffff_ffff);
        for (n, word) in levels.iter().enumerate() {
            world.write(vcpu, 0x400 + 8 * n as u64, 8, *word);
        }
    }
    world.write(0, 0x104, 4, cast.intids >> 32);
    for n in 0..8 {
        world.write(0, 0x820 + 4 * n, 4, 0x0703_0201 << (n % 3));
    }
    world.write(0, 0, 4, 3);
    let mut kept = world.checkpoint();
    for (step, at_once) in steps {
        run(&mut world, &mut kept, step, *at_once);
    }
}

fn scene(cast: Cast) -> impl Strategy<Value = (usize, bool, Vec<u64>, Vec<(Step, bool)>)> {
    prop_oneof![Just(1usize), Just(2), Just(3), Just(8)].prop_flat_map(move |vcpus| {
        (
            Just(vcpus),
            any::<bool>().prop_map(move |split| split || !cast.nested),
            proptest::collection::vec(priorities(), 8),
            proptest::collection::vec((step(vcpus, cast), prop::bool::weighted(0.8)), 1..150),
        )
    })
}

proptest! {
    #![proptest_config(crate::fake::cases(1000))]

    #[test]
    fn few_interrupts_whatever_is_done_to_them((vcpus, split, levels, steps) in scene(FEW)) {
        play(vcpus, FEW, split, &levels, &steps);
    }

    #[test]
    fn any_number_deactivated_in_any_order((vcpus, split, levels, steps) in scene(SPLIT)) {
        play(vcpus, SPLIT, split, &levels, &steps);
    }

    #[test]
    fn more_interrupts_than_list_registers((vcpus, split, levels, steps) in scene(MANY)) {
        play(vcpus, MANY, split, &levels, &steps);
    }
}
