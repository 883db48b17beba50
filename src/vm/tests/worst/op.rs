//! What happens in a history on the worst board.

use super::places::PAGES;
use proptest::prelude::*;
use std::vec;

/// What a core does next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    /// The core runs another vCPU.
    Turn(usize),
    Store {
        slot: usize,
        word: u64,
    },
    Load {
        slot: usize,
        word: u64,
    },
    Fetch {
        slot: usize,
        word: u64,
    },
    /// To the window that the VMs share, if the vCPU has its MMU and caches on.
    StoreWindow {
        word: u64,
    },
    LoadWindow {
        word: u64,
    },
    /// Its MMU and caches are switched on, ...
    On,
    /// ... and off.
    Off,
    CpuOn(usize),
    /// One more page in its table, ...
    Map {
        slot: usize,
        page: usize,
    },
    /// ... and a word from those with their caches on to those that have them off.
    Mail {
        word: u64,
    },
    Checkpoint,
    Restore(u16),
    Latest,
    /// A store, a fetch and back to the latest, again and again.
    Rounds {
        slot: usize,
        word: u64,
    },
    Delete(u16),
    Reset,
    /// If it is the other VM's controller: it does this with that one.
    ToOther(Control),
}

/// What a controller does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Control {
    Checkpoint,
    Restore(u16),
    /// From its word to the other's; if its vCPU 0 has its MMU off, perhaps by that one's virtual address.
    Write([(usize, u64); 2], bool),
    /// From the other's to its own, likewise.
    Read([(usize, u64); 2], bool),
    /// The other one's debug exceptions go to EL2, or not any more.
    Catch(bool),
}

fn control(
    one: impl Strategy<Value = (usize, u64)> + Clone,
    other: impl Strategy<Value = (usize, u64)> + Clone,
) -> impl Strategy<Value = Control> {
    prop_oneof![
        2 => Just(Control::Checkpoint),
        2 => any::<u16>().prop_map(Control::Restore),
        3 => (one.clone(), other.clone(), any::<bool>()).prop_map(|(own, its, by)| Control::Write([own, its], by)),
        3 => (one, other, any::<bool>()).prop_map(|(own, its, by)| Control::Read([own, its], by)),
        1 => any::<bool>().prop_map(Control::Catch),
    ]
}

/// Any of them.
pub(super) fn op() -> impl Strategy<Value = Op> {
    let word = || prop::sample::select([0, 8, 0xfc0].as_slice());
    let place = || (0..PAGES.len(), word());
    prop_oneof![
        6 => (0..6_usize).prop_map(Op::Turn),
        16 => place().prop_map(|(slot, word)| Op::Store { slot, word }),
        10 => place().prop_map(|(slot, word)| Op::Load { slot, word }),
        10 => place().prop_map(|(slot, word)| Op::Fetch { slot, word }),
        4 => word().prop_map(|word| Op::StoreWindow { word }),
        4 => word().prop_map(|word| Op::LoadWindow { word }),
        4 => Just(Op::On),
        1 => Just(Op::Off),
        4 => (0..3_usize).prop_map(Op::CpuOn),
        4 => (0..4_usize, 0..PAGES.len()).prop_map(|(slot, page)| Op::Map { slot, page }),
        6 => place().prop_map(|(_, word)| Op::Mail { word }),
        6 => Just(Op::Checkpoint),
        3 => any::<u16>().prop_map(Op::Restore),
        2 => Just(Op::Latest),
        3 => place().prop_map(|(slot, word)| Op::Rounds { slot, word }),
        2 => any::<u16>().prop_map(Op::Delete),
        1 => Just(Op::Reset),
        10 => control(place(), place()).prop_map(Op::ToOther),
    ]
}
