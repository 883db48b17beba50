//! What lies in a guest's RAM before its first instruction: its image, an initial RAM disk, a device tree.
//!
//! The build reads the image file (`build/image`), refuses what cannot run, and leaves a list of [`Segment`]s here. So nothing at EL2 parses
//! a guest's file. What remains is where the RAM disk and the device tree go, as `qemu-system-aarch64 -M virt -kernel` places them.

pub mod device_tree;
#[cfg(test)]
mod tests;

use crate::addr::{BLOCK_SIZE, Ipa, PAGE_SIZE};
use core::fmt;
use core::ops::Range;

/// The initrd and the device tree go half-way into RAM, but no further from its start than this: out of the way of
/// what a kernel uses beyond its image, near enough for every kernel's first mapping. As QEMU does.
const PLACED_WITHIN: u64 = 128 << 20;

/// What the image was recognised as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// The arm64 Linux `Image` with its header.
    Arm64Image,
    /// An ELF64 executable.
    Elf,
    /// Anything else.
    Raw,
}

/// A run of guest memory to fill: `bytes` at `ipa`, behind them `zeroes` bytes of 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment<'a> {
    /// Where it begins.
    pub ipa: Ipa,
    /// What it begins with; may be empty.
    pub bytes: &'a [u8],
    /// How many zero bytes follow.
    pub zeroes: u64,
}

impl Segment<'_> {
    fn range(&self) -> Range<u64> {
        self.ipa.0..self.ipa.0 + self.bytes.len() as u64 + self.zeroes
    }
}

/// An image, as the build has checked it: all of it lies in the VM's RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Image<'a> {
    /// What it was recognised as.
    pub format: Format,
    /// The guest's first pc: a multiple of 4, in the bytes of a segment.
    pub entry: Ipa,
    /// What to load, in the file's order. No two overlap.
    pub segments: &'a [Segment<'a>],
}

/// Where copies of the device tree go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TreePlaces {
    /// The copy whose address the guest has in x0. Above the image, or at the start of RAM if there is no room.
    pub passed: Ipa,
    /// The copy at the start of RAM, for kernels that look only there; `None` if the image lies there, or if
    /// `passed` is that copy.
    pub at_start: Option<Ipa>,
}

/// No place is left for something that is loaded with the image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRoom {
    /// What.
    pub what: &'static str,
    /// Its bytes.
    pub size: u64,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, size } = self;
        write!(
            f,
            "no place is left for {what}, {size:#x} bytes: give the VM more memory"
        )
    }
}

impl core::error::Error for NoRoom {}

impl Image<'_> {
    /// The first address above everything that the image occupies.
    pub fn end(&self) -> Ipa {
        let ends = self.segments.iter().map(|segment| segment.range().end);
        ends.max().map_or(self.entry, Ipa)
    }

    /// Where an initial RAM disk of `size` bytes goes in `ram`: above the image, on a page boundary.
    pub fn initrd(&self, ram: &Range<Ipa>, size: u64) -> Result<Range<Ipa>, NoRoom> {
        above(ram, self.end(), PAGE_SIZE, size)
            .map(|start| start..Ipa(start.0 + size))
            .ok_or(NoRoom {
                what: "the initrd",
                size,
            })
    }

    /// Where a device tree of `size` bytes goes in `ram`, clear of the image and of the `initrd`.
    ///
    /// The copy above begins at a multiple of 2 MiB, as kernels before Linux 4.2 demand (booting.rst: not across a 2 MiB
    /// boundary), unless only a page boundary leaves enough room.
    pub fn device_tree(
        &self,
        ram: &Range<Ipa>,
        size: u64,
        initrd: Option<&Range<Ipa>>,
    ) -> Result<TreePlaces, NoRoom> {
        let taken = |range: Range<u64>| {
            let hits = |other: Range<u64>| range.start < other.end && other.start < range.end;
            self.segments.iter().any(|segment| hits(segment.range()))
                || initrd.is_some_and(|initrd| hits(initrd.start.0..initrd.end.0))
        };
        let start = ram.start;
        let fits = start
            .0
            .checked_add(size)
            .is_some_and(|end| end <= ram.end.0);
        let at_start = (fits && !taken(start.0..start.0 + size)).then_some(start);
        let free_from = initrd.map_or(self.end(), |initrd| self.end().max(initrd.end));
        let above = above(ram, free_from, BLOCK_SIZE, size)
            .or_else(|| above(ram, free_from, PAGE_SIZE, size));
        match (above, at_start) {
            (Some(passed), at_start) => Ok(TreePlaces { passed, at_start }),
            (None, Some(passed)) => Ok(TreePlaces {
                passed,
                at_start: None,
            }),
            (None, None) => Err(NoRoom {
                what: "the device tree",
                size,
            }),
        }
    }
}

/// A place for `size` bytes in `ram` from `free_from` on, half-way into it if there is room, else right behind.
fn above(ram: &Range<Ipa>, free_from: Ipa, align: u64, size: u64) -> Option<Ipa> {
    let half = (ram.end.0 - ram.start.0) / 2;
    let middle = ram.start.0 + half.min(PLACED_WITHIN);
    [middle.max(free_from.0), free_from.0]
        .into_iter()
        .find_map(|from| {
            let start = from.checked_next_multiple_of(align)?;
            (start.checked_add(size)? <= ram.end.0).then_some(Ipa(start))
        })
}
