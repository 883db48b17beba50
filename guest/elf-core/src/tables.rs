//! Stage 1 of a guest's translation (Arm DDI 0487, D8): all that its tables map to RAM, as ranges.
//!
//! 48-bit addresses, and 52-bit ones with pages of 64 KiB; a table with TCR_EL1.DS, which has descriptors of another form, maps nothing here.
//! Permissions do not matter, as EL1 may read what is mapped; nor does the access flag, as what a page without it holds is there.

use alloc::vec::Vec;

use crate::machine::{Machine, Stage1};

/// Half of the virtual addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// By TTBR0_EL1; or all addresses one to one, while the MMU is off.
    Lower,
    /// By TTBR1_EL1.
    Upper,
}

/// Virtual addresses that are mapped in one piece to guest-physical ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Where it begins.
    pub va: u64,
    /// What it begins with, in RAM.
    pub ipa: u64,
    /// How many bytes, at least one. It does not go beyond the highest address.
    pub bytes: u64,
}

impl Range {
    /// Its last address.
    pub fn last(&self) -> u64 {
        self.va + (self.bytes - 1)
    }

    /// What of it is from `va` on, which is in it.
    pub fn from(&self, va: u64) -> Self {
        let off = va - self.va;
        Self {
            va,
            ipa: self.ipa + off,
            bytes: self.bytes - off,
        }
    }
}

/// Descriptors that are read at a time.
const PIECE: usize = 128;
/// The most pieces of all walks: 64 MiB of tables. Tables that lead to each other in circles have no end.
const PIECES_MAX: u32 = 65_536;

/// TCR_EL1.DS: descriptors of another form (FEAT_LPA2).
const DS: u64 = 1 << 59;
/// A descriptor's bits of an address.
pub(crate) const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// Walks over tables, with an end to their work.
#[derive(Default)]
pub struct Walk {
    pieces: u32,
    is_cut: bool,
}

/// A half's tables.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// Bits of an address in a page: 12, 14 or 16.
    pub page: u32,
    /// Bits of an address that are translated.
    pub input: u32,
    /// The level of the first table.
    pub level: u32,
}

/// Where a walk is.
struct State<'a, M> {
    machine: &'a mut M,
    shape: Shape,
    /// The upper half's bits above those that are translated.
    top: u64,
    found: Vec<Range>,
    max: usize,
}

impl Walk {
    /// What a half maps to RAM, in order: `max` ranges at the most.
    pub fn ranges<M: Machine>(
        &mut self,
        machine: &mut M,
        stage1: &Stage1,
        half: Half,
        max: usize,
    ) -> Result<Vec<Range>, M::Error> {
        let (ram, bytes) = machine.ram();
        if !stage1.is_on() {
            let same = Range {
                va: ram,
                ipa: ram,
                bytes,
            };
            return Ok(match half {
                Half::Lower => [same].into(),
                Half::Upper => Vec::new(),
            });
        }
        let Some(shape) = Shape::of(stage1.tcr, half) else {
            return Ok(Vec::new());
        };
        let (ttbr, top) = match half {
            Half::Lower => (stage1.ttbr[0], 0),
            Half::Upper => (stage1.ttbr[1], u64::MAX << shape.input),
        };
        let root = shape.root(ttbr);
        let mut state = State {
            machine,
            shape,
            top,
            found: Vec::new(),
            max,
        };
        self.table(&mut state, root, shape.level, 0)?;
        Ok(state.found)
    }

    /// Whether something that is mapped was left out.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Walks the table at `at`, whose first entry is for the address `va`.
    fn table<M: Machine>(
        &mut self,
        state: &mut State<'_, M>,
        at: u64,
        level: u32,
        va: u64,
    ) -> Result<(), M::Error> {
        let entries = state.shape.entries(level) as usize;
        if !is_in_ram(state.machine, at, entries as u64 * 8) {
            return Ok(());
        }
        let mut bytes = [0; PIECE * 8];
        for first in (0..entries).step_by(PIECE) {
            let piece = &mut bytes[..(entries - first).min(PIECE) * 8];
            if self.pieces == PIECES_MAX {
                self.is_cut = true;
                return Ok(());
            }
            self.pieces += 1;
            state.machine.read(at + first as u64 * 8, piece)?;
            for (n, entry) in piece.chunks_exact(8).enumerate() {
                if self.is_cut {
                    return Ok(());
                }
                let bytes = entry.iter().rev();
                let entry = bytes.fold(0, |entry, &byte| entry << 8 | u64::from(byte));
                let va = va | ((first + n) as u64) << state.shape.shift(level);
                self.entry(state, entry, level, va)?;
            }
        }
        Ok(())
    }

