//! Where everything is in the file: ELF header, program headers, notes, then pages.

use alloc::vec::Vec;

use crate::machine::PAGE;
use crate::pages::{Pages, Run};
use crate::tables::Range;

/// What is added to a guest-physical address to have a virtual one that no guest maps: RAM is there as a whole. It is beyond 52 bits, and below bit 55,
/// from which on a debugger takes an address for a kernel's.
pub const PHYSICAL: u64 = 1 << 52;

/// The most program headers. Where pages of zeros lie so scattered that there would be more, small gaps are in the file.
pub const HEADERS_MAX: usize = 8000;

const EHDR: usize = 64;
const PHDR: usize = 56;
const ET_CORE: u16 = 4;
const EM_AARCH64: u16 = 183;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
/// Readable, writable, executable.
const RWX: u32 = 7;

/// A `PT_LOAD`: its offset is from where pages begin in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Load {
    va: u64,
    ipa: u64,
    offset: u64,
    in_file: u64,
    in_memory: u64,
}

/// The file's beginning, and the runs of pages behind it.
pub struct Layout {
    /// Everything before the first page.
    pub head: Vec<u8>,
    /// The pages, in order.
    pub runs: Vec<Run>,
}

impl Layout {
    /// Lays out the pages of RAM from `start` on, and the virtual ranges that map them.
    pub fn new(start: u64, pages: &Pages, ranges: &[Range], notes: &[u8]) -> Self {
        let whole = Range {
            va: PHYSICAL + start,
            ipa: start,
            bytes: pages.count() * PAGE,
        };
        let all = || {
            [&whole]
                .into_iter()
                .chain(ranges)
                .filter(|range| range.bytes > 0)
        };
        let mut gap = 1;
        loop {
            let runs = pages.runs(gap);
            let count: usize = all().map(|range| loads(range, &runs).count()).sum();
            if count <= HEADERS_MAX || gap > pages.count() {
                let loads = all().flat_map(|range| loads(range, &runs));
                let head = head(loads, count, notes);
                return Self { head, runs };
            }
            gap *= 4;
        }
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        let last = self.runs.last().map_or(0, |run| run.offset + run.bytes);
        self.head.len() as u64 + last
    }
}

/// The loads of a range: each begins with what is in the file, and ends with zeros that are not.
fn loads(range: &Range, runs: &[Run]) -> impl Iterator<Item = Load> {
    let end = range.ipa + range.bytes;
    let mut next = runs.partition_point(|run| run.end() <= range.ipa);
    let mut at = range.ipa;
    core::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let mut load = Load {
            va: range.va + (at - range.ipa),
            ipa: at,
            offset: 0,
            in_file: 0,
            in_memory: 0,
        };
        if let Some(run) = runs.get(next).filter(|run| run.ipa <= at) {
            load.offset = run.offset + (at - run.ipa);
            load.in_file = run.end().min(end) - at;
            next += 1;
        }
        let hole = runs.get(next).map_or(end, |run| run.ipa.min(end));
        load.in_memory = hole.max(at + load.in_file) - at;
        at += load.in_memory;
        Some(load)
    })
}

/// ELF header, program headers and notes, up to a whole page.
fn head(loads: impl Iterator<Item = Load>, count: usize, notes: &[u8]) -> Vec<u8> {
    let at_notes = EHDR + PHDR * (1 + count);
    let size = (at_notes + notes.len()).next_multiple_of(PAGE as usize);
    let mut head = Vec::with_capacity(size);
    // 64 bits, little-endian, version 1, System V.
    head.extend(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    for half in [ET_CORE, EM_AARCH64] {
        head.extend(half.to_le_bytes());
    }
    head.extend(1_u32.to_le_bytes());
    // No entry, program headers at once, no section headers.
    for word in [0, EHDR as u64, 0] {
        head.extend(word.to_le_bytes());
    }
    head.extend(0_u32.to_le_bytes());
    for half in [EHDR, PHDR, 1 + count, 0, 0, 0] {
        head.extend((half as u16).to_le_bytes());
    }
    let header = |head: &mut Vec<u8>, kind: u32, words: [u64; 6]| {
        head.extend(kind.to_le_bytes());
        head.extend((if kind == PT_LOAD { RWX } else { 0 }).to_le_bytes());
        words
            .iter()
            .for_each(|word| head.extend(word.to_le_bytes()));
    };
    let bytes = notes.len() as u64;
    header(&mut head, PT_NOTE, [at_notes as u64, 0, 0, bytes, 0, 4]);
    for load in loads {
        let offset = size as u64 + load.offset;
        let sizes = [load.in_file, load.in_memory];
        let words = [offset, load.va, load.ipa, sizes[0], sizes[1], PAGE];
        header(&mut head, PT_LOAD, words);
    }
    head.extend(notes);
    head.resize(size, 0);
    head
}
