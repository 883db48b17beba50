//! SErrors are found where they belong.

use super::*;
use crate::arch::entry::fixup;
use crate::fake::worst::errors::Source;
use std::panic::{AssertUnwindSafe, catch_unwind};

const SOURCES: [Source; 2] = [Source::Access, Source::Other];
/// A word that is there, and one that is not.
const RAM: u64 = 0x5000_0000;
const NOBODY: u64 = 0x900_0000;

#[test]
fn what_a_vcpu_caused_is_found_before_the_next_one_comes() {
    for ras in [true, false] {
        for worst in boards() {
            worst.set_ras(ras);
            let _on = worst.on(0);
            isa::mask_serrors();
            isa::isb();
            // Without FEAT_RAS there are no others.
            for source in &SOURCES[..1 + usize::from(ras)] {
                worst.leave_error(0, *source);
                assert!(fixup::synchronize_errors_of(ras).is_some());
                assert_eq!(fixup::synchronize_errors_of(ras), None);
                assert_eq!((worst.errors_left(0), worst.own_errors(0)), (0, 0));
            }
        }
    }
}

#[test]
fn what_el2_caused_is_its_own() {
    for ras in [true, false] {
        for worst in boards() {
            worst.set_ras(ras);
            let _on = worst.on(0);
            for (n, source) in SOURCES[..1 + usize::from(ras)].iter().enumerate() {
                fixup::unmask_errors();
                worst.leave_error(0, *source);
                fixup::mask_errors();
                assert_eq!((worst.errors_left(0), worst.own_errors(0)), (0, n + 1));
            }
        }
    }
}

#[test]
fn nobody_answers_or_somebody_does() {
    for worst in boards() {
        worst.silence(NOBODY);
        let _on = worst.on(0);
        // SAFETY: the board's memory.
        unsafe { isa::store(Pa(RAM), &7_u32.to_ne_bytes()) };
        for masked in [false, true] {
            if masked {
                isa::mask_serrors();
            }
            assert_eq!(fixup::probe(NOBODY), None);
            assert_eq!(fixup::probe(RAM), Some(7));
            assert_eq!((worst.errors_left(0), worst.own_errors(0)), (0, 0));
        }
    }
}

#[test]
fn an_error_from_before_a_probe_is_not_the_probes() {
    for worst in boards() {
        let _on = worst.on(0);
        // SAFETY: the board's memory.
        unsafe { isa::store(Pa(RAM), &7_u32.to_ne_bytes()) };
        isa::mask_serrors();
        worst.leave_error(0, Source::Access);
        assert_eq!(fixup::probe(RAM), Some(7));
        fixup::unmask_errors();
        worst.leave_error(0, Source::Access);
        let ends = catch_unwind(AssertUnwindSafe(|| fixup::probe(RAM)));
        assert!(ends.is_err(), "EL2's own error, which ends the run");
    }
}
