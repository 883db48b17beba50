//! Loads and stores to devices that the syndrome does not describe.

use super::guest::*;
use crate::addr::Ipa;
use crate::arch::vcpu::Stage1Access;
use crate::device::{DISTRIBUTOR_BASE, UART_BASE};
use crate::fake::abort::{self, Abort};
use crate::trap::Access;
use crate::vm::ExitAction;

const UART: u64 = UART_BASE.0;
const IBRD: u64 = UART + 0x24;
/// GICD_IPRIORITYR of the interrupts from 32 on: they keep the upper five bits of each byte.
const PRIORITIES: u64 = DISTRIBUTOR_BASE.0 + 0x420;

const STRB_POST: u32 = 0x3800_1441; // strb w1, [x2], #1
const STRB_PRE: u32 = 0x381f_fc41; // strb w1, [x2, #-1]!
const LDR_POST: u32 = 0xb840_4441; // ldr w1, [x2], #4
const STP_POST: u32 = 0x2881_0c41; // stp w1, w3, [x2], #8
const STP: u32 = 0xa900_0c41; // stp x1, x3, [x2]
const LDP_PRE: u32 = 0x29ff_0c41; // ldp w1, w3, [x2, #-8]!
const LDPSW: u32 = 0x6940_0c41; // ldpsw x1, x3, [x2]
const LDRSH_POST: u32 = 0x7880_2441; // ldrsh x1, [x2], #2
const STR_XZR_POST: u32 = 0xb800_445f; // str wzr, [x2], #4
const LDR_XZR_POST: u32 = 0xb840_445f; // ldr wzr, [x2], #4
const LDR_SP_POST: u32 = 0xb840_47e1; // ldr w1, [sp], #4
const LDR_OWN_BASE: u32 = 0xb840_4442; // ldr w2, [x2], #4
const STRB_OWN_BASE: u32 = 0x3800_1442; // strb w2, [x2], #1
const LDP_TWICE: u32 = 0x2940_0441; // ldp w1, w1, [x2]
const LDR_SXTW: u32 = 0xb863_d841; // ldr w1, [x2, w3, sxtw #2]
const LDR_Q: u32 = 0x3dc0_0040; // ldr q0, [x2]
const LDXR: u32 = 0x885f_7c41; // ldxr w1, [x2]
const LDADD: u32 = 0xb821_0043; // ldadd w1, w3, [x2]
const DC_ZVA: u32 = 0xd50b_7422; // dc zva, x2

/// A guest whose next instruction is `word`.
fn guest(word: u32) -> Guest {
    let mut guest = Guest::new();
    guest.scramble(1);
    put(&mut guest, word);
    guest
}

fn put(guest: &mut Guest, word: u32) {
    let pc = Ipa(guest.registers().pc);
    let memory = &mut guest.vm.shared.get_mut().memory;
    let at = memory.stage2.translate(pc).expect("the image lies there");
    memory.backend.memory.write(at, &word.to_le_bytes());
}

/// What a register of a device holds, by an access with a syndrome.
fn device(guest: &mut Guest, at: u64) -> u64 {
    let before = *guest.registers();
    let access = Access {
        size: 4,
        reg: 0,
        sign_extend: false,
        sixty_four: false,
    };
    let load = Abort {
        access: Some(access),
        ..Abort::load(at)
    };
    assert_eq!(guest.trap(load.trap()), ExitAction::Resume);
    let value = guest.registers().x[0];
    *guest.registers() = before;
    value
}

/// The instruction is done: the registers named here have these values, and all else is as it was but devices and the pc.
fn done(guest: &mut Guest, abort: Abort, changed: &[(usize, u64)]) {
    let mut expected = guest.state();
    assert_eq!(guest.trap(abort.trap()), ExitAction::Resume);
    for &(register, value) in changed {
        expected.registers.x[register] = value;
    }
    expected.registers.pc += 4;
    let mut state = guest.state();
    state.devices = expected.devices;
    assert_eq!(state, expected);
}

