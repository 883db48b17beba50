//! A guest's accesses to debug registers.

use super::guest::*;
use super::instructions::{SYSREG, UNDEFINED, done, iss, taken};
use crate::device::caught::VcpuDebug;
use crate::trap::sysreg::SysReg;
use crate::vm::ExitAction;

const OSLAR: SysReg = SysReg::new(2, 0, 1, 0, 4);
const OSLSR: SysReg = SysReg::new(2, 0, 1, 1, 4);
const MDSCR: SysReg = SysReg::new(2, 0, 0, 2, 2);

fn write(guest: &mut Guest, reg: SysReg, value: u64) {
    guest.registers().x[4] = value;
    assert_eq!(
        guest.exception(SYSREG, iss(reg, 4, true)),
        ExitAction::Resume
    );
}

fn read(guest: &mut Guest, reg: SysReg) -> u64 {
    assert_eq!(
        guest.exception(SYSREG, iss(reg, 4, false)),
        ExitAction::Resume
    );
    guest.registers().x[4]
}

#[test]
fn what_serves_an_external_debugger_is_nothing() {
    let read_only = [(0, 1, 0, 0), (0, 7, 14, 6), (3, 0, 1, 0)];
    for (op1, crn, crm, op2) in read_only {
        let reg = SysReg::new(2, op1, crn, crm, op2);
        done(SYSREG, iss(reg, 3, false), Some((3, 0)));
        taken(SYSREG, iss(reg, 3, true), UNDEFINED);
    }
    let ignored = [
        (0, 0, 0, 2),
        (0, 0, 2, 0),
        (0, 0, 3, 2),
        (0, 0, 6, 2),
        (0, 1, 4, 4),
        (3, 0, 4, 0),
        (3, 0, 5, 0),
    ];
    for (op1, crn, crm, op2) in ignored {
        let reg = SysReg::new(2, op1, crn, crm, op2);
        done(SYSREG, iss(reg, 3, false), Some((3, 0)));
        done(SYSREG, iss(reg, 3, true), None);
    }
}

#[test]
fn the_os_lock_is_the_vcpus_own() {
    let mut guest = Guest::new();
    assert_eq!(read(&mut guest, OSLSR), 0b1010, "locked, as after a reset");
    write(&mut guest, MDSCR, u64::MAX);
    assert_eq!(read(&mut guest, MDSCR), 0xb001);
    assert_eq!(guest.core().debug.mdscr(), 0x3000, "no MDE, no SS");
    write(&mut guest, OSLAR, 0);
    assert_eq!(guest.core().debug.mdscr(), 0xb001);
    taken(SYSREG, iss(OSLAR, 4, false), UNDEFINED);
    taken(SYSREG, iss(OSLSR, 4, true), UNDEFINED);

    // It belongs to a snapshot, and a reset locks it.
    let open = guest.checkpoint();
    write(&mut guest, OSLAR, 1);
    write(&mut guest, MDSCR, 0);
    guest.restore(open, 1);
    assert_eq!(
        (read(&mut guest, OSLSR), read(&mut guest, MDSCR)),
        (0b1000, 0xb001)
    );
    assert_eq!(guest.core().debug.mdscr(), 0xb001);
    guest.reset();
    assert_eq!(
        (read(&mut guest, OSLSR), read(&mut guest, MDSCR)),
        (0b1010, 0)
    );
    assert_eq!(guest.core().debug.mdscr(), 0);
}

#[test]
fn a_vcpu_finds_its_own_debug_registers_after_another() {
    let mut guest = Guest::new();
    write(&mut guest, OSLAR, 0);
    write(&mut guest, MDSCR, 1 << 15);
    let own = guest.core().debug;
    guest.leaves();
    // As the vCPU of another VM leaves it.
    guest.core().debug = VcpuDebug::RESET;
    guest.on_core(|_, core| assert_eq!(core.debug, own));
    assert_eq!(read(&mut guest, OSLSR), 0b1000);
}

#[test]
fn a_core_has_so_many_comparators_as_it_says() {
    let comparator = |n, op2| SysReg::new(2, 0, 0, n, op2);
    // Six breakpoints, four watchpoints, no Double Lock.
    let dfr0 = |_| 0xf0_0030_5006;
    for (op2, count) in [(4, 6), (5, 6), (6, 4), (7, 4)] {
        for n in 0..16 {
            let mut guest = Guest::new();
            guest.core().id_register = dfr0;
            let pc = guest.registers().pc;
            write(&mut guest, comparator(n, op2), 0x1e4);
            if n >= count {
                assert_ne!(guest.registers().pc, pc + 4, "undefined: {n} {op2}");
                continue;
            }
            assert_eq!(read(&mut guest, comparator(n, op2)), 0x1e4);
            assert_eq!(guest.registers().pc, pc + 8);
        }
    }
    let mut guest = Guest::new();
    guest.core().id_register = dfr0;
    let osdlr = SysReg::new(2, 0, 1, 3, 4);
    write(&mut guest, osdlr, 1);
    assert_eq!(read(&mut guest, osdlr), 0);
    guest.core().id_register = |_| 0x30_5006;
    write(&mut guest, osdlr, 1);
    assert_eq!(read(&mut guest, osdlr), 1);
}
