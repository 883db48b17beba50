//! Where guests load and store.

use super::super::guest::{DATA, RAM};
use crate::addr::{BLOCK_SIZE, PAGE_SIZE, Pa};
use crate::device::Window;

/// What the VMs share, and where that is.
pub const WINDOW: Window = Window {
    number: 0,
    name: "window",
    bytes: PAGE_SIZE,
};
pub const WINDOW_AT: Pa = Pa(0x3_0000_3000);

/// The pages that the guests use: neighbours, both ends of a block, and one beside the image.
pub const PAGES: [u64; 8] = [
    RAM + BLOCK_SIZE,
    RAM + BLOCK_SIZE + PAGE_SIZE,
    RAM + BLOCK_SIZE + 64 * PAGE_SIZE,
    RAM + 2 * BLOCK_SIZE - PAGE_SIZE,
    RAM + 3 * BLOCK_SIZE,
    RAM + 3 * BLOCK_SIZE + 5 * PAGE_SIZE,
    DATA,
    DATA + PAGE_SIZE,
];

/// Where a vCPU has its table of stage 1.
pub fn table(vcpu: usize) -> u64 {
    RAM + 3 * BLOCK_SIZE + (8 + vcpu as u64) * PAGE_SIZE
}

/// The page that a vCPU uses with its caches off only, if it is not the first.
pub fn off_page(vcpu: usize) -> u64 {
    RAM + 3 * BLOCK_SIZE + (16 + vcpu as u64) * PAGE_SIZE
}

/// The page that vCPUs with their caches on store to and clean, for those that have theirs off.
pub const MAIL: u64 = RAM + 3 * BLOCK_SIZE + 24 * PAGE_SIZE;

/// Slots of a vCPU's table: the first ones are there from the beginning; then those that it maps later, ...
pub const LATER: usize = PAGES.len();
/// ... [`MAIL`], ...
pub const MAIL_SLOT: usize = LATER + 4;
/// ... the table itself, ...
pub const TABLE_SLOT: usize = MAIL_SLOT + 1;
/// ... and the window.
pub const WINDOW_SLOT: usize = TABLE_SLOT + 1;

/// What a vCPU maps as its page `slot`: each another one, all under one ASID.
pub fn mapped(vcpu: usize, slot: usize) -> u64 {
    PAGES[(slot + 3 * vcpu) % PAGES.len()]
}
