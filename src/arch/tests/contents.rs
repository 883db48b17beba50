//! What is in memory, for guests that go around the caches, and for EL2, which goes through them.

use super::*;
use crate::addr::PAGE_SIZE;
use crate::arch::memory::page;
use crate::arch::vcpu::{SystemState, walks};

const FRAMES: u64 = 0x5000_0000;
const NEXT: u64 = PAGE + PAGE_SIZE;

/// A guest with its MMU and caches off, which stored to its first two pages.
fn each(test: impl Fn(&Worst)) {
    for worst in boards() {
        let _on = worst.on(0);
        let stage2 = Stage2::new(FRAMES);
        walks::load_stage2_context(stage2.root(), 1, 0, false);
        SystemState::reset().load();
        for at in [PAGE, NEXT] {
            worst.store(0, at, at, By::Around).unwrap();
        }
        worst.time_passes();
        test(&worst);
    }
}

#[test]
fn el2_reads_what_the_guest_stored() {
    each(|_| {
        // SAFETY: the board's memory.
        assert_eq!(unsafe { page::read_word(Pa(FRAMES)) }, PAGE as u32);
    });
}

#[test]
fn the_guest_reads_what_el2_wrote() {
    each(|worst| {
        // SAFETY: the board's memory.
        unsafe { page::write(Pa(FRAMES + 64), &77_u64.to_ne_bytes()) };
        assert_eq!(worst.load(0, PAGE + 64, By::Around), Ok(77));
    });
}

/// Of a line that EL2 writes a part of, the rest is what the guest stored there.
#[test]
fn what_el2_writes_beside_guests_leaves_the_rest_of_the_line() {
    each(|worst| {
        worst.store(0, PAGE + 8, 5, By::Around).unwrap();
        // SAFETY: the board's memory.
        unsafe { page::write_beside_guests(Pa(FRAMES + 16), &77_u64.to_ne_bytes()) };
        let words = [0, 8, 16].map(|at| worst.load(0, PAGE + at, By::Around));
        assert_eq!(words, [Ok(PAGE), Ok(5), Ok(77)]);
        let mut bytes = [0; 13];
        // SAFETY: as above.
        unsafe { page::read(Pa(FRAMES + 11), &mut bytes) };
        assert_eq!(bytes, [0, 0, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0]);
        // SAFETY: as above.
        unsafe { page::copy_beside_guests(Pa(FRAMES + 8), Pa(FRAMES + PAGE_SIZE + 32), 16) };
        let words = [0, 32, 40].map(|at| worst.load(0, NEXT + at, By::Around));
        assert_eq!(words, [Ok(NEXT), Ok(5), Ok(77)]);
    });
}

#[test]
fn a_copy_is_what_the_guest_stored() {
    each(|worst| {
        // SAFETY: the board's memory.
        unsafe { page::copy_page(Pa(FRAMES), Pa(FRAMES + PAGE_SIZE)) };
        assert_eq!(worst.load(0, NEXT, By::Around), Ok(PAGE));
        assert_eq!(worst.load(0, NEXT, By::Cache), Ok(PAGE));
    });
}

#[test]
fn zeros_are_zeros_for_all() {
    each(|worst| {
        // SAFETY: the board's memory.
        unsafe { page::zero(Pa(FRAMES), PAGE_SIZE) };
        assert_eq!(worst.load(0, PAGE, By::Around), Ok(0));
        assert_eq!(worst.load(0, PAGE, By::Cache), Ok(0));
    });
}

/// On a CPU with lines or DC ZVA blocks of another size.
#[test]
fn words_do_as_well_as_lines() {
    each(|worst| {
        // SAFETY: the board's memory.
        unsafe { page::copy_words(Pa(FRAMES), Pa(FRAMES + PAGE_SIZE)) };
        assert_eq!(worst.load(0, NEXT, By::Around), Ok(PAGE));
        worst.store(0, PAGE, 5, By::Around).unwrap();
        // SAFETY: as above.
        unsafe { page::zero_words(FRAMES..FRAMES + PAGE_SIZE) };
        assert_eq!(worst.load(0, PAGE, By::Around), Ok(0));
    });
}

/// Of a page, by address; of more, all. The other core is the one that fetches.
#[test]
fn instructions_are_those_that_were_written() {
    for worst in boards() {
        let on = worst.on(0);
        let stage2 = Stage2::new(FRAMES);
        drop(on);
        for core in 0..CORES {
            let _on = worst.on(core);
            walks::load_stage2_context(stage2.root(), 1, core as u32, false);
            SystemState::reset().load();
            let _ = worst.fetch(core, PAGE, By::Cache);
        }
        let _on = worst.on(0);
        for (value, bytes) in [(77_u64, PAGE_SIZE), (78, 2 * PAGE_SIZE)] {
            // SAFETY: the board's memory.
            unsafe { page::write(Pa(FRAMES), &value.to_ne_bytes()) };
            page::invalidate_instructions(FRAMES..FRAMES + bytes);
            for core in 0..CORES {
                assert_eq!(worst.fetch(core, PAGE, By::Cache), Ok(value));
            }
        }
    }
}
