//! The PL011 UART (Arm DDI 0183, PrimeCell UART r1p5), as a VM sees it.
//!
//! Sending takes no time, so the transmit FIFO is always empty. Characters typed are taken from the console when the
//! guest looks and finds nothing, or when [`Pl011::poll`] is called because the console has something. Neither direction
//! needs CR.UARTEN: early consoles print before they set it, and many kernels never do. Baud rate, parity and the DMA
//! and modem signals are remembered and have no effect.

use super::Console;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Characters that the receive FIFO holds, when LCR_H.FEN enables it; one otherwise.
const FIFO_DEPTH: usize = 16;

/// The registers, by offset (DDI 0183, table 3-1).
mod offset {
    pub const DR: u64 = 0x000;
    pub const FR: u64 = 0x018;
    pub const ILPR: u64 = 0x020;
    pub const IBRD: u64 = 0x024;
    pub const FBRD: u64 = 0x028;
    pub const LCR_H: u64 = 0x02c;
    pub const CR: u64 = 0x030;
    pub const IFLS: u64 = 0x034;
    pub const IMSC: u64 = 0x038;
    pub const RIS: u64 = 0x03c;
    pub const MIS: u64 = 0x040;
    pub const ICR: u64 = 0x044;
    pub const DMACR: u64 = 0x048;
    /// PeriphID0-3 and PCellID0-3, a byte in each word.
    pub const IDENTIFICATION: u64 = 0xfe0;
}

/// "A PL011, revision 1, by Arm, and a PrimeCell"; Linux binds its driver by it.
const IDENTIFICATION: [u8; 8] = [0x11, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1];

/// FR bits.
mod flag {
    pub const RXFE: u32 = 1 << 4;
    pub const RXFF: u32 = 1 << 6;
    pub const TXFE: u32 = 1 << 7;
}

/// Bits of RIS, MIS, IMSC and ICR.
mod interrupt {
    pub const RX: u32 = 1 << 4;
    pub const TX: u32 = 1 << 5;
    pub const ALL: u32 = 0x7ff;
}

/// LCR_H.FEN: the FIFOs are on.
const LCR_H_FEN: u32 = 1 << 4;
/// CR.LBE: what is sent is received, and goes nowhere else.
const CR_LBE: u32 = 1 << 7;

/// The state of a PL011: its registers and what it received. Plain data; a copy of it is a snapshot of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Pl011 {
    /// Received characters; `received` of them from `first` on, round the end.
    fifo: [u8; FIFO_DEPTH],
    first: u32,
    received: u32,
    /// ILPR, IBRD, FBRD, LCR_H, CR, IFLS, IMSC, DMACR: as written.
    low_power: u32,
    baud_integer: u32,
    baud_fraction: u32,
    line_control: u32,
    control: u32,
    fifo_levels: u32,
    mask: u32,
    /// RIS: interrupts that stand, enabled or not.
    raw: u32,
    dma_control: u32,
    /// Makes it 64 bytes, which are copied faster than 60.
    reserved: u32,
}

impl Default for Pl011 {
    /// As after reset.
    fn default() -> Self {
        Self {
            fifo: [0; FIFO_DEPTH],
            first: 0,
            received: 0,
            low_power: 0,
            baud_integer: 0,
            baud_fraction: 0,
            line_control: 0,
            control: 0x300,
            fifo_levels: 0x12,
            mask: 0,
            raw: 0,
            dma_control: 0,
            reserved: 0,
        }
    }
}

impl Pl011 {
    /// Reads the register at `offset`, a multiple of 4; 0 where there is none.
    #[inline]
    pub fn read(&mut self, offset: u64, console: &mut impl Console) -> u32 {
        if offset == offset::FR {
            self.flags(console)
        } else {
            self.read_other(offset, console)
        }
    }

    fn read_other(&mut self, offset: u64, console: &mut impl Console) -> u32 {
        match offset {
            offset::DR => self.receive(console),
            offset::ILPR => self.low_power,
            offset::IBRD => self.baud_integer,
            offset::FBRD => self.baud_fraction,
            offset::LCR_H => self.line_control,
            offset::CR => self.control,
            offset::IFLS => self.fifo_levels,
            offset::IMSC => self.mask,
            offset::RIS => self.raw,
            offset::MIS => self.raw & self.mask,
            offset::DMACR => self.dma_control,
            offset::IDENTIFICATION.. => {
                let index = (offset - offset::IDENTIFICATION) / 4;
                IDENTIFICATION
                    .get(index as usize)
                    .copied()
                    .map_or(0, u32::from)
            }
            // RSR: nothing that was received here ever had an error. ICR is write-only.
            _ => 0,
        }
    }

