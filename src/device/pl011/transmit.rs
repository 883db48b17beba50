//! Characters that a console's queue holds, as the PL011's transmit FIFO: FR and the TX interrupt follow what waits there.

use super::registers::{flag, interrupt};
use super::{LCR_H_FEN, Pl011, history};

impl Pl011 {
    /// Those that FR shows while characters wait to be sent, beside those of the receive FIFO among `flags`.
    #[cold]
    pub(super) fn transmit_flags(&mut self, flags: u32, unsent: u32) -> u32 {
        self.note_unsent(unsent);
        let full = match unsent >= self.depth() {
            true => flag::TXFF,
            false => 0,
        };
        flags & !flag::TXFE | flag::BUSY | full
    }

    /// So many characters wait to be sent: TX follows.
    pub(super) fn note_unsent(&mut self, unsent: u32) {
        if unsent > self.transmit_level() {
            self.raw &= !interrupt::TX;
            self.history |= history::ABOVE;
        } else if self.history & history::ABOVE != 0 {
            self.raw |= interrupt::TX;
            self.history &= !history::ABOVE;
        }
    }

    /// TX stands for at most so many characters in the transmit FIFO (IFLS.TXIFLSEL; DDI 0183, 3.3.9).
    fn transmit_level(&self) -> u32 {
        match self.line_control & LCR_H_FEN {
            0 => 0,
            _ => match self.fifo_levels & 0b111 {
                0b000 => 2,
                0b001 => 4,
                0b010 => 8,
                0b011 => 12,
                // The rest is reserved.
                _ => 14,
            },
        }
    }

    /// A character was sent, and so many wait with it.
    #[cold]
    pub(super) fn sent_into_queue(&mut self, unsent: u32) {
        self.raw |= interrupt::TX;
        self.note_unsent(unsent);
    }
}

#[cfg(test)]
mod tests {
    use super::super::registers::offset;
    use super::*;
    use crate::device::pl011::UNSENT_MAX;
    use crate::device::{Console, Emulated};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::iter::repeat_n;
    use std::vec::Vec;

    /// A line that takes as many characters as the test lets it, and keeps the rest in a queue.
    #[derive(Default)]
    struct Line {
        room: usize,
        queue: VecDeque<u8>,
        sent: Vec<u8>,
        dropped: usize,
    }

    impl Line {
        /// Sends so many more.
        fn send(&mut self, count: usize) {
            self.room += count;
            while self.room > 0
                && let Some(byte) = self.queue.pop_front()
            {
                self.sent.push(byte);
                self.room -= 1;
            }
        }
    }

    impl Console for Line {
        fn put(&mut self, byte: u8) {
            match self.queue.len() {
                UNSENT_MAX => self.dropped += 1,
                _ => self.queue.push_back(byte),
            }
            self.send(0);
        }

        fn unsent(&self) -> u32 {
            self.queue.len() as u32
        }

        fn abandon_sequence(&mut self) {}

        fn get(&mut self) -> Option<u8> {
            None
        }
    }

    fn uart(line_control: u32, levels: u32) -> (Pl011, Line) {
        let (mut uart, mut line) = (Pl011::default(), Line::default());
        uart.write(offset::LCR_H, line_control, &mut line);
        uart.write(offset::IFLS, levels, &mut line);
        (uart, line)
    }

    #[test]
    fn the_fifo_is_as_full_as_the_queue() {
        let (mut uart, mut line) = uart(LCR_H_FEN, 0);
        let idle = flag::TXFE | flag::RXFE;
        assert_eq!(uart.read(offset::FR, &mut line), idle);
        for byte in 0..16 {
            assert_eq!(uart.read(offset::FR, &mut line) & flag::TXFF, 0);
            uart.write(offset::DR, byte, &mut line);
        }
        let full = flag::RXFE | flag::TXFF | flag::BUSY;
        assert_eq!(uart.read(offset::FR, &mut line), full);
        line.send(1);
        assert_eq!(uart.read(offset::FR, &mut line), flag::RXFE | flag::BUSY);
        line.send(15);
        assert_eq!(uart.read(offset::FR, &mut line), idle);
        assert_eq!(line.sent, (0..16).collect::<Vec<u8>>());
    }

