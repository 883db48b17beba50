//! What operations cost in a guest of 64 GiB as its history grows: how often each looks at bookkeeping memory, and the time that this takes on the
//! host. `avisor-bench --history` makes a table and a plot of it.

use super::model::{ModelBackend, ModelState};
use super::pair::SMALL;
use crate::addr::BLOCK_PAGES;
use crate::config::{Accounting, PoolPlan};
use crate::snapshot::*;
use core::task::Poll;
use std::env;
use std::println;
use std::time::{Duration, Instant};
use std::vec::Vec;

/// 64 GiB.
const PAGES: u32 = 64 << 18;
/// Blocks all over RAM that the guest uses: 128 MiB. EL2 has numbers for 16 GiB of frames, and a million snapshots want their part.
const BLOCKS: u32 = 64;
const STEP: u32 = PAGES / BLOCKS;
/// Snapshots after which all is measured: 10 and powers of it.
const FIRST: u64 = 10;
/// How many times each operation is done, to take the mean: pages all over RAM lie at different depths of nodes that are shared already or not.
const TIMES: u32 = 64;

/// A VM that takes snapshots for ever, each of one page that is another.
struct History {
    m: ModelBackend,
    s: Snapshots,
    state: ModelState,
    ids: Vec<u64>,
    next_id: u64,
    stores: u64,
}

/// What something costs on the average.
#[derive(Clone, Copy, Default)]
struct Cost {
    looks: u32,
    time: Duration,
}

impl History {
    fn new(frames: u32) -> Self {
        let plan = PoolPlan {
            capacity: 1024,
            accounting: Accounting::OnDemand,
        };
        let share = 512..512 + frames;
        let frames = Frames::new(core::slice::from_ref(&share));
        let mut history = Self {
            m: ModelBackend::new(PAGES, share.end),
            // A VM's share holds all of its RAM, and there are no numbers for that many frames. This one never uses all.
            s: Snapshots {
                pages: PAGES,
                level: map::root_level(PAGES),
                recent: Recent::new(PAGES),
                ..Snapshots::new(BLOCK_PAGES, plan, SMALL, frames).expect("the share suffices")
            },
            state: ModelState::default(),
            ids: Vec::new(),
            next_id: 0,
            stores: 0,
        };
        for block in 0..BLOCKS {
            history.fault_in(block * STEP);
        }
        history.checkpoint();
        history
    }

    fn fault_in(&mut self, page: Page) {
        let mut done = Err(NotYet::Unfinished);
        while done == Err(NotYet::Unfinished) {
            done = self.s.fault_in(&mut self.m, page, true, Reach::Cached);
        }
        done.expect("memory suffices");
    }

    /// A page that the guest uses, another one each time, all over RAM.
    fn page(&mut self) -> Page {
        // A multiplier without a factor of 2 visits all of them before one comes again.
        self.stores += 1;
        let at = (self.stores.wrapping_mul(0x9e37_79b1) % u64::from(BLOCKS * BLOCK_PAGES)) as u32;
        at / BLOCK_PAGES * STEP + at % BLOCK_PAGES
    }

    /// The guest stores to a page that is clean.
    fn store(&mut self) {
        let page = loop {
            let page = self.page();
            if !matches!(self.m.mapping(page), Mapping::Write | Mapping::WriteBlock) {
                break page;
            }
        };
        while !matches!(self.m.mapping(page), Mapping::Write | Mapping::WriteBlock) {
            self.fault_in(page);
        }
    }

    fn checkpoint(&mut self) {
        let id = self.next_id;
        self.next_id += 1;
        while self.s.prepare_checkpoint(&mut self.m).is_pending() {}
        let taken = loop {
            let piece = self.s.checkpoint_piece(&mut self.m, &mut self.state, || id);
            if let Poll::Ready(taken) = piece {
                break taken;
            }
        };
        self.ids.push(taken.expect("memory suffices"));
    }

    fn restore(&mut self, id: u64) {
        let restored = self.s.restore(&mut self.m, &mut self.state, Which::Id(id));
        restored.expect("it exists");
    }

