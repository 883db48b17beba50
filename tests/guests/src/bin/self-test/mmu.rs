//! Page tables: memory where it is, devices where they are, and a few pages once more at other addresses.
//!
//! | addresses | what |
//! | --- | --- |
//! | 0 - 17 GiB | the same, memory for EL1 only |
//! | [`ALIASES`] and on | pages put there by [`map`] |

use core::arch::asm;

use avisor_guest::Shared;
use avisor_guest::mmu::{
    ACCESSED, EL0, INNER_SHAREABLE, PAGE, PXN, READ_ONLY, TABLE, Table, UXN, enable_with,
};
pub use avisor_guest::mmu::{disable, is_on};

use avisor_guest::check::Outcome;

/// Where [`map`] puts pages: behind all that RAM can be.
pub const ALIASES: usize = ALIASES_GIB << 30;
const ALIASES_GIB: usize = 17;

static LEVEL1: Shared<Table> = Shared::new(Table::EMPTY);
static LEVEL2: Shared<Table> = Shared::new(Table::EMPTY);
static LEVEL3: Shared<Table> = Shared::new(Table::EMPTY);

/// Builds the tables anew, without aliases, and switches the MMU on.
pub fn enable() {
    let mut level1 = Table::IDENTITY;
    level1.0[ALIASES_GIB] = LEVEL2.address() as u64 | TABLE;
    let mut level2 = Table::EMPTY;
    level2.0[0] = LEVEL3.address() as u64 | TABLE;
    LEVEL3.set(Table::EMPTY);
    LEVEL2.set(level2);
    LEVEL1.set(level1);
    // SAFETY: memory and devices are where they are.
    unsafe { enable_with(LEVEL1.address()) }
}

/// Runs a test with the MMU on.
pub fn on(test: fn() -> Outcome) -> Outcome {
    enable();
    let outcome = test();
    disable();
    outcome
}

/// Who may do what with an alias.
pub enum Access {
    /// EL1 reads and writes.
    Data,
    /// EL0 reads and writes, as may EL1.
    DataOfEl0,
    /// EL0 executes.
    CodeOfEl0,
}

/// Maps the page at `page` as number `index` of the aliases and returns where it is.
pub fn map(index: usize, page: usize, access: Access) -> usize {
    let rights = match access {
        Access::Data => UXN | PXN,
        Access::DataOfEl0 => EL0 | UXN | PXN,
        Access::CodeOfEl0 => EL0 | READ_ONLY | PXN,
    };
    let mut level3 = LEVEL3.get();
    level3.0[index] = page as u64 | PAGE | ACCESSED | INNER_SHAREABLE | rights;
    LEVEL3.set(level3);
    // SAFETY: the entry was invalid or of an earlier test, whose translations must go.
    unsafe {
        asm!(
            "dsb ishst",
            "tlbi vmalle1",
            "dsb ish",
            "isb",
            options(nostack)
        )
    }
    ALIASES + index * 4096
}
