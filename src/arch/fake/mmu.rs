//! Stage 2 as a CPU walks it: the tables in memory, bit by bit as the Arm ARM has them (DDI 0487, D8.3), independent of what
//! [`stage2`](crate::stage2) makes of them; and a TLB that keeps every translation until it is told to forget it.

use crate::addr::{BLOCK_SIZE, Ipa, PAGE_SIZE, Pa};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the guest does.
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
}

/// The last descriptor of a walk and its level.
#[derive(Clone, Copy)]
struct Leaf {
    descriptor: u64,
    level: u8,
}

/// A CPU's way to memory, with stage 1 off.
pub struct Mmu {
    root: Pa,
    /// By IPA of the page: what was cached of stage 2, and of both stages combined.
    stage2: HashMap<u64, Leaf>,
    combined: HashMap<u64, Leaf>,
}

/// The entry at `index` of the table at `table`, as a table walk reads it.
fn entry(table: Pa, index: u64) -> u64 {
    let entry = (table.0 + index % 512 * 8) as *const AtomicU64;
    // SAFETY: `table` is the root that a test's VM activated, or came out of a valid entry below it. Its tables are atomics on the heap
    // that live as long as the VM, which owns this core; `index` is less than 512.
    unsafe { &*entry }.load(Ordering::Acquire)
}

/// Walks the tables below `root`; the entry in which the walk of `ipa` ends, valid or not, and its level.
fn walk(root: Pa, ipa: Ipa) -> Leaf {
    let mut table = root;
    for level in 1..=3 {
        let descriptor = entry(table, ipa.0 >> (39 - 9 * level));
        // Bit 0: valid; bit 1: a table, but at level 3, where 0 is reserved.
        let is_table = descriptor & 3 == 3 && level < 3;
        if !is_table {
            assert!(descriptor & 3 != 1 || level == 2, "{descriptor:#x}");
            let level = level as u8;
            return Leaf { descriptor, level };
        }
        table = Pa(descriptor & 0x0000_ffff_ffff_f000);
    }
    unreachable!()
}

/// The entry that translates `ipa` below `root`.
pub fn leaf_entry(root: Pa, ipa: Ipa) -> u64 {
    walk(root, ipa).descriptor
}

impl Leaf {
    fn check(self, access: Access) -> Result<(), Fault> {
        const ALLOWED: [(Access, u64); 2] = [(Access::Load, 1 << 6), (Access::Store, 1 << 7)];
        // XN, bits 54:53: 0b10 is "neither EL1 nor EL0", with FEAT_XNX and without.
        let execute_never = self.descriptor >> 53 & 3;
        assert!(matches!(execute_never, 0 | 2), "{:#x}", self.descriptor);
        let permitted = match ALLOWED.iter().find(|(known, _)| *known == access) {
            Some((_, bit)) => self.descriptor & bit != 0,
            None => execute_never == 0 && self.descriptor & 1 << 6 != 0,
        };
        let refused = Fault {
            permission: true,
            level: self.level,
        };
        permitted.then_some(()).ok_or(refused)
    }

    /// RAM is Normal Write-Back memory, inner shareable, and never faults for its access flag.
    fn is_ram(self) -> bool {
        const RAM: u64 = 1 << 10 | 3 << 8 | 0xf << 2;
        self.descriptor & RAM == RAM
    }

    fn translate(self, ipa: Ipa) -> Pa {
        let size = if self.level == 2 {
            BLOCK_SIZE
        } else {
            PAGE_SIZE
        };
        Pa((self.descriptor & 0x0000_ffff_ffff_f000) + ipa.0 % size)
    }
}

impl Mmu {
    /// Nothing is mapped.
    pub(super) fn new() -> Self {
        Self {
            root: Pa(0),
            stage2: HashMap::new(),
            combined: HashMap::new(),
        }
    }

    /// Walks go through the level 1 table at `root` from here on.
    pub fn activate(&mut self, root: Pa) {
        self.root = root;
        self.forget_all();
    }

    /// The table that walks begin with.
    pub fn root(&self) -> Pa {
        self.root
    }

    /// Where the access goes. What it used is cached from then on.
    pub fn access(&mut self, ipa: Ipa, access: Access) -> Result<Pa, Fault> {
        if ipa.0 >> 39 != 0 {
            return Err(Fault {
                permission: false,
                level: 1,
            });
        }
        let page = ipa.0 / PAGE_SIZE;
        let cached = self.combined.get(&page).or(self.stage2.get(&page));
        let leaf = cached.copied().unwrap_or_else(|| walk(self.root, ipa));
        if leaf.descriptor & 1 == 0 {
            return Err(Fault {
                permission: false,
                level: leaf.level,
            });
        }
        assert!(leaf.is_ram(), "{:#x}", leaf.descriptor);
        self.stage2.insert(page, leaf);
        self.combined.insert(page, leaf);
        leaf.check(access)?;
        Ok(leaf.translate(ipa))
    }

    /// TLBI IPAS2E1.
    pub fn forget_stage2(&mut self, ipa: Ipa) {
        self.stage2.remove(&(ipa.0 / PAGE_SIZE));
    }

    /// TLBI VMALLE1.
    pub fn forget_combined(&mut self) {
        self.combined.clear();
    }

    /// TLBI VMALLS12E1.
    pub fn forget_all(&mut self) {
        self.stage2.clear();
        self.combined.clear();
    }
}
