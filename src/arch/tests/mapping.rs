//! EL2's own tables, changed while they are used.

use super::*;
use crate::addr::PAGE_SIZE;
use crate::arch::memory::mmu::{self, Attributes};
use std::sync::{Mutex, PoisonError};

/// The tables are those of all tests.
static TABLES: Mutex<()> = Mutex::new(());

const HERE: u64 = 0x12_3456_7000;

/// Boards that translate by the tables already.
fn each(test: impl Fn(&Worst)) {
    let _only = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
    for worst in boards() {
        worst.translate_el2(&[
            ("sctlr_el2", mmu::SCTLR),
            ("tcr_el2", mmu::TCR),
            ("mair_el2", mmu::MAIR),
            ("ttbr0_el2", mmu::EL2_TABLES.lock().root()),
        ]);
        let _on = worst.on(0);
        test(&worst);
    }
}

#[test]
fn a_page_is_there_while_it_is_mapped_and_gone_afterwards() {
    each(|worst| {
        for value in 0..3 {
            mmu::with_page(HERE + 8, || {
                worst.el2_store(0, HERE + 8, value);
                // Another core walks for it, if only by speculation.
                assert_eq!(worst.el2_load(1, HERE + 8), value);
                worst.time_passes();
            })
            .unwrap();
            assert!((0..CORES).all(|core| !worst.el2_holds(core, HERE)));
        }
    });
}

#[test]
fn a_page_may_be_mapped_again_as_something_else() {
    each(|worst| {
        mmu::with_page(HERE, || worst.el2_store(0, HERE, 1)).unwrap();
        mmu::map_device(HERE..HERE + 4).unwrap();
        worst.el2_store(0, HERE, 2);
        worst.time_passes();
        // It stays mapped: for the next board it must not be.
        mmu::EL2_TABLES.lock().unmap_page(HERE);
        isa::dsb_ishst();
        isa::tlbi_vae2is(HERE);
        isa::dsb_ish();
        isa::isb();
    });
}

#[test]
fn an_access_behind_map_does_not_fault() {
    each(|worst| {
        mmu::map(HERE..HERE + PAGE_SIZE, Attributes::READ_WRITE).unwrap();
        worst.el2_store(0, HERE, 1);
        mmu::EL2_TABLES.lock().unmap_page(HERE);
        isa::dsb_ishst();
        isa::tlbi_vae2is(HERE);
        isa::dsb_ish();
        isa::isb();
    });
}