    /// The mean of `TIMES` times `action`, each behind `before`, which does not count.
    fn cost(
        &mut self,
        mut before: impl FnMut(&mut Self),
        mut action: impl FnMut(&mut Self),
    ) -> Cost {
        let mut sum = Cost::default();
        for _ in 0..TIMES {
            before(self);
            self.m.looks.set(0);
            let start = Instant::now();
            action(self);
            sum.time += start.elapsed();
            sum.looks += self.m.looks.get();
        }
        Cost {
            looks: sum.looks.div_ceil(TIMES),
            time: sum.time / TIMES,
        }
    }

    /// What each operation costs now. Those that lengthen or shorten the history do it by as much.
    fn costs(&mut self) -> [(&'static str, Cost); 7] {
        let nothing = |_: &mut Self| ();
        let newest = *self.ids.last().expect("there is one");
        let near = self.ids[self.ids.len() - FIRST as usize];
        let oldest = self.ids[0];
        let middle = self.ids[self.ids.len() / 2];
        let store = self.cost(|own| own.restore(newest), Self::store);
        let restore = self.cost(Self::store, |own| own.restore(newest));
        let back = |id: u64| move |own: &mut Self| own.restore(id);
        let near = self.cost(back(newest), back(near));
        let far = self.cost(back(newest), back(oldest));
        let info = self.cost(nothing, |own| {
            let mut count = Count::NOT_BEGUN;
            while own
                .s
                .info_piece(&mut own.m, middle, &mut count)
                .is_pending()
            {}
        });
        self.restore(newest);
        let checkpoint = self.cost(Self::store, Self::checkpoint);
        let delete = self.cost(nothing, |own| {
            let id = own.ids.pop().expect("there are some");
            own.s.delete(&mut own.m, id).expect("it exists");
        });
        self.restore(newest);
        [
            ("first store", store),
            ("checkpoint, one page", checkpoint),
            ("restore, one page", restore),
            ("restore, 9 checkpoints back", near),
            ("restore of the first", far),
            ("information on one", info),
            ("delete, the newest", delete),
        ]
    }

    /// Frames that are taken.
    fn taken(&self) -> u32 {
        self.s.memory.frames.total() - self.s.memory.frames.free_count()
    }
}

/// What costs the same however long the history is, does so; a restore costs what differs, which is at most all that the guest uses.
/// `AVISOR_SNAPSHOTS=1000000` goes on to a million.
#[test]
fn costs_do_not_grow_with_the_history() {
    let most = env::var("AVISOR_SNAPSHOTS").map_or(1000, |text| text.parse().expect("a number"));
    // A page and its nodes for each, a state, which shares a frame with another one, and what the guest uses.
    let frames = (most as u32 * 2 + BLOCKS * BLOCK_PAGES * 2 + 8192).next_multiple_of(BLOCK_PAGES);
    let mut history = History::new(frames);
    let mut first: Option<[(&str, Cost); 7]> = None;
    let (mut before, mut taken) = (1, history.taken());
    let mut wanted = FIRST;
    while wanted <= most {
        while (history.ids.len() as u64) < wanted {
            history.store();
            history.checkpoint();
        }
        let bytes = u64::from(history.taken() - taken) * 4096 / (wanted - before);
        (before, taken) = (wanted, history.taken());
        let costs = history.costs();
        for (name, cost) in costs {
            println!(
                "history: {wanted:>8} snapshots: {name}: {} looks, {} ns",
                cost.looks,
                cost.time.as_nanos()
            );
        }
        println!("history: {wanted:>8} snapshots: each of the last takes: {bytes} bytes");
        // Between two tens, as many pages are copied and as many nodes.
        assert!((4096..8192).contains(&bytes), "{bytes} bytes a snapshot");
        for (at, (name, cost)) in costs.into_iter().enumerate() {
            let least = first.get_or_insert(costs)[at].1.looks;
            // Ids have an index that is a tree, which grows by a level now and then.
            let most = match name {
                "restore of the first" | "information on one" => u32::MAX,
                _ => least * 2 + 16,
            };
            assert!(
                cost.looks <= most,
                "{name}: {} looks, of {least}",
                cost.looks
            );
        }
        wanted *= 10;
    }
}
