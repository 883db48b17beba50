//! Registers that must be in effect when a function returns, because what follows depends on it and is no ERET.

use super::*;
use crate::arch::vcpu::Stage1Register;
use crate::arch::vcpu::{debug, el1, walks};
use crate::arch::{cpu, timer};

#[test]
fn the_count_is_not_from_before_the_call() {
    for worst in boards() {
        let _on = worst.on(0);
        for _ in 0..4 {
            let before = worst.count();
            assert!(timer::count() > before);
        }
    }
}

/// WFI is no context synchronization event, and neither is the store to the GIC that deactivates the alarm's interrupt: a timer that is still
/// up then makes it pending again.
#[test]
fn an_alarm_is_set_when_the_core_falls_asleep() {
    for worst in boards() {
        let _on = worst.on(0);
        for at in [Some(100), None] {
            timer::set_alarm(at);
            assert!(worst.unsynchronized(0).is_empty());
        }
    }
}

/// Its interrupt is about to be deactivated by a store to the GIC, and there may be no vCPU that takes it.
#[test]
fn the_timer_of_a_vcpu_that_left_is_off() {
    for worst in boards() {
        let _on = worst.on(0);
        isa::write("cntv_ctl_el0", 1);
        walks::put_context();
        assert!(worst.unsynchronized(0).is_empty());
        assert_eq!(isa::read("cntv_ctl_el0"), 0);
    }
}

/// It would be compared with the new count while it is still on.
#[test]
fn the_timer_is_off_before_the_count_moves() {
    for worst in boards() {
        let _on = worst.on(0);
        for stop in [walks::begin_replacement, walks::put_context] {
            isa::write("cntv_ctl_el0", 1);
            isa::write("cntvoff_el2", 3);
            isa::isb();
            stop();
            assert!(!worst.unsynchronized(0).contains(&"cntv_ctl_el0"));
            assert_eq!(isa::read("cntv_ctl_el0"), 0);
            timer::set_virtual_offset(5);
            // The timer that is loaded next is compared with the new one.
            assert!(!worst.unsynchronized(0).contains(&"cntvoff_el2"));
            assert_eq!(isa::read("cntvoff_el2"), 5);
        }
    }
}

/// Maintenance of the caches follows, which accesses by the regime as it was before would undo, if only by speculation.
#[test]
fn the_guests_regime_is_new_when_its_caches_are_cleaned() {
    for worst in boards() {
        let _on = worst.on(0);
        for (register, name) in [
            (Stage1Register::Sctlr, "sctlr_el1"),
            (Stage1Register::Ttbr0, "ttbr0_el1"),
            (Stage1Register::Tcr, "tcr_el1"),
            (Stage1Register::Mair, "mair_el1"),
        ] {
            el1::write_stage1_register(register, 0x80);
            assert!(worst.unsynchronized(0).is_empty());
            assert_eq!(isa::read(name), 0x80);
        }
    }
}

/// MDCR_EL2.TDE.
const TDE: u64 = 1 << 8;

#[test]
fn debug_exceptions_go_to_el2_and_nothing_else_changes() {
    for worst in boards() {
        let _on = worst.on(0);
        isa::write("mdcr_el2", 0xe06);
        for to_el2 in [false, true, true, false] {
            debug::route_to_el2(to_el2);
            let tde = if to_el2 { TDE } else { 0 };
            assert_eq!(isa::read("mdcr_el2"), 0xe06 | tde);
        }
        debug::load_comparators(|n| (n as u64 * 16, 0x1e7), |n| (n as u64 * 8, 0x1ff));
        // As the ERET does.
        isa::isb();
        let names = ["dbgbvr1_el1", "dbgbcr1_el1", "dbgwvr1_el1", "dbgwcr1_el1"];
        assert_eq!(names.map(isa::read), [16, 0x1e7, 8, 0x1ff]);
    }
}

/// What a core stored may wait in it for as long as it sleeps, if no DSB came before (D1, "Wait for Interrupt": a DSB before it is recommended).
#[test]
fn a_core_that_sleeps_has_nothing_left_to_say() {
    for worst in boards() {
        let on = worst.on(0);
        let stage2 = Stage2::new(0x5000_0000);
        isa::dsb_sy();
        stage2.level3.0[15].set(page(0x5020_0000));
        cpu::idle();
        drop(on);
        let _on = worst.on(1);
        walks::load_stage2_context(stage2.root(), 1, 0, false);
        assert!(worst.load(1, 0x4000_f000, By::Cache).is_ok());
    }
}