/// The guest takes an external abort, and nothing was done.
fn aborted(guest: &mut Guest, abort: Abort) {
    let before = guest.state();
    assert_eq!(guest.trap(abort.trap()), ExitAction::Resume);
    let after = guest.state();
    assert_eq!(after.system.esr & 0x3f, 0x10, "{abort:x?}");
    assert_eq!(after.system.elr, before.registers.pc);
    assert_eq!(after.system.sp_el0, before.system.sp_el0);
    assert_eq!(after.system.sp_el1, before.system.sp_el1);
    assert_eq!(after.registers.x, before.registers.x);
    assert_eq!(after.devices, before.devices);
    assert!(guest.board().printed.is_empty());
}

/// The trap has not happened.
fn tried_again(guest: &mut Guest, abort: Abort) {
    let before = guest.state();
    assert_eq!(guest.trap(abort.trap()), ExitAction::Resume);
    assert_eq!(guest.state(), before, "{abort:x?}");
    assert!(guest.board().printed.is_empty());
}

#[test]
fn the_timers_line_is_read_as_it_is() {
    const ISPENDR: u64 = DISTRIBUTOR_BASE.0 + 0x200;
    let mut guest = guest(LDR_POST);
    for line in [1, 0, 1] {
        guest.core().system.timer_line = line;
        put(&mut guest, LDR_POST);
        guest.registers().x[2] = ISPENDR;
        let loaded = [(1, line << 27), (2, ISPENDR + 4)];
        done(&mut guest, Abort::load(ISPENDR), &loaded);
    }
}

#[test]
fn a_base_register_is_written_back() {
    let mut guest = guest(STRB_POST);
    guest.registers().x[1] = 0x1_0000_0041;
    guest.registers().x[2] = UART;
    done(&mut guest, Abort::store(UART), &[(2, UART + 1)]);
    put(&mut guest, STRB_PRE);
    done(&mut guest, Abort::store(UART), &[(2, UART)]);
    put(&mut guest, LDR_POST);
    guest.uart_store(0x24, 0x8281);
    guest.registers().x[2] = IBRD;
    done(&mut guest, Abort::load(IBRD), &[(1, 0x8281), (2, IBRD + 4)]);
    put(&mut guest, LDRSH_POST);
    guest.registers().x[2] = IBRD;
    let loaded = [(1, 0xffff_ffff_ffff_8281), (2, IBRD + 2)];
    done(&mut guest, Abort::load(IBRD), &loaded);
    assert_eq!(guest.board().printed, b"AA");
}

#[test]
fn pairs_are_two_accesses() {
    let mut guest = guest(STP_POST);
    guest.registers().x[1] = 0xffff_ffff_80f8_5048;
    guest.registers().x[2] = PRIORITIES;
    guest.registers().x[3] = 0x1020_3040;
    done(&mut guest, Abort::store(PRIORITIES), &[(2, PRIORITIES + 8)]);
    put(&mut guest, LDP_PRE);
    let loaded = [(1, 0x80f8_5048), (2, PRIORITIES), (3, 0x1020_3040)];
    done(&mut guest, Abort::load(PRIORITIES), &loaded);
    put(&mut guest, LDPSW);
    // The syndrome may name any address of the access.
    let loaded = [(1, 0xffff_ffff_80f8_5048), (3, 0x1020_3040)];
    done(&mut guest, Abort::load(PRIORITIES + 4), &loaded);
    put(&mut guest, STP);
    let of_8_bytes = [0x0808_0808_1010_1010, 0x2020_2020_4040_4040];
    [guest.registers().x[1], guest.registers().x[3]] = of_8_bytes;
    done(&mut guest, Abort::store(PRIORITIES), &[]);
    let stored = [0, 4, 8, 12].map(|at| device(&mut guest, PRIORITIES + at));
    assert_eq!(stored, [0x1010_1010, 0x0808_0808, 0x4040_4040, 0x2020_2020]);
}

