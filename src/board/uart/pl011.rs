//! The board's PL011 UART (Arm DDI 0183): sends by polling, receives by polling or after its interrupt.

use super::{Driver, Kind, Model, Open, Registers};

const DR: u64 = 0x00;
/// RSR when read, ECR when written.
const RSR: u64 = 0x04;
const FR: u64 = 0x18;
const IBRD: u64 = 0x24;
const FBRD: u64 = 0x28;
const LCR_H: u64 = 0x2c;
const CR: u64 = 0x30;
const IFLS: u64 = 0x34;
const IMSC: u64 = 0x38;

/// A character came while the FIFO was full, and is lost.
const RSR_OE: u32 = 1 << 3;
const FR_RXFE: u32 = 1 << 4;
const FR_TXFF: u32 = 1 << 5;
const LCR_H_8_BITS_FIFO: u32 = 0b11 << 5 | 1 << 4;
/// Receive at 1/8 full, transmit at 1/2 full as after reset.
const IFLS_RECEIVE_EARLY: u32 = 0b010;
/// The receive FIFO has reached its level; or holds less, for 32 bit times in which nothing more came.
const RECEIVE_INTERRUPTS: u32 = 1 << 4 | 1 << 6;
/// The transmit FIFO has fallen to its level.
const TRANSMIT_INTERRUPT: u32 = 1 << 5;
const CR_ENABLE_TX_RX: u32 = 1 << 0 | 1 << 8 | 1 << 9;

/// The speed of a UART that nobody has set up.
const BAUD: u64 = 115_200;
/// Its clock where the tree names no fixed one: what the Raspberry Pi's firmware gives it.
const USUAL_CLOCK: u64 = 48_000_000;
/// A PL011.
#[derive(Debug, Clone, Copy)]
pub struct Pl011<R>(R);

pub(super) const KIND: Kind = Kind {
    compatible: "arm,pl011",
    before: 0,
    size: 0x48,
    answers_at: FR,
    model: Model::Pl011,
};

/// Whether what is at `registers`, a page, identifies itself as a PL011 (DDI 0183, 3.3.17 and 3.3.18), of whatever revision.
pub(super) fn is_there<R: Registers>(registers: R) -> bool {
    if registers.size() < 0x1000 {
        return false;
    }
    let byte = |n: u64| registers.read(0xfe0 + 4 * n) & 0xff;
    let part = byte(0) | (byte(1) & 0xf) << 8;
    let cell = [4, 5, 6, 7].map(byte);
    part == 0x011 && cell == [0x0d, 0xf0, 0x05, 0xb1]
}

/// Takes the UART over, at the speed at which the firmware left it: its clock is in the hands of the firmware too
/// (on the Raspberry Pi it is no fixed clock that the tree could tell), and the speed is right because the firmware
/// itself prints there. One that has no speed gets one out of the clock, if the tree tells.
pub(super) fn open<R: Registers>(registers: R, with: &Open) -> Pl011<R> {
    let enabled = registers.read(CR) & CR_ENABLE_TX_RX == CR_ENABLE_TX_RX;
    let has_speed = registers.read(IBRD) != 0;
    if !enabled || !has_speed {
        registers.write(CR, 0);
        if !has_speed {
            // 64ths of the clock's cycles per 16th of a bit.
            let divisor = (with.clock.unwrap_or(USUAL_CLOCK) * 4 + BAUD / 2) / BAUD;
            registers.write(IBRD, (divisor >> 6) as u32);
            registers.write(FBRD, divisor as u32 & 0x3f);
        }
        // LCR_H must be written with the UART off, and after the divisors, which it latches (DDI 0183, 3.3.6).
        registers.write(LCR_H, LCR_H_8_BITS_FIFO);
        registers.write(CR, CR_ENABLE_TX_RX);
    }
    registers.write(IFLS, IFLS_RECEIVE_EARLY);
    Pl011(registers)
}

impl<R: Registers> Driver for Pl011<R> {
    fn send_some(&self, bytes: &[u8]) -> usize {
        let has_room = |_: &&u8| self.0.read(FR) & FR_TXFF == 0;
        let sent = bytes.iter().take_while(has_room);
        sent.map(|byte| self.0.write(DR, (*byte).into())).count()
    }

    fn receive(&self) -> Option<u8> {
        // Bits 11:8 are errors of the line; a damaged character is passed on like any other.
        (self.0.read(FR) & FR_RXFE == 0).then(|| self.0.read(DR) as u8)
    }

    fn take_overrun(&self) -> bool {
        let overrun = self.0.read(RSR) & RSR_OE != 0;
        if overrun {
            self.0.write(RSR, 0);
        }
        overrun
    }

    fn set_interrupts(&self, input: bool, output: bool) {
        let input = if input { RECEIVE_INTERRUPTS } else { 0 };
        let output = if output { TRANSMIT_INTERRUPT } else { 0 };
        self.0.write(IMSC, input | output);
    }

    fn end_stale_interrupt(&self) {
        // There is none: each of the three falls with what it stands for (DDI 0183, 2.8, "Interrupts"). One that is cleared by ICR while it
        // stands does not rise again before the FIFO has passed its level once more.
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Fake, FakeRegisters, Hardware, keep, opening};
    use super::*;
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::vec::Vec;