    /// Writes the register at `offset`, a multiple of 4; ignored where there is none.
    #[inline]
    pub fn write(&mut self, offset: u64, value: u32, console: &mut impl Console) {
        if offset == offset::DR {
            self.send(value as u8, console)
        } else {
            self.write_other(offset, value)
        }
    }

    fn write_other(&mut self, offset: u64, value: u32) {
        match offset {
            offset::ILPR => self.low_power = value & 0xff,
            offset::IBRD => self.baud_integer = value & 0xffff,
            offset::FBRD => self.baud_fraction = value & 0x3f,
            offset::LCR_H => {
                if (value ^ self.line_control) & LCR_H_FEN != 0 {
                    self.received = 0;
                    self.raw &= !interrupt::RX;
                }
                self.line_control = value & 0xff;
            }
            offset::CR => self.control = value & 0xff87,
            offset::IFLS => self.fifo_levels = value & 0x3f,
            offset::IMSC => self.mask = value & interrupt::ALL,
            offset::ICR => self.raw &= !value,
            offset::DMACR => self.dma_control = value & 7,
            // ECR clears errors, of which there are none. FR, RIS, MIS and the identification are read-only.
            _ => {}
        }
    }

    /// Whether the interrupt line is up (UARTINTR, level-sensitive).
    #[inline]
    pub fn irq_line(&self) -> bool {
        self.raw & self.mask != 0
    }

    /// Takes what was typed from the console, as much as the FIFO holds. The rest stays with the console.
    pub fn poll(&mut self, console: &mut impl Console) {
        while self.received < self.depth() {
            match console.get() {
                Some(byte) => self.push(byte),
                None => break,
            }
        }
    }

    #[inline]
    fn flags(&mut self, console: &mut impl Console) -> u32 {
        if self.received == 0 {
            self.poll(console);
        }
        match self.received {
            0 => flag::TXFE | flag::RXFE,
            n if n >= self.depth() => flag::TXFE | flag::RXFF,
            _ => flag::TXFE,
        }
    }

    #[inline]
    fn send(&mut self, byte: u8, console: &mut impl Console) {
        if self.control & CR_LBE == 0 {
            console.put(byte);
        } else if self.received < self.depth() {
            self.push(byte);
        }
        // The FIFO filled above its level and fell below it again at once.
        self.raw |= interrupt::TX;
    }

    /// DR: the oldest character, its error bits 0; 0 when there is none.
    fn receive(&mut self, console: &mut impl Console) -> u32 {
        if self.received == 0 {
            self.poll(console);
        }
        if self.received == 0 {
            return 0;
        }
        let byte = self.fifo[self.first as usize % FIFO_DEPTH];
        self.first = self.first.wrapping_add(1) % FIFO_DEPTH as u32;
        self.received -= 1;
        if self.received == 0 {
            self.raw &= !interrupt::RX;
        }
        u32::from(byte)
    }

    /// The receive interrupt rises with every character, whatever level IFLS names: so there is no timeout to wait
    /// for when a few are below it. The caller checked that there is room.
    fn push(&mut self, byte: u8) {
        self.fifo[self.first.wrapping_add(self.received) as usize % FIFO_DEPTH] = byte;
        self.received += 1;
        self.raw |= interrupt::RX;
    }

