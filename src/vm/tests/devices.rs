//! The UART, through registers.

use super::guest::*;
use crate::device::UART_BASE;
use crate::fake::abort::Abort;
use crate::trap::Access;
use crate::vm::ExitAction;

const UART: u64 = UART_BASE.0;
const FR: u64 = 0x18;
const IBRD: u64 = 0x24;
const FBRD: u64 = 0x28;

const WORD: Access = Access {
    size: 4,
    reg: 5,
    sign_extend: false,
    sixty_four: false,
};

fn load(offset: u64, access: Access) -> Abort {
    Abort {
        access: Some(access),
        ..Abort::load(UART + offset)
    }
}

fn store(offset: u64, access: Access) -> Abort {
    Abort {
        access: Some(access),
        ..Abort::store(UART + offset)
    }
}

/// The instruction is done: nothing but `register` (and devices) changes, and the pc moves once.
fn done(guest: &mut Guest, abort: Abort, register: Option<u8>) -> u64 {
    let before = guest.state();
    assert_eq!(guest.trap(abort.trap()), ExitAction::Resume);
    let mut after = guest.state();
    let value = register.map_or(0, |register| {
        let register = usize::from(register);
        std::mem::replace(
            &mut after.registers.x[register],
            before.registers.x[register],
        )
    });
    after.devices = before.devices;
    let mut expected = before;
    expected.registers.pc += if abort.narrow { 2 } else { 4 };
    assert_eq!(after, expected);
    value
}

#[test]
fn what_is_stored_is_printed() {
    let mut guest = Guest::new();
    guest.scramble(1);
    for (size, reg) in [(1, 0), (2, 7), (4, 30), (8, 1)] {
        guest.registers().x[usize::from(reg)] = 0xffff_ffff_0000_0041 + u64::from(size);
        done(&mut guest, store(0, Access { size, reg, ..WORD }), None);
    }
    assert_eq!(guest.board().printed, b"BCEI");
}

#[test]
fn xzr_stores_zero_and_takes_nothing() {
    let mut guest = Guest::new();
    guest.scramble(1);
    let xzr = Access { reg: 31, ..WORD };
    done(&mut guest, store(0, xzr), None);
    assert_eq!(guest.board().printed, [0]);
    guest.board().typed.push_back(b'a');
    done(&mut guest, load(0, xzr), None);
    assert!(guest.board().typed.is_empty(), "but the character is read");
}

#[test]
fn what_is_typed_is_loaded() {
    let mut guest = Guest::new();
    guest.scramble(1);
    assert_eq!(done(&mut guest, load(FR, WORD), Some(5)), 0x90);
    guest.board().typed.extend(*b"ab");
    assert_eq!(done(&mut guest, load(FR, WORD), Some(5)), 0xc0);
    assert_eq!(done(&mut guest, load(0, WORD), Some(5)), b'a'.into());
    assert_eq!(done(&mut guest, load(0, WORD), Some(5)), b'b'.into());
    assert_eq!(done(&mut guest, load(FR, WORD), Some(5)), 0x90);
}

#[test]
fn loads_fill_their_register_as_they_say() {
    let mut guest = Guest::new();
    guest.scramble(1);
    guest.uart_store(IBRD, 0x8281);
    guest.uart_store(FBRD, 0x21);
    for (offset, size, sign_extend, sixty_four, expected) in [
        (IBRD, 4, false, false, 0x8281),
        (IBRD, 2, false, false, 0x8281),
        (IBRD, 2, true, false, 0xffff_8281),
        (IBRD, 2, true, true, 0xffff_ffff_ffff_8281),
        (IBRD, 1, true, true, 0xffff_ffff_ffff_ff81),
        (IBRD + 1, 1, false, true, 0x82),
        (IBRD, 4, true, true, 0x8281),
        (IBRD, 8, false, true, 0x21_0000_8281),
    ] {
        let access = Access {
            size,
            reg: 3,
            sign_extend,
            sixty_four,
        };
        guest.registers().x[3] = u64::MAX;
        let value = done(&mut guest, load(offset, access), Some(3));
        assert_eq!(value, expected, "{offset:#x} {access:?}");
    }
}

#[test]
fn the_offset_is_the_virtual_addresss() {
    let mut guest = Guest::new();
    guest.uart_store(IBRD, 7);
    let mapped_elsewhere = Abort {
        far: 0xffff_8000_1234_5000 + IBRD,
        ..load(0, WORD)
    };
    assert_eq!(done(&mut guest, mapped_elsewhere, Some(5)), 7);
}

#[test]
fn a_narrow_instruction_is_stepped_over_by_two_bytes() {
    let mut guest = Guest::new();
    // T32 at EL0.
    guest.registers().pstate = 0x30;
    let narrow = Abort {
        narrow: true,
        ..load(FR, WORD)
    };
    assert_eq!(done(&mut guest, narrow, Some(5)), 0x90);
}

#[test]
fn stepping_over_clears_btype_and_single_step() {
    let mut guest = Guest::new();
    guest.registers().pstate = 0x3c5 | 3 << 10 | 1 << 21;
    guest.trap(load(FR, WORD).trap());
    assert_eq!(guest.registers().pstate, 0x3c5);
}

#[test]
fn a_restore_brings_the_uarts_registers_back_but_not_what_was_typed() {
    let mut guest = Guest::new();
    guest.uart_store(IBRD, 1);
    guest.board().typed.extend(*b"xy");
    done(&mut guest, load(FR, WORD), Some(5));
    guest.checkpoint();
    assert_eq!(done(&mut guest, load(0, WORD), Some(5)), b'x'.into());
    guest.uart_store(IBRD, 2);
    guest.restore(LATEST, 1);
    assert_eq!(done(&mut guest, load(IBRD, WORD), Some(5)), 1);
    for received in *b"xy" {
        assert_eq!(done(&mut guest, load(0, WORD), Some(5)), received.into());
    }
}
