//! Address translation for EL2, and what a guest's mistakes do to it.

use super::*;
use crate::addr::{Ipa, Va};
use crate::arch::entry::fixup;
use crate::arch::memory::page;
use crate::arch::vcpu::Stage1Access;
use crate::arch::vcpu::walks;

const FRAMES: u64 = 0x5000_0000;
const GUESTS_PAR: u64 = 0x1234_5001;

/// A guest with stage 1: its table in the first of its pages maps address 0x3000 to the third.
fn each(test: impl Fn(&Worst)) {
    for worst in boards() {
        let _on = worst.on(0);
        let stage2 = Stage2::new(FRAMES);
        let entry = (PAGE + 0x2000) | 1;
        // SAFETY: the board's memory.
        unsafe { page::write(Pa(FRAMES + 3 * 8), &entry.to_ne_bytes()) };
        // SAFETY: as above.
        unsafe { page::write(Pa(FRAMES + 0x2008), &77_u64.to_ne_bytes()) };
        walks::load_stage2_context(stage2.root(), 1, 0, false);
        for (name, value) in [
            ("tcr_el1", 0),
            ("ttbr0_el1", PAGE),
            ("par_el1", GUESTS_PAR),
            ("sctlr_el1", 1),
        ] {
            worst.guest_writes(0, name, value);
        }
        loads(&worst, 0, 0x3008, 77);
        test(&worst);
    }
}

const ACCESSES: [Stage1Access; 4] = [
    Stage1Access::El1Read,
    Stage1Access::El1Write,
    Stage1Access::El0Read,
    Stage1Access::El0Write,
];

#[test]
fn an_address_is_translated_by_stage_1_alone() {
    each(|worst| {
        for access in ACCESSES {
            let translated = fixup::translate(Va(0x3008), access);
            assert_eq!(translated, Some(Ipa(PAGE + 0x2008)));
            assert_eq!(fixup::translate(Va(0x4008), access), None);
        }
        assert_eq!(isa::read("par_el1"), GUESTS_PAR);
        loads(worst, 0, 0x3008, 77);
    });
}

#[test]
fn what_aborts_a_translation_does_not_abort_the_guest() {
    each(|worst| {
        for access in ACCESSES {
            worst.guest_makes_conflict(0);
            assert_eq!(fixup::translate(Va(0x3008), access), None);
            assert!(!worst.guest_conflicts(0));
            let translated = fixup::translate(Va(0x3008), access);
            assert_eq!(translated, Some(Ipa(PAGE + 0x2008)));
        }
    });
}
