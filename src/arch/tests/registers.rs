//! Registers that must be in effect when a function returns, because what follows depends on it and is no ERET.

use super::*;
use crate::arch::vcpu::Stage1Register;
use crate::arch::vcpu::{debug, el1, walks};
use crate::arch::{cpu, timer};
use crate::device::caught::{Catch, Comparator, VcpuDebug};
use crate::trap::sysreg::DebugRegister::{BreakpointControl, Mdscr, OsLockAccess};

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
        isa::write("cntv_ctl_el0", 1);
        timer::set_virtual_offset(5);
        assert!(!worst.unsynchronized(0).contains(&"cntv_ctl_el0"));
        assert_eq!(isa::read("cntvoff_el2"), 5);
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

/// Whoever was loaded before, the core has what acts of the vCPU's, and debug exceptions go to whom they are for.
#[test]
fn debug_exceptions_go_to_whom_the_registers_are_of() {
    let plain = VcpuDebug::RESET;
    let mut used = plain;
    used.write(OsLockAccess, 0);
    used.write(Mdscr, 0xa000);
    used.write(BreakpointControl(1), 0x1e7);
    let mut caught = used;
    caught.set_comparator(Comparator::Breakpoint(0, 0x5000, 0x1e7));
    caught.catch(Catch {
        hardware: true,
        brk: None,
    });
    let vcpus = [
        (plain, 0, 0, [0, 0]),
        (used, 0, 0xa000, [0, 0x1e7]),
        (caught, TDE, 0x8000, [0x1e7, 0]),
    ];
    for worst in boards() {
        let _on = worst.on(0);
        // All that shares the register, and what a board may come with.
        isa::write("mdcr_el2", 0xe06 | TDE);
        isa::write("dbgbcr0_el1", 0x1e1);
        let mut comparators = debug::Comparators::default();
        for n in [0, 1, 2, 0, 2, 1, 0, 0, 2, 2, 1, 1, 0] {
            let (vcpu, tde, mdscr, controls) = &vcpus[n];
            debug::load(vcpu, &mut comparators);
            // As the ERET does.
            isa::isb();
            assert_eq!(isa::read("mdcr_el2"), 0xe06 | tde);
            assert_eq!(isa::read("mdscr_el1"), *mdscr);
            let names = ["dbgbcr0_el1", "dbgbcr1_el1"];
            assert_eq!(names.map(isa::read), *controls);
            assert_eq!(isa::read("dbgbvr0_el1"), 0x5000 * u64::from(*tde != 0));
        }
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
