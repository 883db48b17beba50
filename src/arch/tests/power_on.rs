//! From power-on to a guest: nothing of an earlier life of the board is seen.

use super::*;
use crate::arch::memory::el2_tables::{Attributes, Tables};
use crate::arch::memory::page;
use crate::arch::vcpu::{SystemState, control, walks};
use crate::fake::assembly::Registers;
use crate::fake::assembly::functions::boot;
use std::vec::Vec;

/// EL2's code, its bss, and the guest's frames.
const TEXT: u64 = 0x4800_0000;
const BSS: u64 = TEXT + 0x1000;
const BSS_END: u64 = BSS + 0x1000;
const FRAMES: u64 = 0x5000_0000;

/// Some words of bss.
fn words() -> impl Iterator<Item = u64> {
    (BSS..BSS_END).step_by(328)
}

fn invalidate(range: core::ops::Range<u64>) {
    let mut registers = Registers::new(&[range.start, range.end]);
    boot("invalidate_x0_to_x1", &mut registers);
}

fn boot_stub(tables: &Tables) {
    let mut registers = Registers::new(&[]);
    registers.set_x(4, tables.root());
    boot("switch_translation_on", &mut registers);
}

/// What the boot core does with its MMU off.
fn boot_core(worst: &Worst, tables: &mut Tables) {
    invalidate(BSS..BSS_END);
    words().for_each(|at| worst.el2_store(0, at, 0));
    boot("set_up_el2", &mut Registers::new(&[]));
    // `mend_cpu` may take an exception at once, which VBAR_EL2 is for.
    assert!(worst.unsynchronized(0).is_empty());
    tables.map(TEXT..BSS, Attributes::TEXT).unwrap();
    tables.map(BSS..BSS_END, Attributes::READ_WRITE).unwrap();
    let frames = FRAMES..FRAMES + (2 << 20);
    tables.map(frames, Attributes::READ_WRITE).unwrap();
    // The last of them may be on their way still.
    words().for_each(|at| worst.el2_store(0, at, at));
    invalidate(TEXT..BSS_END);
    boot_stub(tables);
}

/// Both cores with all that firmware may have left in them. What was loaded from a file is clean, as the boot protocol promises.
fn switched_on(worst: &Worst) {
    for core in 0..CORES {
        worst.power_on(core, PAGE, BSS);
        worst.plant_instructions(core, TEXT);
    }
    worst.scribble(BSS / 4096);
}

#[test]
fn el2_reads_what_it_stored_with_its_mmu_off() {
    for worst in boards() {
        switched_on(&worst);
        let _on = worst.on(0);
        let mut tables = Box::new(Tables::empty());
        boot_core(&worst, &mut tables);
        // At once, and a moment later.
        let first: Vec<u64> = words().step_by(2).collect();
        first.iter().for_each(|at| worst.el2_store(0, *at, at + 1));
        worst.time_passes();
        isa::isb();
        for at in words() {
            let expected = at + u64::from(first.contains(&at));
            assert_eq!(worst.el2_load(0, at), expected);
        }
    }
}

#[test]
fn el2_reads_what_it_relocated_with_its_mmu_off() {
    const RELOCATIONS: u64 = BSS_END;
    // Neighbours, the first and the last that a bit is for, and some that are far apart.
    let far = [0, 1, 2, 63, 64, 65, 127, 128, 300, 509];
    let words: Vec<u64> = far.iter().map(|word| BSS + word * 8).collect();
    for worst in boards() {
        // What was loaded from a file is clean.
        worst.power_on(0, PAGE, BSS);
        let _on = worst.on(0);
        let mut tables = Box::new(Tables::empty());
        tables.map(BSS..BSS_END, Attributes::READ).unwrap();
        let entries = relocations(&words);
        let mut end = RELOCATIONS;
        for entry in &entries {
            worst.el2_store(0, end, *entry);
            end += 8;
        }
        for at in BSS / 8..BSS_END / 8 {
            worst.el2_store(0, at * 8, at * 8 - BSS);
        }
        boot("relocate", &mut Registers::new(&[TEXT, RELOCATIONS, end]));
        for at in (BSS..BSS_END).step_by(8) {
            let base = if words.contains(&at) { TEXT } else { 0 };
            assert_eq!(worst.el2_load(0, at), at - BSS + base, "{at:x}");
        }
        boot(
            "invalidate_relocated",
            &mut Registers::new(&[TEXT, RELOCATIONS, end]),
        );
        boot_stub(&tables);
        for at in &words {
            assert_eq!(worst.el2_load(0, *at), at - BSS + TEXT);
        }
    }
}

