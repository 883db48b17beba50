//! What a TLB holds: entries of stage 2, entries that combine both stages, and the way to a table; and what an entry permits.

use super::luck::Chance;
use rustc_hash::FxHashMap;
use std::vec::Vec;

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// The address in a descriptor (D8.3, "Translation table descriptor formats").
pub const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
/// Of entries that were made with stage 1 off, which no access with stage 1 on may use.
pub const NO_ASID: u32 = u32::MAX;

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads.
    Load,
    /// Writes.
    Store,
    /// Executes.
    Fetch,
}

/// Why stage 2 refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The mapping forbids it; otherwise there is none.
    pub permission: bool,
    /// The level at which the walk ended.
    pub level: u8,
    /// The page of the IPA.
    pub ipa: u64,
    /// It was stage 1's walk that was refused.
    pub walk: bool,
}

/// What a TLB remembers things by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// VTTBR_EL2.VMID.
    pub vmid: u32,
    /// Which kind.
    pub kind: Kind,
    /// log2 of the bytes, less 12, over 9: 0 for a page, 1 for a block.
    pub size: u8,
    /// The address, over the size.
    pub number: u64,
}

/// The kinds of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The way to a table of stage 2.
    Table,
    /// Stage 2 alone.
    Stage2,
    /// Both stages, with the ASID.
    Combined(u32),
}

/// A page's or block's descriptor of stage 2, or where a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Stage 2's descriptor.
    pub descriptor: u64,
    /// When the walk began that made it,
    pub began: u64,
    /// and how old what it used is: what the TLB had of stage 2 is older than the walk.
    pub born: u64,
}

/// How a walk ended.
#[derive(Clone, Copy, Debug)]
pub struct Leaf {
    /// The descriptor, valid or not,
    pub descriptor: u64,
    /// its level,
    pub level: u8,
    /// and how old it is.
    pub born: u64,
}

/// Bytes that a descriptor of `level` is for.
pub fn size_of_level(level: u8) -> u64 {
    PAGE << (9 * (3 - level))
}

/// The entries of a core's TLB.
#[derive(Default)]
pub struct Entries(FxHashMap<Key, Vec<Entry>>);

impl Entries {
    /// Keeps one more.
    pub fn keep(&mut self, key: Key, new: Entry) {
        if key.kind != Kind::Table {
            self.refuse_conflicts(key, new.descriptor);
        }
        let entries = self.0.entry(key).or_default();
        match entries
            .iter_mut()
            .find(|old| old.descriptor == new.descriptor)
        {
            Some(old) => {
                old.began = old.began.max(new.began);
                old.born = old.born.max(new.born);
            }
            None => entries.push(new),
        }
    }

    /// Another output address, or another size, for an address that has an entry.
    fn refuse_conflicts(&self, key: Key, descriptor: u64) {
        let address = key.number * (PAGE << (9 * key.size));
        for size in 0..2 {
            let other = Key {
                size,
                number: address / (PAGE << (9 * size)),
                ..key
            };
            for entry in self.0.get(&other).into_iter().flatten() {
                // A piece of a block beside the block: the same frames.
                let block = PAGE << (9 * size.max(key.size));
                let [one, two] =
                    [entry.descriptor, descriptor].map(|descriptor| (descriptor & ADDRESS) / block);
                // A block, whole or in pieces, and a page: they differ in size, if in nothing else.
                let sizes = (entry.descriptor ^ descriptor) & 2 != 0;
                let differ = sizes || one != two;
                assert!(
                    !differ,
                    "TLB conflict at {address:#x}, {:?}: {:#x} and {descriptor:#x}; break-before-make was owed",
                    key.kind, entry.descriptor
                );
            }
        }
    }

    /// One of those under `key`.
    pub fn any(&self, key: Key, chance: &mut Chance) -> Option<Entry> {
        let entries = self.0.get(&key)?;
        match entries.len() {
            0 => None,
            count => Some(entries[chance.pick(count)]),
        }
    }

    /// One of those for `address`, a page's or a block's.
    pub fn find(&self, vmid: u32, kind: Kind, address: u64, chance: &mut Chance) -> Option<Leaf> {
        (0..2).find_map(|size| {
            let number = address / (PAGE << (9 * size));
            let key = Key {
                vmid,
                kind,
                size,
                number,
            };
            let entry = self.any(key, chance)?;
            Some(Leaf {
                descriptor: entry.descriptor,
                level: 3 - size,
                born: entry.born,
            })
        })
    }

    /// Forgets those under `key` that `ends` says.
    pub fn forget(&mut self, key: Key, ends: impl Fn(&Entry) -> bool) {
        if let Some(entries) = self.0.get_mut(&key) {
            entries.retain(|entry| !ends(entry));
        }
    }

    /// Forgets all that `ends` says.
    pub fn forget_all(&mut self, ends: impl Fn(&Key, &Entry) -> bool) {
        self.0.retain(|key, entries| {
            entries.retain(|entry| !ends(key, entry));
            !entries.is_empty()
        });
    }

    /// Holds this alone under `key`.
    pub fn plant(&mut self, key: Key, entry: Entry) {
        self.0.insert(key, std::vec![entry]);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}

impl Leaf {
    /// The part of a block that holds `ipa`, at `level`, as a descriptor like the block's own.
    pub fn piece(self, ipa: u64, level: u8) -> u64 {
        let offset = ipa % size_of_level(self.level);
        self.descriptor + (offset & !(size_of_level(level) - 1))
    }

    /// Whether it is valid.
    pub fn check_valid(self, ipa: u64) -> Result<(), Fault> {
        let none = Fault {
            permission: false,
            level: self.level,
            ipa,
            walk: false,
        };
        (self.descriptor & 1 != 0).then_some(()).ok_or(none)
    }

    /// Whether it permits the access.
    pub fn check(self, access: Access, ipa: u64) -> Result<(), Fault> {
        self.check_valid(ipa)?;
        let [readable, writable] = [6, 7].map(|bit| self.descriptor >> bit & 1 != 0);
        // XN, bits 54:53: 0b10 is "neither EL1 nor EL0", with FEAT_XNX and without.
        let execute_never = self.descriptor >> 53 & 3;
        assert!(matches!(execute_never, 0 | 2), "{:#x}", self.descriptor);
        let permitted = match access {
            Access::Load => readable,
            Access::Store => writable,
            Access::Fetch => readable && execute_never == 0,
        };
        let refused = Fault {
            permission: true,
            level: self.level,
            ipa,
            walk: false,
        };
        permitted.then_some(()).ok_or(refused)
    }

    /// Where it leads.
    pub fn translate(self, ipa: u64) -> u64 {
        (self.descriptor & ADDRESS) + ipa % size_of_level(self.level)
    }
}