#[test]
fn xzr_stores_zero_and_takes_nothing() {
    let mut guest = guest(STR_XZR_POST);
    guest.uart_store(0x24, 7);
    guest.registers().x[2] = IBRD;
    done(&mut guest, Abort::store(IBRD), &[(2, IBRD + 4)]);
    assert_eq!(device(&mut guest, IBRD), 0);
    put(&mut guest, LDR_XZR_POST);
    guest.registers().x[2] = UART;
    guest.board().typed.push_back(b'a');
    done(&mut guest, Abort::load(UART), &[(2, UART + 4)]);
    assert!(guest.board().typed.is_empty(), "but the character is read");
}

#[test]
fn the_stack_pointer_is_the_selected_one() {
    for (pstate, el1) in [(0x3c0, false), (0x3c4, false), (0x3c5, true)] {
        let mut guest = guest(LDR_SP_POST);
        guest.uart_store(0x24, 0x1234);
        guest.registers().pstate = pstate;
        guest.core().system.sp_el0 = if el1 { 1 } else { IBRD };
        guest.core().system.sp_el1 = if el1 { IBRD } else { 1 };
        assert_eq!(guest.trap(Abort::load(IBRD).trap()), ExitAction::Resume);
        let system = guest.core().system;
        assert_eq!(guest.registers().x[1], 0x1234, "{pstate:#x}");
        let [selected, other] = match el1 {
            true => [system.sp_el1, system.sp_el0],
            false => [system.sp_el0, system.sp_el1],
        };
        assert_eq!((selected, other), (IBRD + 4, 1), "{pstate:#x}");
    }
}

#[test]
fn a_register_named_twice() {
    let mut guest = guest(LDR_OWN_BASE);
    guest.uart_store(0x24, 0x1234);
    guest.registers().x[2] = IBRD;
    done(&mut guest, Abort::load(IBRD), &[(2, IBRD + 4)]);
    put(&mut guest, LDP_TWICE);
    guest.registers().x[2] = IBRD;
    done(&mut guest, Abort::load(IBRD), &[(1, 0)]);
    put(&mut guest, STRB_OWN_BASE);
    guest.registers().x[2] = UART;
    done(&mut guest, Abort::store(UART), &[(2, UART + 1)]);
    assert_eq!(guest.board().printed, [0], "the address's low byte");
}

#[test]
fn offsets_in_registers_and_tags_in_addresses() {
    const TAG: u64 = 0x5a << 56;
    let mut guest = guest(LDR_SXTW);
    guest.uart_store(0x24, 0x1234);
    guest.registers().x[2] = TAG | (IBRD + 4);
    guest.registers().x[3] = 0xffff_ffff;
    done(&mut guest, Abort::load(IBRD), &[(1, 0x1234)]);
    put(&mut guest, LDR_POST);
    guest.registers().x[2] = TAG | IBRD;
    let written_back = [(1, 0x1234), (2, TAG | (IBRD + 4))];
    done(&mut guest, Abort::load(IBRD), &written_back);
}

#[test]
fn stepping_over_clears_btype_and_single_step() {
    let mut guest = guest(LDR_POST);
    guest.registers().x[2] = IBRD;
    guest.registers().pstate = 0x3c5 | 3 << 10 | 1 << 21;
    guest.trap(Abort::load(IBRD).trap());
    assert_eq!(guest.registers().pstate, 0x3c5);
}

#[test]
fn a_virtual_address_is_not_a_physical_one() {
    let mut guest = guest(LDR_POST);
    guest.uart_store(0x24, 0x1234);
    let pc = guest.registers().pc;
    // The code is mapped high, the device elsewhere.
    guest.core().stage1 = |va, access| {
        assert_eq!(access, Stage1Access::El1Read);
        Some(Ipa(va.0 & 0xffff_ffff))
    };
    guest.registers().pc = pc | 0xffff_ffff_0000_0000;
    guest.registers().x[2] = 0x7777_0000_0024;
    let load = Abort {
        far: 0x7777_0000_0024,
        ..Abort::load(IBRD)
    };
    done(&mut guest, load, &[(1, 0x1234), (2, 0x7777_0000_0028)]);
}

