//! Which pages of RAM have something in them. The others are not in the file.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{borrow::ToOwned, vec};

use crate::machine::{Machine, PAGE};

/// Pages that are looked at at a time: 64 KiB, as much as Avisor copies in one call.
const PIECE: usize = 16;
/// How the text begins that Linux keeps for those who read its memory (Documentation/admin-guide/kdump/vmcoreinfo.rst).
const VMCOREINFO: &[u8] = b"OSRELEASE=";
/// What it says in one of its first lines, which no other text has that begins so.
const PAGESIZE: &str = "\nPAGESIZE=";

/// The pages of a machine.
pub struct Pages {
    /// Where RAM begins.
    start: u64,
    /// A bit for each page that is not all zeros.
    bits: Vec<u64>,
    /// How many there are.
    pages: u64,
    /// Linux' VMCOREINFO, if there is one.
    pub vmcoreinfo: Option<String>,
}

/// Pages in a row that are in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The guest-physical address of the first.
    pub ipa: u64,
    /// How many bytes.
    pub bytes: u64,
    /// How many bytes of other runs are before it.
    pub offset: u64,
}

impl Run {
    /// The first address behind it.
    pub fn end(&self) -> u64 {
        self.ipa + self.bytes
    }
}

impl Pages {
    /// Looks at all of a machine's RAM.
    pub fn of<M: Machine>(machine: &mut M) -> Result<Self, M::Error> {
        let (start, bytes) = machine.ram();
        let pages = bytes / PAGE;
        let mut found = Self {
            start,
            bits: vec![0; pages.div_ceil(64) as usize],
            pages,
            vmcoreinfo: None,
        };
        let mut buffer = vec![0; PIECE * PAGE as usize];
        for first in (0..pages).step_by(PIECE) {
            let count = (pages - first).min(PIECE as u64);
            let piece = &mut buffer[..(count * PAGE) as usize];
            machine.read(start + first * PAGE, piece)?;
            for (page, bytes) in (first..).zip(piece.chunks_exact(PAGE as usize)) {
                if is_zero(bytes) {
                    continue;
                }
                found.bits[(page / 64) as usize] |= 1 << (page % 64);
                if found.vmcoreinfo.is_none() && bytes.starts_with(VMCOREINFO) {
                    found.vmcoreinfo = vmcoreinfo(bytes);
                }
            }
        }
        Ok(found)
    }

    /// The pages that are in the file, in order. Gaps of less than `gap` pages are in the file, too.
    pub fn runs(&self, gap: u64) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for page in self.filled() {
            let ipa = self.start + page * PAGE;
            match runs.last_mut() {
                Some(run) if ipa - run.end() < gap.max(1) * PAGE => {
                    run.bytes = ipa + PAGE - run.ipa;
                }
                last => {
                    let offset = last.map_or(0, |run| run.offset + run.bytes);
                    runs.push(Run {
                        ipa,
                        bytes: PAGE,
                        offset,
                    });
                }
            }
        }
        runs
    }

    /// How many pages there are.
    pub fn count(&self) -> u64 {
        self.pages
    }

    fn filled(&self) -> impl Iterator<Item = u64> {
        self.bits.iter().enumerate().flat_map(|(n, &word)| {
            let bits = (0..64).filter(move |bit| word >> bit & 1 != 0);
            bits.map(move |bit| n as u64 * 64 + bit)
        })
    }
}

/// Whether all bytes are zero. Word by word: the compiler must take bytes for unaligned.
#[allow(unsafe_code)]
fn is_zero(bytes: &[u8]) -> bool {
    // SAFETY: any eight bytes are a u64.
    let (before, words, after) = unsafe { bytes.align_to::<u64>() };
    let (lines, rest) = words.as_chunks::<8>();
    let is_zero_line = |line: &[u64; 8]| line.iter().fold(0, |all, word| all | word) == 0;
    lines.iter().all(is_zero_line)
        && rest.iter().all(|&word| word == 0)
        && before.iter().chain(after).all(|&byte| byte == 0)
}

/// The text that a page has, if it is Linux' VMCOREINFO.
fn vmcoreinfo(page: &[u8]) -> Option<String> {
    let text = page.split(|&byte| byte == 0).next()?;
    let text = core::str::from_utf8(text).ok()?;
    text.contains(PAGESIZE).then(|| text.to_owned())
}
