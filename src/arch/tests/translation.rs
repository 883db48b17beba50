//! Address translation for EL2, and what a guest's mistakes do to it.

use super::*;
use crate::addr::{Ipa, Va};
use crate::arch::entry::fixup;
use crate::arch::memory::page;
use crate::arch::vcpu::walks;
use crate::arch::vcpu::{Stage1Access, Stage1Mapping};

const FRAMES: u64 = 0x5000_0000;
const GUESTS_PAR: u64 = 0x1234_5001;
/// What the guest's tables have for address 0x3008.
const HIT: Stage1Mapping = Stage1Mapping {
    ipa: Ipa(PAGE + 0x2008),
    write_back: true,
};

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
            assert_eq!(translated, Some(HIT));
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
            assert_eq!(translated, Some(HIT));
        }
    });
}

/// The encoding of MAIR_EL1: the outer half above, the inner half below.
#[test]
fn only_write_back_inner_and_outer_is_write_back() {
    // 0b01RW with RW not 0, transient; 0b11RW, non-transient.
    let write_back = [0x5, 0x6, 0x7, 0xc, 0xd, 0xe, 0xf];
    for attributes in 0..=0xff_u64 {
        let [outer, inner] = [attributes >> 4, attributes & 0xf];
        let mapping = Stage1Mapping::from_par(attributes << 56 | 0x1234_5b80, 0x678);
        let expected = Stage1Mapping {
            ipa: Ipa(0x1234_5678),
            write_back: write_back.contains(&outer) && write_back.contains(&inner),
        };
        assert_eq!(mapping, Some(expected), "{attributes:#x}");
    }
    assert_eq!(Stage1Mapping::from_par(0xff << 56 | 1, 0), None);
}
