//! The tables of EL2's own translation, as data: 39 bits, level 1 to 3, 4 KiB granule, identity. The registers that make
//! them act are [`mmu`](super::mmu)'s.

use core::ops::Range;

use super::table::{ENTRIES, Table};
use crate::arch::isa::TableEntry;

/// What three levels reach.
pub const ADDRESS_LIMIT: u64 = 1 << 39;

/// The descriptor bits of a kind of memory (D8.3, "Translation table descriptor formats").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes(u64);

impl Attributes {
    const ACCESS: u64 = 1 << 10;
    const INNER_SHAREABLE: u64 = 0b11 << 8;
    const READ_ONLY: u64 = 1 << 7;
    /// AP\[1\], RES1 in a regime with one privilege level.
    const AP1: u64 = 1 << 6;
    const DEVICE_INDEX: u64 = 1 << 2;
    const EXECUTE_NEVER: u64 = 1 << 54;
    const NORMAL: u64 = Self::ACCESS | Self::AP1 | Self::INNER_SHAREABLE;

    /// The hypervisor's code.
    pub const TEXT: Self = Self(Self::NORMAL | Self::READ_ONLY);
    /// Constants, the device tree.
    pub const READ: Self = Self(Self::NORMAL | Self::READ_ONLY | Self::EXECUTE_NEVER);
    /// Data and RAM.
    pub const READ_WRITE: Self = Self(Self::NORMAL | Self::EXECUTE_NEVER);
    /// Device registers.
    pub const DEVICE: Self =
        Self(Self::ACCESS | Self::AP1 | Self::DEVICE_INDEX | Self::EXECUTE_NEVER);
}

const VALID: u64 = 1;
const TABLE_OR_PAGE: u64 = 1 << 1;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
/// More than any known board needs: a root, a few regions that begin or end inside a 2 MiB block.
const TABLES: usize = 24;

/// A root and a pool of tables that only grows.
pub struct Tables {
    pool: [Table; TABLES],
    /// Tables in use below the root. A count that starts at 0 keeps the whole pool in bss, out of the image file.
    below: usize,
}

/// Why a range cannot be mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapError {
    /// The static pool has no table left.
    NoTable,
    /// Something is mapped there, or beyond [`ADDRESS_LIMIT`].
    NotFree,
}

impl Tables {
    /// Nothing is mapped.
    pub const fn empty() -> Self {
        Self {
            pool: [const { Table::empty() }; TABLES],
            below: 0,
        }
    }

    /// The level 1 table.
    pub fn root(&self) -> u64 {
        self.pool[0].at().0
    }

    /// What is mapped at `address`, which is its own output address.
    pub fn at(&self, address: u64) -> Option<Attributes> {
        let mut table = &self.pool[0];
        for level in 1..=3 {
            let entry = table.0[Self::index(address, level)].get();
            match (level, entry & (VALID | TABLE_OR_PAGE)) {
                (1 | 2, 0b11) => table = &self.pool[self.place(entry)],
                (1 | 2, 0b01) | (3, 0b11) => {
                    return Some(Attributes(entry & !(ADDRESS | VALID | TABLE_OR_PAGE)));
                }
                _ => return None,
            }
        }
        None
    }

    /// Where in the pool the table lies that `entry` leads to.
    fn place(&self, entry: u64) -> usize {
        ((entry & ADDRESS) - self.root()) as usize / size_of::<Table>()
    }

    /// The entry for `address` at `level`, with the tables on the way made.
    fn entry(&mut self, address: u64, level: u32) -> Result<&TableEntry, MapError> {
        let mut table = 0;
        for above in 1..level {
            let index = Self::index(address, above);
            let entry = self.pool[table].0[index].get();
            table = match entry & (VALID | TABLE_OR_PAGE) {
                0 => {
                    let new = 1 + self.below;
                    let next = self.pool.get(new).ok_or(MapError::NoTable)?;
                    let next = next.at().0;
                    self.below += 1;
                    self.pool[table].0[index].set(next | VALID | TABLE_OR_PAGE);
                    new
                }
                VALID => return Err(MapError::NotFree),
                _ => self.place(entry),
            };
        }
        Ok(&self.pool[table].0[Self::index(address, level)])
    }

    fn index(address: u64, level: u32) -> usize {
        (address >> Self::shift(level)) as usize % ENTRIES
    }

