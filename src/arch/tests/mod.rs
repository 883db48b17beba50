//! What the functions of this folder promise, on a board that takes every liberty that the Arm ARM leaves it.

use crate::addr::Pa;
use crate::arch::isa;
use crate::arch::memory::table::Table;
use crate::fake::worst::{By, Luck, Worst};
use std::boxed::Box;

mod contents;
mod errors;
mod mapping;
mod power_on;
mod registers;
mod translation;
mod turns;

/// On as many boards each test runs.
const SEEDS: u64 = 300;

const CORES: usize = 2;

/// A board with bad luck, several times.
fn boards() -> impl Iterator<Item = Worst> {
    many_boards(1)
}

/// More of them, for what is rare.
fn many_boards(times: u64) -> impl Iterator<Item = Worst> {
    (1..=times * SEEDS).map(|seed| Worst::new(CORES, Luck::bad(seed)))
}

/// The IPA of a guest's page.
const PAGE: u64 = 0x4000_5000;

/// AF, inner shareable, both ways, write-back.
fn page(frame: u64) -> u64 {
    frame | 1 << 10 | 3 << 8 | 3 << 6 | 0xf << 2 | 3
}

/// A VM's tables: eight pages from `PAGE` on, in frames from `frame` on.
struct Stage2 {
    level1: Box<Table>,
    _level2: Box<Table>,
    level3: Box<Table>,
}

impl Stage2 {
    /// Written by the core that the thread stands for, and seen by walks.
    fn new(frame: u64) -> Self {
        let [level1, level2, level3] = [(); 3].map(|()| Box::new(Table::empty()));
        level1.0[1].set(level2.at().0 | 3);
        level2.0[0].set(level3.at().0 | 3);
        for n in 0..8 {
            level3.0[5 + n].set(page(frame + n as u64 * 4096));
        }
        isa::dsb_ishst();
        Self {
            level1,
            _level2: level2,
            level3,
        }
    }

    fn root(&self) -> Pa {
        self.level1.at()
    }
}

/// The guest on `core` finds `value` at `va`.
fn loads(worst: &Worst, core: usize, va: u64, value: u64) {
    assert_eq!(worst.load(core, va, By::Cache), Ok(value));
}