/// Another vCPU has changed something since the trap.
#[test]
fn what_does_not_fit_the_syndrome_is_tried_again() {
    let mut guest = guest(STP);
    guest.registers().x[2] = UART + 0x40;
    tried_again(&mut guest, Abort::load(UART + 0x40));
    tried_again(&mut guest, Abort::store(UART + 0x3f));
    tried_again(&mut guest, Abort::store(UART + 0x50));
    guest.core().stage1 = |_, _| None;
    tried_again(&mut guest, Abort::store(UART + 0x40));
    guest.core().stage1 = |_, _| Some(Ipa(HOLE));
    tried_again(&mut guest, Abort::store(UART + 0x40));
    guest.core().stage1 = |_, _| Some(Ipa(UNTOUCHED));
    tried_again(&mut guest, Abort::store(UART + 0x40));
}

#[test]
fn what_is_not_carried_out_is_an_external_abort() {
    for word in [LDR_Q, LDXR, LDADD, DC_ZVA, 0, u32::MAX] {
        for abort in [Abort::load(UART), Abort::store(UART)] {
            let mut guest = guest(word);
            guest.registers().x[2] = UART;
            aborted(&mut guest, abort);
        }
    }
    for pstate in [0x10, 0x30] {
        let mut guest = guest(LDR_POST);
        guest.registers().x[2] = UART;
        guest.registers().pstate = pstate;
        aborted(&mut guest, Abort::load(UART));
    }
    for status in [abort::EXTERNAL, abort::ALIGNMENT] {
        let mut guest = guest(LDR_POST);
        guest.registers().x[2] = UART;
        let failed = Abort {
            status,
            ..Abort::load(UART)
        };
        aborted(&mut guest, failed);
    }
}

#[test]
fn a_pair_with_a_part_outside_of_devices_is_not_begun() {
    // Into a hole, out of RAM, into RAM, and by 4 bytes over the end of a page.
    for (address, far) in [
        (UART + 0xff8, UART + 0xff8),
        (UART - 8, UART),
        (RAM - 8, RAM - 8),
        (UART + 0xffc, UART + 0xffc),
    ] {
        let mut guest = guest(STP);
        guest.registers().x[2] = address;
        aborted(&mut guest, Abort::store(far));
    }
}

#[test]
fn a_pair_may_lie_in_two_pages_of_devices() {
    const END: u64 = DISTRIBUTOR_BASE.0 + 0xff8;
    let into_the_next = |pstate: u64, stage1| {
        let mut guest = guest(STP);
        guest.registers().x[2] = END;
        guest.registers().pstate = pstate;
        guest.core().stage1 = stage1;
        guest
    };
    for far in [END, END + 8] {
        for pstate in [0x3c5, 0x3c5 | 1 << 22] {
            let mut el1 = into_the_next(pstate, |va, access| {
                (va.0 >= RAM || access == Stage1Access::El1Write).then_some(Ipa(va.0))
            });
            done(&mut el1, Abort::store(far), &[]);
        }
        let mut el0 = into_the_next(0, |va, access| {
            (va.0 >= RAM || access == Stage1Access::El0Write).then_some(Ipa(va.0))
        });
        done(&mut el0, Abort::store(far), &[]);
        // It is EL1's alone; it is read-only; EL0 has it, and PAN is on.
        let mut el0 = into_the_next(0, |va, access| {
            (va.0 >= RAM || access == Stage1Access::El1Write).then_some(Ipa(va.0))
        });
        aborted(&mut el0, Abort::store(far));
        let mut el1 = into_the_next(0x3c5, |va, access| {
            (va.0 >= RAM || access == Stage1Access::El1Read).then_some(Ipa(va.0))
        });
        aborted(&mut el1, Abort::store(far));
        let mut pan = into_the_next(0x3c5 | 1 << 22, |va, _| Some(Ipa(va.0)));
        aborted(&mut pan, Abort::store(far));
    }
}