    /// log2 of the bytes that an entry of `level` maps.
    fn shift(level: u32) -> u32 {
        39 - 9 * level
    }

    /// Maps `range`, whole pages of which none is mapped, in the largest blocks that fit. On failure part of it is mapped.
    pub fn map(&mut self, range: Range<u64>, attributes: Attributes) -> Result<(), MapError> {
        if range.end > ADDRESS_LIMIT {
            return Err(MapError::NotFree);
        }
        let mut address = range.start;
        while address < range.end {
            let fits = |level: &u32| {
                let size = 1 << Self::shift(*level);
                address.is_multiple_of(size) && range.end - address >= size
            };
            let level = (1..3).find(fits).unwrap_or(3);
            let kind = if level == 3 {
                VALID | TABLE_OR_PAGE
            } else {
                VALID
            };
            let entry = self.entry(address, level)?;
            if entry.get() != 0 {
                return Err(MapError::NotFree);
            }
            entry.set(address | attributes.0 | kind);
            address += 1 << Self::shift(level);
        }
        Ok(())
    }

    /// Takes the page at `address`, mapped on its own, out again. A TLBI must follow.
    pub fn unmap_page(&mut self, address: u64) {
        if let Ok(entry) = self.entry(address, 3) {
            entry.set(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn tables() -> Box<Tables> {
        Box::new(Tables::empty())
    }

    #[test]
    fn a_range_is_mapped_to_the_byte_and_no_further() {
        let mut tables = tables();
        let range = GIB + 2 * MIB - 8 * KIB..5 * GIB + 4 * MIB + 4 * KIB;
        tables.map(range.clone(), Attributes::READ_WRITE).unwrap();
        for inside in [
            range.start,
            GIB + 2 * MIB,
            2 * GIB - 1,
            2 * GIB,
            4 * GIB + 123,
            range.end - 1,
        ] {
            assert_eq!(
                tables.at(inside),
                Some(Attributes::READ_WRITE),
                "{inside:#x}"
            );
        }
        for outside in [0, range.start - 1, range.end, 6 * GIB] {
            assert_eq!(tables.at(outside), None, "{outside:#x}");
        }
        assert_eq!(
            tables.below, 4,
            "blocks where they fit: two level 2 and two level 3 tables besides the root"
        );
    }

    #[test]
    fn what_is_mapped_stays_as_it_is() {
        let mut tables = tables();
        tables.map(2 * MIB..4 * MIB, Attributes::TEXT).unwrap();
        for range in [3 * MIB..3 * MIB + 4 * KIB, 0..GIB, 0..4 * MIB] {
            assert_eq!(
                tables.map(range, Attributes::READ_WRITE),
                Err(MapError::NotFree)
            );
        }
        assert_eq!(tables.at(3 * MIB), Some(Attributes::TEXT));
    }

    #[test]
    fn the_limits_are_errors() {
        let mut tables = tables();
        let last = ADDRESS_LIMIT - 4 * KIB..ADDRESS_LIMIT + 4 * KIB;
        assert_eq!(tables.map(last, Attributes::READ), Err(MapError::NotFree));
        let mut pages =
            (0..64).map(|gib| tables.map(gib * GIB..gib * GIB + 4 * KIB, Attributes::READ));
        assert!(pages.any(|result| result == Err(MapError::NoTable)));
    }

    #[test]
    fn a_page_goes_alone() {
        let mut tables = tables();
        tables.map(0..8 * KIB, Attributes::READ_WRITE).unwrap();
        tables.unmap_page(0);
        assert_eq!(
            (tables.at(0), tables.at(4 * KIB)),
            (None, Some(Attributes::READ_WRITE))
        );
        tables.map(0..4 * KIB, Attributes::DEVICE).unwrap();
    }

    /// D8.4, "Memory access control": bit 54 execute-never, bit 7 read-only. Nothing is both writable and executable.
    #[test]
    fn writable_is_never_executable() {
        for attributes in [
            Attributes::TEXT,
            Attributes::READ,
            Attributes::READ_WRITE,
            Attributes::DEVICE,
        ] {
            let writable = attributes.0 & Attributes::READ_ONLY == 0;
            let executable = attributes.0 & Attributes::EXECUTE_NEVER == 0;
            assert!(!(writable && executable), "{attributes:?}");
        }
    }
}