    #[test]
    fn without_fifos_one_character_fills_it_and_no_more_than_the_queue_holds_is_lost() {
        let (mut uart, mut line) = uart(0, 0);
        for byte in 0..18 {
            uart.write(offset::DR, byte, &mut line);
            assert_ne!(uart.read(offset::FR, &mut line) & flag::TXFF, 0);
            assert_eq!(uart.read(offset::RIS, &mut line), 0, "one is above none");
        }
        assert_eq!(
            line.dropped, 2,
            "a driver that does not look loses what hardware would lose"
        );
        line.send(16);
        uart.pull_input(&mut line);
        assert_eq!(uart.read(offset::RIS, &mut line), interrupt::TX);
    }

    #[test]
    fn the_interrupt_rises_when_the_queue_falls_to_the_level() {
        for (levels, level) in [(0, 2), (1, 4), (2, 8), (3, 12), (4, 14)] {
            let (mut uart, mut line) = uart(LCR_H_FEN, levels);
            uart.write(offset::IMSC, interrupt::TX, &mut line);
            for count in 1..=16 {
                uart.write(offset::DR, count, &mut line);
                assert_eq!(uart.irq_line(), count <= level, "{count} and {level}");
            }
            uart.write(offset::ICR, interrupt::ALL, &mut line);
            for left in (0..16).rev() {
                line.send(1);
                uart.pull_input(&mut line);
                assert_eq!(uart.irq_line(), left <= level, "{left} and {level}");
            }
            uart.write(offset::ICR, interrupt::TX, &mut line);
            uart.pull_input(&mut line);
            assert!(!uart.irq_line(), "it rises once");
        }
    }

    #[test]
    fn after_a_restore_the_queue_is_as_it_is() {
        let (mut uart, mut line) = uart(LCR_H_FEN, 2);
        uart.write(offset::IMSC, interrupt::TX, &mut line);
        line.room = 1;
        uart.write(offset::DR, 0, &mut line);
        let saved = uart;
        (1..=16).for_each(|byte| uart.write(offset::DR, byte, &mut line));
        let full = uart;
        uart = saved;
        assert!(uart.is_interrupted_by_console() && uart.irq_line());
        uart.pull_input(&mut line);
        assert!(!uart.irq_line(), "its driver would send eight");
        line.send(16);
        uart = full;
        assert!(uart.is_interrupted_by_console() && !uart.irq_line());
        uart.pull_input(&mut line);
        assert!(uart.irq_line());
    }

    proptest! {
        /// As Linux does: at first as many as FR allows, then eight at each interrupt, without a look at FR.
        #[test]
        fn no_driver_loses_output(total in 0..200u32, speeds in vec(0..20usize, 1..30)) {
            let (mut uart, mut line) = uart(LCR_H_FEN, 2);
            let mut bytes = 0..total;
            while uart.read(offset::FR, &mut line) & flag::TXFF == 0
                && let Some(byte) = bytes.next()
            {
                uart.write(offset::DR, byte & 0xff, &mut line);
            }
            uart.write(offset::IMSC, interrupt::TX, &mut line);
            // In the end the line is fast.
            for speed in speeds.into_iter().chain(repeat_n(16, total as usize + 1)) {
                if uart.irq_line() {
                    let some = bytes.by_ref().take(8);
                    some.for_each(|byte| uart.write(offset::DR, byte & 0xff, &mut line));
                }
                line.send(speed);
                uart.pull_input(&mut line);
            }
            let all: Vec<u8> = (0..total).map(|byte| byte as u8).collect();
            prop_assert_eq!(line.sent, all);
        }
    }
}
