//! vCPUs of two VMs take turns on a core: each is translated by its own registers and tables only.

use super::*;
use crate::addr::{Ipa, Va};
use crate::arch::entry::fixup;
use crate::arch::memory::{page, tlb};
use crate::arch::vcpu::{Stage1Access, SystemState, walks};

/// Each VM's frames, and the page that its stage 1 has at address 0x3000.
const VMS: [(u64, u64); 2] = [(0x5000_0000, 0x2000), (0x5020_0000, 0x1000)];

/// A VM with its stage 1 in the first of its pages.
fn vm(number: usize) -> (Stage2, SystemState) {
    let (frames, mapped) = VMS[number];
    let entry = (PAGE + mapped) | 1;
    // SAFETY: the board's memory.
    unsafe { page::write(Pa(frames + 3 * 8), &entry.to_ne_bytes()) };
    // SAFETY: as above.
    unsafe { page::write(Pa(frames + mapped), &frames.to_ne_bytes()) };
    let mut state = SystemState::reset();
    state.sctlr |= 5;
    // Write-Back walks.
    state.tcr |= 1 << 10 | 1 << 8;
    state.el1.ttbr0 = PAGE;
    (Stage2::new(frames), state)
}

fn enter(vms: &[(Stage2, SystemState)], number: usize, is_another: bool) {
    let (stage2, state) = &vms[number];
    walks::load_stage2_context(stage2.root(), 1 + number as u8, 0, is_another);
    state.load();
}

#[test]
fn each_is_translated_by_its_own() {
    for worst in boards() {
        let _on = worst.on(0);
        let vms = [vm(0), vm(1)];
        for turn in 0..6 {
            let number = turn % 2;
            enter(&vms, number, false);
            loads(&worst, 0, 0x3000, VMS[number].0);
            walks::put_context();
        }
    }
}

/// One with stage 1, one without, on cores with the erratum; and a state that replaces that of a vCPU that stays.
#[test]
fn no_state_in_between_can_be_walked() {
    for worst in boards() {
        let _on = worst.on(0);
        walks::clear_el1_regime();
        worst.set_erratum();
        let mut vms = [vm(0), vm(1)];
        vms[0].1.sctlr &= !1;
        for turn in 0..6 {
            enter(&vms, turn % 2, false);
            walks::begin_replacement();
            vms[turn % 2].1.load();
            walks::put_context();
        }
    }
}

/// EL2 goes through another VM's stage 2 while a vCPU is loaded, and has a translation of that vCPU's made at once afterwards.
#[test]
fn a_stage_2_that_is_lent_is_walked_by_nobody() {
    for worst in boards() {
        let _on = worst.on(0);
        walks::clear_el1_regime();
        worst.set_erratum();
        let vms = [vm(0), vm(1)];
        for turn in 0..6 {
            let (number, other) = (turn % 2, 1 - turn % 2);
            enter(&vms, number, false);
            let lent = walks::borrow_stage2(vms[other].0.root(), 1 + other as u8);
            walks::return_stage2(lent);
            let mapping = fixup::translate(Va(0x3000), Stage1Access::El1Read);
            assert_eq!(
                mapping.map(|mapping| mapping.ipa),
                Some(Ipa(PAGE + VMS[number].1))
            );
            loads(&worst, 0, 0x3000, VMS[number].0);
            walks::put_context();
        }
    }
}

/// Between its turns nobody walks with what it has in TTBR0_EL1: what is there it may change until it switches its MMU on.
#[test]
fn a_vcpu_with_its_mmu_off_has_no_stage_1() {
    for worst in boards() {
        let _on = worst.on(0);
        let (stage2, mut state) = vm(0);
        state.sctlr &= !1;
        let vms = [(stage2, state)];
        for _ in 0..2 {
            enter(&vms, 0, false);
            walks::return_stage2(walks::borrow_stage2(vms[0].0.root(), 1));
            loads(&worst, 0, PAGE + VMS[0].1, VMS[0].0);
            walks::put_context();
        }
        enter(&vms, 0, false);
        let entry = (PAGE + 0x4000) | 1;
        worst.store(0, PAGE + 0x4000, 78, By::Cache).unwrap();
        worst.store(0, PAGE + 3 * 8, entry, By::Cache).unwrap();
        let sctlr = vms[0].1.sctlr | 1;
        worst.guest_writes(0, "sctlr_el1", sctlr);
        loads(&worst, 0, 0x3000, 78);
    }
}

/// The guest's own maintenance was done on the core that its other vCPU is on: here it begins anew.
#[test]
fn what_another_vcpu_of_the_vm_left_is_forgotten() {
    for worst in boards() {
        let _on = worst.on(0);
        let vms = [vm(0)];
        enter(&vms, 0, false);
        loads(&worst, 0, 0x3000, VMS[0].0);
        let _ = worst.fetch(0, 0x3000, By::Cache);
        walks::put_context();
        // The other has a table of its own under the same ASID, and writes code.
        let entry = (PAGE + 0x4000) | 1;
        // SAFETY: the board's memory.
        unsafe { page::write(Pa(VMS[0].0 + 3 * 8), &entry.to_ne_bytes()) };
        for frame in [0x2000, 0x4000] {
            // SAFETY: as above.
            unsafe { page::write(Pa(VMS[0].0 + frame), &78_u64.to_ne_bytes()) };
        }
        enter(&vms, 0, true);
        loads(&worst, 0, 0x3000, 78);
        assert_eq!(worst.fetch(0, 0x3000, By::Cache), Ok(78));
        assert_eq!(worst.fetch(0, 0x3000, By::Cache), Ok(78));
    }
}

/// With its MMU off: code that a vCPU fetched is fetched again by the next.
#[test]
fn what_another_vcpu_of_the_vm_fetched_is_forgotten() {
    for worst in boards() {
        let _on = worst.on(0);
        let stage2 = Stage2::new(VMS[0].0);
        walks::load_stage2_context(stage2.root(), 1, 0, false);
        SystemState::reset().load();
        let _ = worst.fetch(0, PAGE, By::Cache);
        walks::put_context();
        // SAFETY: the board's memory.
        unsafe { page::write(Pa(VMS[0].0), &78_u64.to_ne_bytes()) };
        walks::load_stage2_context(stage2.root(), 1, 1, true);
        SystemState::reset().load();
        assert_eq!(worst.fetch(0, PAGE, By::Cache), Ok(78));
    }
}

#[test]
fn a_page_that_became_writable_is_writable_here() {
    const READ_ONLY: u64 = !(1 << 7);
    let addresses = [None, Some(Va(PAGE))].into_iter().cycle();
    for (worst, va) in boards().zip(addresses) {
        let _on = worst.on(0);
        let stage2 = Stage2::new(VMS[0].0);
        stage2.level3.0[5].set(page(VMS[0].0) & READ_ONLY);
        isa::dsb_ishst();
        walks::load_stage2_context(stage2.root(), 1, 0, false);
        SystemState::reset().load();
        assert!(worst.store(0, PAGE, 1, By::Cache).is_err());
        stage2.level3.0[5].set(page(VMS[0].0));
        isa::dsb_ishst();
        tlb::invalidate_ipa_here(Ipa(PAGE), va);
        assert_eq!(worst.store(0, PAGE, 1, By::Cache), Ok(()));
    }
}
