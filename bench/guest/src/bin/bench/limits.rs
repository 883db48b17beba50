//! How far it goes: snapshots that fit, and how long the guest may be away.

use crate::counter;
use crate::memory::Ram;
use crate::operations::forget;
use crate::report::report;
use avisor_guest::{Id, snapshot};

const PAGE: u64 = 4096;

/// What the hypervisor has left of the machine for this guest.
pub fn at_start(ram: &Ram) {
    if let Ok(stats) = snapshot::stats() {
        let pages = stats.pages_free + ram.pages() as u64;
        report("bytes for the guest and its snapshots", pages * PAGE);
    }
}

pub fn all(ram: &Ram) {
    ram.make_present();
    that_fit(ram);
    forget();
    all_pages_at_once(ram);
    freeing_a_pool(ram);
}

/// The longest that the guest is away for a trap of its own, all of its pages having been dirtied. Takes twice its RAM.
pub fn pauses(ram: &Ram) {
    let all = ram.all();
    ram.make_present();
    // Once to divide the blocks.
    counter::checkpoint(all);
    forget();
    let (_, checkpoint) = counter::longest_store_and_checkpoint(all);
    report("pause: checkpoint", checkpoint);
    let (store, _) = counter::longest_store_and_checkpoint(all);
    report("pause: first store", store);
    forget();
    report("pause: restore", counter::restore(all));
    forget();
    let id = counter::dirty_and_checkpoint(all);
    counter::loop_alone(all);
    report("pause: INFO", counter::info(id as u64));
    report("pause: DELETE", counter::delete(id as u64));
    forget();
}

/// Takes snapshots, ten pages dirtied before each, until the first is gone.
fn that_fit(ram: &Ram) {
    const PAGES_EACH: usize = 10;
    const SAMPLE: u64 = 1000;
    let Ok(before) = snapshot::stats() else {
        return;
    };
    let mut first = None;
    let mut at_sample = before;
    for count in 0_u64.. {
        let id = counter::dirty_and_checkpoint(
            ram.scattered_from(count as usize * PAGES_EACH, PAGES_EACH),
        );
        let oldest = snapshot::next(Id(0)).ok();
        if id < 0 || first.is_some() && oldest != first {
            report("snapshots that fit", count);
            return;
        }
        first = oldest;
        // From the second thousand on: the first has all blocks to divide.
        match (count + 1, snapshot::stats()) {
            (SAMPLE, Ok(stats)) => at_sample = stats,
            (n, Ok(stats)) if n == 2 * SAMPLE => {
                let pages = stats.pages_used - at_sample.pages_used;
                let all = at_sample.pages_free - stats.pages_free;
                report("bytes besides of a snapshot", (all - pages) * PAGE / SAMPLE);
            }
            _ => {}
        }
    }
}

fn all_pages_at_once(ram: &Ram) {
    let all = ram.all();
    // Once to divide the blocks.
    counter::checkpoint(all);
    report(
        "away: checkpoint, all pages dirtied",
        counter::checkpoint(all),
    );
    forget();
    report("away: restore, all pages dirtied", counter::restore(all));
    forget();
    let across = counter::restore_across(all, 1, false);
    report("away: restore of another, all pages differ", across);
    forget();
    let across = counter::restore_across(all, 1, true);
    report("away: the same, all pages dirtied as well", across);
    forget();
    let id = counter::dirty_and_checkpoint(all);
    counter::loop_alone(all);
    // The pages that this one alone holds are counted: those behind the dirty ones, or those that the next has not.
    report(
        "away: information, all pages dirtied",
        counter::info(id as u64),
    );
    counter::dirty_and_checkpoint(all);
    report(
        "away: information, all pages its own",
        counter::info(id as u64),
    );
    report("away: freeing it", counter::delete(id as u64));
    forget();
}

/// Snapshots that share nothing, until memory is short and a store, or else a checkpoint, frees the oldest pool.
fn freeing_a_pool(ram: &Ram) {
    let (mut store, mut checkpoint) = (0, 0);
    let mut first = None;
    loop {
        (store, checkpoint) = longer(
            (store, checkpoint),
            counter::longest_store_and_checkpoint(ram.all()),
        );
        let oldest = snapshot::next(Id(0)).ok();
        if first.is_some() && oldest != first {
            break;
        }
        first = oldest;
    }
    report(
        "away: freeing a pool of three full snapshots, in a store",
        store,
    );
    report("away: the longest checkpoint meanwhile", checkpoint);
    forget();
}

fn longer(a: (u64, u64), b: (u64, u64)) -> (u64, u64) {
    (a.0.max(b.0), a.1.max(b.1))
}