    #[inline]
    fn depth(&self) -> u32 {
        if self.line_control & LCR_H_FEN != 0 {
            FIFO_DEPTH as u32
        } else {
            1
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::vec::Vec;

    /// A console that remembers.
    #[derive(Default)]
    pub struct Terminal {
        pub printed: Vec<u8>,
        pub typed: VecDeque<u8>,
    }

    impl Console for Terminal {
        fn put(&mut self, byte: u8) {
            self.printed.push(byte);
        }

        fn get(&mut self) -> Option<u8> {
            self.typed.pop_front()
        }
    }

    fn typed(text: &str) -> (Pl011, Terminal) {
        (
            Pl011::default(),
            Terminal {
                typed: text.bytes().collect(),
                ..Default::default()
            },
        )
    }

    #[test]
    fn prints_before_anything_is_set_up() {
        let (mut uart, mut terminal) = typed("");
        for _ in 0..2 {
            assert_eq!(
                uart.read(offset::FR, &mut terminal),
                flag::TXFE | flag::RXFE
            );
            uart.write(offset::DR, u32::from(b'A'), &mut terminal);
        }
        assert_eq!(terminal.printed, b"AA");
    }

    #[test]
    fn reads_back_what_reset_and_drivers_set() {
        let (mut uart, mut terminal) = typed("");
        for (offset, reset, kept) in [
            (offset::ILPR, 0, 0xff),
            (offset::IBRD, 0, 0xffff),
            (offset::FBRD, 0, 0x3f),
            (offset::LCR_H, 0, 0xff),
            (offset::CR, 0x300, 0xff87),
            (offset::IFLS, 0x12, 0x3f),
            (offset::IMSC, 0, 0x7ff),
            (offset::DMACR, 0, 7),
            (0x004, 0, 0),
            (offset::ICR, 0, 0),
            (0x008, 0, 0),
            (0xfdc, 0, 0),
            (0xfe4, 0x10, 0x10),
        ] {
            assert_eq!(
                uart.read(offset, &mut terminal),
                reset,
                "{offset:#x} after reset"
            );
            uart.write(offset, u32::MAX, &mut terminal);
            assert_eq!(
                uart.read(offset, &mut terminal),
                kept,
                "{offset:#x} after ones"
            );
        }
        let id = |i| uart.read(0xfe0 + 4 * i, &mut terminal) as u8;
        assert_eq!(core::array::from_fn(|i| i as u64).map(id), IDENTIFICATION);
    }

    #[test]
    fn receives_in_order_and_full() {
        let (mut uart, mut terminal) = typed("0123456789abcdefGHI");
        uart.write(offset::LCR_H, 0x70, &mut terminal);
        assert_eq!(
            uart.read(offset::FR, &mut terminal),
            flag::TXFE | flag::RXFF
        );
        assert_eq!(terminal.typed.len(), 3, "the rest waits in the console");
        let mut line = Vec::new();
        while uart.read(offset::FR, &mut terminal) & flag::RXFE == 0 {
            line.push(uart.read(offset::DR, &mut terminal) as u8);
        }
        assert_eq!(line, b"0123456789abcdefGHI");
        assert_eq!(uart.read(offset::DR, &mut terminal), 0);
    }

    #[test]
    fn without_fifos_one_character_fills_it() {
        let (mut uart, mut terminal) = typed("xyz");
        assert_eq!(
            uart.read(offset::FR, &mut terminal),
            flag::TXFE | flag::RXFF
        );
        assert_eq!(terminal.typed.len(), 2);
        assert_eq!(uart.read(offset::DR, &mut terminal), u32::from(b'x'));
        assert_eq!(
            uart.read(offset::DR, &mut terminal),
            u32::from(b'y'),
            "DR alone polls too"
        );
        uart.poll(&mut terminal);
        uart.write(offset::LCR_H, LCR_H_FEN, &mut terminal);
        assert_eq!(
            uart.read(offset::FR, &mut terminal),
            flag::TXFE | flag::RXFE,
            "switching empties it"
        );
    }

    #[test]
    fn interrupts_stand_until_cleared_and_need_their_mask() {
        let (mut uart, mut terminal) = typed("");
        uart.write(offset::IMSC, interrupt::TX | interrupt::RX, &mut terminal);
        assert!(!uart.irq_line(), "nothing was sent yet");
        uart.write(offset::DR, 1, &mut terminal);
        assert!(uart.irq_line());
        uart.write(offset::IMSC, interrupt::RX, &mut terminal);
        assert!(!uart.irq_line());
        assert_eq!(uart.read(offset::RIS, &mut terminal), interrupt::TX);
        assert_eq!(uart.read(offset::MIS, &mut terminal), 0);
        uart.write(offset::ICR, interrupt::TX, &mut terminal);
        assert_eq!(uart.read(offset::RIS, &mut terminal), 0);

        terminal.typed.push_back(b'k');
        uart.poll(&mut terminal);
        assert!(uart.irq_line());
        assert_eq!(uart.read(offset::MIS, &mut terminal), interrupt::RX);
        uart.read(offset::DR, &mut terminal);
        assert!(!uart.irq_line(), "reading the last character lowers it");
    }

    #[test]
    fn loopback_stays_inside() {
        let (mut uart, mut terminal) = typed("");
        uart.write(offset::CR, CR_LBE | 0x301, &mut terminal);
        uart.write(offset::DR, 0x55, &mut terminal);
        assert_eq!(uart.read(offset::DR, &mut terminal), 0x55);
        assert!(terminal.printed.is_empty());
    }

    #[test]
    fn a_copy_is_a_snapshot() {
        let (mut uart, mut terminal) = typed("ab");
        uart.write(offset::LCR_H, 0x70, &mut terminal);
        uart.poll(&mut terminal);
        let saved = uart;
        assert_eq!(uart.read(offset::DR, &mut terminal), u32::from(b'a'));
        uart = saved;
        assert_eq!(uart.read(offset::DR, &mut terminal), u32::from(b'a'));
    }
}
