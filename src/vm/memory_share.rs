//! The share of the board's memory that a VM gets, and how many bytes it takes besides.

use super::Core;
use super::saved::state_size;
use crate::addr::{BLOCK_SIZE, PAGE_SIZE, Pa};
use crate::config::VmConfig;
use crate::device::Window;
use crate::snapshot::{Frames, MAX_FRAMES, Snapshots, min_frames};
use alloc::vec::Vec;
use core::ops::Range;

/// Bytes of the heap that a VM takes besides its share of memory, if the board has `memory` bytes: a word for each frame, stage 2 and the
/// dirty list, each rounded up to a power of two, as the heap does; and some for what is made while the VM starts.
pub fn heap_bytes(config: &VmConfig, memory: u64) -> u64 {
    let pages = config.memory / PAGE_SIZE;
    let parts = [
        4 * memory / PAGE_SIZE + BLOCK_SIZE,
        8 * pages,
        Snapshots::heap_bytes(pages),
        match config.controlled_by {
            Some(_) => Snapshots::WAY_BACK_BYTES,
            None => 0,
        },
        1 << 20,
    ];
    parts.into_iter().map(u64::next_power_of_two).sum()
}

/// Divides memory among VMs: each gets what it needs, and of the rest as much as its RAM is of all RAM. `memory` are ranges of whole
/// 2 MiB blocks. If there is not enough, each VM gets less than it needs, and [`Vm::new`](super::Vm::new) says so.
pub fn carve_memory<C: Core>(configs: &[VmConfig], memory: &[Range<Pa>]) -> Vec<Vec<Range<Pa>>> {
    let blocks = |range: &Range<Pa>| (range.end.0 - range.start.0) / BLOCK_SIZE;
    let total: u64 = memory.iter().map(blocks).sum();
    let least = |config: &VmConfig| (needed_bytes::<C>(config)).div_ceil(BLOCK_SIZE);
    let all_needed: u64 = configs.iter().map(least).sum();
    let all_ram: u64 = configs.iter().map(|config| config.memory).sum();
    let spare = total.saturating_sub(all_needed);
    let mut rest = memory.to_vec();
    let mut left = total;
    let mut shares = Vec::new();
    for (i, config) in configs.iter().enumerate() {
        let part = (u128::from(spare) * u128::from(config.memory) / u128::from(all_ram)) as u64;
        // What rounding left is the last one's.
        let take = match i + 1 == configs.len() {
            true => left,
            false => (least(config) + part).min(left),
        };
        left -= take;
        shares.push(split_off(&mut rest, take));
    }
    shares
}

/// Takes memory for the windows out of `memory`, ranges of whole 2 MiB blocks, for good. Windows that fit share a block; none is in two.
/// `None` if there is too little.
pub fn carve_windows(windows: &[Window], memory: &mut Vec<Range<Pa>>) -> Option<Vec<Range<Pa>>> {
    let mut block = Pa(0)..Pa(0);
    let carve = |window: &Window| {
        if block.end.0 - block.start.0 < window.bytes {
            block = take_last_block(memory)?;
        }
        let start = block.start;
        block.start = Pa(start.0 + window.bytes);
        Some(start..block.start)
    };
    windows.iter().map(carve).collect()
}

/// Takes the last block of the last range, which is the smallest: the large ones stay whole.
fn take_last_block(ranges: &mut Vec<Range<Pa>>) -> Option<Range<Pa>> {
    let last = ranges.last_mut()?;
    let end = last.end;
    last.end = Pa(end.0 - BLOCK_SIZE);
    let block = last.end..end;
    if last.is_empty() {
        ranges.pop();
    }
    Some(block)
}

/// Takes `blocks` blocks of 2 MiB from the front of `ranges`.
fn split_off(ranges: &mut Vec<Range<Pa>>, mut blocks: u64) -> Vec<Range<Pa>> {
    let mut taken = Vec::new();
    while blocks > 0
        && let Some(first) = ranges.first_mut()
    {
        let size = (first.end.0 - first.start.0).min(blocks * BLOCK_SIZE);
        taken.push(first.start..Pa(first.start.0 + size));
        first.start = Pa(first.start.0 + size);
        blocks -= size / BLOCK_SIZE;
        if first.is_empty() {
            ranges.remove(0);
        }
    }
    taken
}

/// Bytes of its share that a VM needs to run, with one pool of snapshots as its configuration promises it.
pub(super) fn needed_bytes<C: Core>(config: &VmConfig) -> u64 {
    let pages = (config.memory / PAGE_SIZE) as u32;
    min_frames(pages, config.pools, state_size::<C::System>(config.vcpus)) * PAGE_SIZE
}

/// The frames of a share of memory, and the address at which frame 0 would be: one block in front of the share, so that 0 can say "none".
/// Memory that is too far up to have a number is left out.
pub(super) fn frames_of(share: &[Range<Pa>]) -> (Pa, Frames) {
    let start = share
        .iter()
        .map(|range| range.start.0)
        .filter(|&start| start >= BLOCK_SIZE)
        .min();
    let base = start.unwrap_or(BLOCK_SIZE) - BLOCK_SIZE;
    let number = |pa: Pa| (pa.0.saturating_sub(base) / PAGE_SIZE).min(u64::from(MAX_FRAMES)) as u32;
    let numbered = |range: &Range<Pa>| number(range.start).max(2)..number(range.end).max(2);
    let ranges: Vec<Range<u32>> = share
        .iter()
        .map(numbered)
        .filter(|range| !range.is_empty())
        .collect();
    (Pa(base), Frames::new(&ranges))
}