    /// A PL011 with FIFOs of 16 characters.
    #[derive(Default)]
    struct FakePl011 {
        coming: VecDeque<u8>,
        going: VecDeque<u8>,
        overrun: bool,
        /// RIS.TX: rises when the FIFO falls to half, and only then.
        transmit: bool,
        mask: u32,
        divisor: (u32, u32),
        line_control: u32,
        control: u32,
        lost: usize,
    }

    impl Hardware for FakePl011 {
        fn irq(&self) -> bool {
            let receive = if self.coming.len() >= 2 { 1 << 4 } else { 0 };
            let timeout = if self.coming.is_empty() { 0 } else { 1 << 6 };
            let transmit = u32::from(self.transmit) << 5;
            (receive | timeout | transmit) & self.mask != 0
        }

        fn leave(&mut self, count: usize) -> Vec<u8> {
            let before = self.going.len();
            let left = self.going.drain(..count.min(before)).collect();
            self.transmit |= before > 8 && self.going.len() <= 8;
            left
        }

        fn come(&mut self, byte: u8) {
            match self.coming.len() {
                16 => self.overrun = true,
                _ => self.coming.push_back(byte),
            }
        }

        fn has_room(&self) -> bool {
            self.coming.len() < 16
        }

        fn lost(&self) -> usize {
            self.lost
        }
    }

    impl FakeRegisters for FakePl011 {
        fn read(&mut self, offset: u64) -> u32 {
            match offset {
                DR => self.coming.pop_front().map_or(0, u32::from),
                RSR => u32::from(self.overrun) << 3,
                FR => {
                    u32::from(self.coming.is_empty()) << 4 | u32::from(self.going.len() == 16) << 5
                }
                IBRD => self.divisor.0,
                FBRD => self.divisor.1,
                CR => self.control,
                _ => panic!("{offset:#x} is read"),
            }
        }

        fn write(&mut self, offset: u64, value: u32) {
            match offset {
                DR if self.going.len() == 16 => self.lost += 1,
                DR => {
                    self.going.push_back(value as u8);
                    self.transmit &= self.going.len() <= 8;
                }
                RSR => self.overrun = false,
                IBRD => self.divisor.0 = value,
                FBRD => self.divisor.1 = value,
                LCR_H => self.line_control = value,
                CR => self.control = value,
                IFLS => assert_eq!(value, 0b000_010),
                IMSC => self.mask = value,
                _ => panic!("{offset:#x} is written"),
            }
        }
    }

    fn uart(hardware: FakePl011, clock: Option<u64>) -> (Pl011<Fake>, &'static RefCell<FakePl011>) {
        let hardware = keep(hardware);
        let registers = Fake::new(0x900_0000, 0x200, hardware);
        (open(registers, &opening(clock)), hardware)
    }

    #[test]
    fn the_speed_is_the_firmwares_or_comes_from_the_clock() {
        let set_up = FakePl011 {
            divisor: (26, 3),
            control: 0x301,
            ..FakePl011::default()
        };
        let (_, hardware) = uart(set_up, Some(24_000_000));
        assert_eq!(hardware.borrow().divisor, (26, 3));
        assert_eq!(hardware.borrow().line_control, 0, "it is not touched");
        for (clock, divisor) in [(Some(24_000_000), (13, 1)), (None, (26, 3))] {
            let (_, hardware) = uart(FakePl011::default(), clock);
            let hardware = hardware.borrow();
            assert_eq!(hardware.divisor, divisor);
            assert_eq!((hardware.line_control, hardware.control), (0x70, 0x301));
        }
    }

    #[test]
    fn as_many_are_sent_as_there_is_room_for_and_the_interrupt_tells_when_there_is_more() {
        let (uart, hardware) = uart(FakePl011::default(), None);
        let bytes: Vec<u8> = (0..20).collect();
        assert_eq!(uart.send_some(&bytes), 16);
        assert_eq!(uart.send_some(&bytes[16..]), 0);
        uart.set_interrupts(false, true);
        let mut left = hardware.borrow_mut().leave(7);
        assert!(!hardware.borrow().irq());
        left.extend(hardware.borrow_mut().leave(1));
        assert!(hardware.borrow().irq());
        assert_eq!(uart.send_some(&bytes[16..]), 4);
        assert!(!hardware.borrow().irq());
        left.extend(hardware.borrow_mut().leave(16));
        assert_eq!((left, hardware.borrow().lost), (bytes, 0));
    }

    #[test]
    fn receives_and_says_what_was_lost() {
        let (uart, hardware) = uart(FakePl011::default(), None);
        uart.set_interrupts(true, false);
        assert!(!hardware.borrow().irq());
        (0..17).for_each(|byte| hardware.borrow_mut().come(byte));
        assert!(hardware.borrow().irq());
        uart.end_stale_interrupt();
        let came = std::iter::from_fn(|| uart.receive());
        assert!(came.eq(0..16));
        assert!(!hardware.borrow().irq());
        assert!(uart.take_overrun() && !uart.take_overrun());
        hardware.borrow_mut().come(1);
        assert!(hardware.borrow().irq(), "one is enough");
        uart.set_interrupts(false, false);
        assert!(!hardware.borrow().irq());
    }

    proptest::proptest! {
        #[test]
        fn a_line_loses_nothing(traffic in super::super::tests::traffic()) {
            let (uart, hardware) = uart(FakePl011::default(), None);
            super::super::tests::loses_nothing(&uart, hardware, traffic)?;
        }
    }
}