    fn entry<M: Machine>(
        &mut self,
        state: &mut State<'_, M>,
        entry: u64,
        level: u32,
        va: u64,
    ) -> Result<(), M::Error> {
        let shape = state.shape;
        let address = |bits: u32| entry & ADDRESS & u64::MAX << bits;
        match (entry & 3, level) {
            (3, 0..3) => self.table(state, address(shape.page), level + 1, va),
            (3, _) => {
                self.is_cut |= !state.add(va, address(shape.page), 1 << shape.page);
                Ok(())
            }
            (1, level) if shape.has_blocks(level) => {
                let bits = shape.shift(level);
                self.is_cut |= !state.add(va, address(bits), 1 << bits);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Shape {
    /// A half as TCR_EL1 has it; none if it is walked by nobody, or in a way that this does not know.
    pub fn of(tcr: u64, half: Half) -> Option<Self> {
        let (size, off, granule) = match half {
            Half::Lower => (tcr, tcr >> 7, [12, 16, 14, 0][(tcr >> 14 & 3) as usize]),
            Half::Upper => (
                tcr >> 16,
                tcr >> 23,
                [0, 14, 12, 16][(tcr >> 30 & 3) as usize],
            ),
        };
        let input = 64 - (size & 0x3f) as u32;
        let most = if granule == 16 { 52 } else { 48 };
        if off & 1 != 0 || granule == 0 || tcr & DS != 0 || !(granule + 4..=most).contains(&input) {
            return None;
        }
        let levels = (input - granule).div_ceil(granule - 3);
        Some(Self {
            page: granule,
            input,
            level: 4u32.checked_sub(levels)?,
        })
    }

    /// The first table. Bit 0 is CnP, and the ASID is above. It lies at a multiple of its size, or of 64 bytes.
    pub fn root(self, ttbr: u64) -> u64 {
        let size = (self.entries(self.level) * 8).max(64);
        ttbr & 0x0000_ffff_ffff_fffe & !(size - 1)
    }

    /// Bits of an address below what an entry of that level decides.
    pub fn shift(self, level: u32) -> u32 {
        self.page + (3 - level) * (self.page - 3)
    }

    /// Entries of a table of that level: fewer in the first one, if there are fewer bits.
    pub fn entries(self, level: u32) -> u64 {
        1 << (self.page - 3).min(self.input - self.shift(level))
    }

    /// Whether an entry of that level may be a block: 1 GiB and 2 MiB; 32 MiB; 512 MiB (and 4 TiB, which no RAM has).
    pub fn has_blocks(self, level: u32) -> bool {
        level == 2 || level == 1 && self.page == 12
    }
}

impl<M: Machine> State<'_, M> {
    /// Adds what of the mapping is RAM. False if there is no room.
    fn add(&mut self, va: u64, ipa: u64, bytes: u64) -> bool {
        let (start, size) = self.machine.ram();
        let first = ipa.max(start);
        let end = (ipa + bytes).min(start + size);
        if first >= end {
            return true;
        }
        let range = Range {
            va: (self.top | va) + (first - ipa),
            ipa: first,
            bytes: end - first,
        };
        let is_full = self.found.len() == self.max;
        match self.found.last_mut() {
            Some(last)
                if last.last().checked_add(1) == Some(range.va)
                    && last.ipa + last.bytes == range.ipa =>
            {
                last.bytes += range.bytes;
            }
            _ if is_full => return false,
            _ => self.found.push(range),
        }
        true
    }
}

/// Whether all of it is RAM.
pub(crate) fn is_in_ram(machine: &impl Machine, at: u64, bytes: u64) -> bool {
    let (start, size) = machine.ram();
    at.checked_sub(start)
        .and_then(|offset| offset.checked_add(bytes))
        .is_some_and(|end| end <= size)
}