/// RELR of these words, which are in order: the linker's way to write it down.
fn relocations(words: &[u64]) -> Vec<u64> {
    let mut left = words.iter().map(|at| at - TEXT).peekable();
    let mut entries = Vec::new();
    while let Some(first) = left.next() {
        entries.push(first);
        let mut begin = first + 8;
        loop {
            let mut bits = 0;
            while let Some(at) = left.next_if(|at| *at < begin + 63 * 8) {
                bits |= 2 << ((at - begin) / 8);
            }
            if bits == 0 {
                break;
            }
            entries.push(bits | 1);
            begin += 63 * 8;
        }
    }
    entries
}

/// The line that is dropped comes back, if it may, while the store is on its way.
#[test]
fn a_line_is_dropped_behind_what_was_stored_around_it() {
    for worst in boards() {
        worst.power_on(0, PAGE, BSS);
        let _on = worst.on(0);
        let mut tables = Box::new(Tables::empty());
        tables.map(BSS..BSS_END, Attributes::READ_WRITE).unwrap();
        worst.el2_store(0, BSS, 77);
        invalidate(BSS..BSS + 64);
        boot_stub(&tables);
        assert_eq!(worst.el2_load(0, BSS), 77);
    }
}

#[test]
fn el2_executes_what_was_loaded() {
    for worst in boards() {
        switched_on(&worst);
        let _on = worst.on(0);
        let mut tables = Box::new(Tables::empty());
        worst.el2_store(0, TEXT, 77);
        boot_core(&worst, &mut tables);
        assert_eq!(worst.el2_fetch(0, TEXT), 77);
    }
}

/// Puts a word into each of the guest's pages.
fn fill(frames: u64) {
    for n in 0..8 {
        let at = frames + n * 4096;
        // SAFETY: the board's memory.
        unsafe { page::write(Pa(at), &at.to_ne_bytes()) };
    }
}

#[test]
fn a_guest_sees_its_own_memory_only() {
    for worst in boards() {
        switched_on(&worst);
        let mut tables = Box::new(Tables::empty());
        for core in 0..CORES {
            let _on = worst.on(core);
            match core {
                0 => boot_core(&worst, &mut tables),
                _ => {
                    boot("set_up_el2", &mut Registers::new(&[]));
                    boot_stub(&tables);
                }
            }
            control::set_up();
        }
        let on = worst.on(0);
        let stage2 = Stage2::new(FRAMES);
        fill(FRAMES);
        drop(on);
        for core in 0..CORES {
            let _on = worst.on(core);
            walks::load_stage2_context(stage2.root(), 1, core as u32, false);
            SystemState::reset().load();
            for n in 0..8 {
                loads(&worst, core, PAGE + n * 4096, FRAMES + n * 4096);
            }
        }
    }
}

/// The registers that a guest's access depends on are UNKNOWN, and in use by speculation, until they are set.
#[test]
fn what_a_core_is_set_up_with_is_in_effect_whatever_firmware_left() {
    use crate::fake::worst::errors::Source;
    for (i, worst) in boards().enumerate() {
        worst.power_on(0, PAGE, BSS);
        let _on = worst.on(0);
        isa::mask_serrors();
        if i % 2 == 0 {
            worst.leave_error(0, Source::Access);
        }
        worst.translate_el2(&[("sctlr_el2", 0)]);
        control::set_up();
        // The GIC is set up next, by stores, which nothing orders behind the writes of registers: no timer is on.
        assert!(worst.unsynchronized(0).is_empty());
        assert_eq!((worst.errors_left(0), worst.own_errors(0)), (0, 0));
    }
}
