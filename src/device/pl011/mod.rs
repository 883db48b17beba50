//! The PL011 UART (Arm DDI 0183, PrimeCell UART r1p5), as a VM sees it. Where the manual needs a clock or leaves a choice, it does
//! what QEMU's does.
//!
//! Sending takes no time where the console has no queue, so that the transmit FIFO is always empty. Where it has one, that is the transmit
//! FIFO, which takes [`UNSENT_MAX`] characters, and is full at the first already when LCR_H.FEN is off.
//!
//! Neither direction needs CR.UARTEN, TXE or RXE: early consoles print
//! before they set them, and many kernels never do. Baud rate, parity, flow control and DMA are remembered and have no effect.
//!
//! Nothing that was typed is lost here: characters are taken from the console as the FIFO has room for them, and the rest waits there.
//! They are taken when [`Emulated::pull_input`] is called, as the console has something; when a driver looks and finds nothing; and, for one that
//! waits for an interrupt, when the FIFO has become empty.
//!
//! # Interrupts
//!
//! | RIS | rises | falls, besides by ICR |
//! | --- | --- | --- |
//! | RX, RT | with every character that is received | when the FIFO is empty |
//! | TX | with every character that is sent: the FIFO filled above its level, and was empty again at once; or when the queue falls to that level (IFLS) | when the queue is above it |
//! | OE | when loopback sends into a full FIFO | |
//! | RI, CTS, DCD, DSR | when loopback changes that modem line | |
//! | FE, PE, BE | never | |
//!
//! So a driver need not wait for the FIFO to reach the level in IFLS, nor for the line to be idle for 32 bit periods (RT), whichever
//! of the two it has enabled. Drivers clear these interrupts by ICR at moments when more has come, or with more left than they took.
//! On hardware the timeout comes later and tells them; here, when ICR clears RX or RT and characters wait,
//!
//! - RX and RT are up again if one was taken since the last time, as the driver believes that it took all;
//! - RT is up again if one came since the last time: its 32 bit periods are not over.
//!
//! What a driver leaves alone altogether does not interrupt it again.

mod registers;
mod transmit;

use super::{Console, Emulated, TreeNode};
use registers::{IDENTIFICATION, MODEM_LINES, flag, interrupt, offset};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Characters that the receive FIFO holds, when LCR_H.FEN enables it; one otherwise.
const FIFO_DEPTH: usize = 16;
/// Characters that a console's queue holds, where it has one: as many as the transmit FIFO of the revision that the identification registers name.
pub const UNSENT_MAX: usize = FIFO_DEPTH;

/// RSR.OE and DR.OE: the FIFO was full when something came.
const RSR_OE: u32 = 1 << 3;
const DR_OE: u32 = 1 << 11;

/// What the UART keeps besides its registers.
mod history {
    /// A character came since ICR last cleared RX or RT.
    pub const CAME: u32 = 1 << 0;
    /// One was taken since then.
    pub const TAKEN: u32 = 1 << 1;
    /// RSR.OE, until ECR is written.
    pub const OVERRUN: u32 = 1 << 2;
    /// DR.OE, for the next character that is read.
    pub const OVERRUN_NOW: u32 = 1 << 3;
    /// The console's queue was above the level in IFLS at the last look: TX rises when it is no more.
    pub const ABOVE: u32 = 1 << 4;
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
    /// Bits of [`history`].
    history: u32,
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
            history: 0,
        }
    }
}

impl Emulated for Pl011 {
    const NODE: TreeNode = TreeNode {
        name: "pl011",
        compatible: &["arm,pl011", "arm,primecell"],
        clocks: &["uartclk", "apb_pclk"],
    };

    /// Reads the register at `offset`, a multiple of 4; 0 where there is none. A function of its own, which keeps nothing on the stack for FR.
    #[inline(never)]
    fn read(&mut self, offset: u64, console: &mut impl Console) -> u32 {
        if offset == offset::FR {
            self.read_fr(console)
        } else {
            self.read_other(offset, console)
        }
    }

    /// Writes the register at `offset`, a multiple of 4; ignored where there is none.
    #[inline]
    fn write(&mut self, offset: u64, value: u32, console: &mut impl Console) {
        if offset == offset::DR {
            self.send(value as u8, console);
        } else {
            self.write_other(offset, value);
            self.refill_fifo(console);
        }
    }

    /// Whether the interrupt line is up (UARTINTR, level-sensitive).
    #[inline]
    fn irq_line(&self) -> bool {
        self.raw & self.mask != 0
    }

    /// Takes what was typed from the console, as much as the FIFO holds. The rest stays with the console; so does all of it in
    /// loopback, which cuts the line.
    fn pull_input(&mut self, console: &mut impl Console) {
        self.pull_some(console);
        self.note_unsent(console.unsent());
    }

    #[inline]
    fn is_interrupted_by_console(&self) -> bool {
        self.mask & (interrupt::RECEIVE | interrupt::TX) != 0
    }
}

impl Pl011 {
    /// The same for a driver that looks, which nearly always finds nothing.
    #[inline]
    fn poll_input(&mut self, console: &mut impl Console) {
        if console.may_have_input() {
            self.pull_some(console);
        }
    }

    #[inline(never)]
    fn pull_some(&mut self, console: &mut impl Console) {
        while self.control & CR_LBE == 0 && self.received < self.depth() {
            match console.get() {
                Some(byte) => self.push(byte),
                None => break,
            }
        }
    }

    #[inline(never)]
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
            offset::RSR if self.history & history::OVERRUN != 0 => RSR_OE,
            // ICR is write-only.
            _ => 0,
        }
    }

    fn write_other(&mut self, offset: u64, value: u32) {
        match offset {
            // ECR, with whatever value.
            offset::RSR => self.history &= !history::OVERRUN,
            offset::ILPR => self.low_power = value & 0xff,
            offset::IBRD => self.baud_integer = value & 0xffff,
            offset::FBRD => self.baud_fraction = value & 0x3f,
            offset::LCR_H => {
                if (value ^ self.line_control) & LCR_H_FEN != 0 {
                    self.received = 0;
                    self.raw &= !interrupt::RECEIVE;
                }
                self.line_control = value & 0xff;
            }
            offset::CR => self.write_cr(value & 0xff87),
            offset::IFLS => self.fifo_levels = value & 0x3f,
            offset::IMSC => self.mask = value & interrupt::ALL,
            offset::ICR => self.write_icr(value),
            offset::DMACR => self.dma_control = value & 7,
            // FR, RIS, MIS and the identification are read-only.
            _ => {}
        }
    }

    /// CR: with loopback on, the modem's outputs are its inputs.
    fn write_cr(&mut self, value: u32) {
        let before = self.modem_flags();
        self.control = value;
        let changed = before ^ self.modem_flags();
        for (_, flag, interrupt) in MODEM_LINES {
            if changed & flag != 0 {
                self.raw |= interrupt;
            }
        }
    }

    /// ICR; see the module's documentation for what does not stay cleared.
    fn write_icr(&mut self, value: u32) {
        self.raw &= !value;
        if value & interrupt::RECEIVE != 0 {
            if self.received != 0 {
                self.raw |= match self.history & (history::CAME | history::TAKEN) {
                    0 => 0,
                    history::CAME => interrupt::RT,
                    _ => interrupt::RECEIVE,
                };
            }
            self.history &= !(history::CAME | history::TAKEN);
        }
    }

    /// Takes input into a FIFO that the driver has emptied, if the driver waits for an interrupt to look again.
    fn refill_fifo(&mut self, console: &mut impl Console) {
        if self.mask & interrupt::RECEIVE != 0 && self.received == 0 {
            self.poll_input(console);
        }
    }

    #[inline]
    fn read_fr(&mut self, console: &mut impl Console) -> u32 {
        // A call at the very end: nothing of this one has to be kept for it.
        match console.is_quiet() {
            true => self.flags(),
            false => self.flags_by(console),
        }
    }

    #[cold]
    #[inline(never)]
    fn flags_by(&mut self, console: &mut impl Console) -> u32 {
        if self.received == 0 {
            self.poll_input(console);
        }
        let flags = self.flags();
        match console.unsent() {
            0 => flags,
            unsent => self.transmit_flags(flags, unsent),
        }
    }

    /// FR, with an empty transmit FIFO.
    #[inline]
    fn flags(&self) -> u32 {
        let flags = match self.received {
            0 => flag::TXFE | flag::RXFE,
            n if n >= self.depth() => flag::TXFE | flag::RXFF,
            _ => flag::TXFE,
        };
        flags | self.modem_flags()
    }

    /// The modem's inputs: none is asserted but by loopback.
    #[inline]
    fn modem_flags(&self) -> u32 {
        if self.control & CR_LBE == 0 {
            return 0;
        }
        let asserted = |(output, ..): &(u32, u32, u32)| self.control & output != 0;
        let lines = MODEM_LINES.iter().filter(|line| asserted(line));
        lines.fold(0, |flags, (_, flag, _)| flags | flag)
    }

    #[inline]
    fn send(&mut self, byte: u8, console: &mut impl Console) {
        if self.control & CR_LBE == 0 {
            console.put(byte);
            let unsent = console.unsent();
            if unsent != 0 {
                return self.sent_into_queue(unsent);
            }
            self.history &= !history::ABOVE;
        } else if self.received < self.depth() {
            self.push(byte);
        } else {
            self.history |= history::OVERRUN | history::OVERRUN_NOW;
            self.raw |= interrupt::OE;
        }
        self.raw |= interrupt::TX;
    }

    /// DR: the oldest character with its error bits; 0 when there is none.
    fn receive(&mut self, console: &mut impl Console) -> u32 {
        if self.received == 0 {
            self.poll_input(console);
        }
        if self.received == 0 {
            return 0;
        }
        let byte = self.fifo[self.first as usize % FIFO_DEPTH];
        self.first = self.first.wrapping_add(1) % FIFO_DEPTH as u32;
        self.received -= 1;
        self.history |= history::TAKEN;
        if self.received == 0 {
            self.raw &= !interrupt::RECEIVE;
            self.refill_fifo(console);
        }
        let overrun = self.history & history::OVERRUN_NOW != 0;
        self.history &= !history::OVERRUN_NOW;
        u32::from(byte) | if overrun { DR_OE } else { 0 }
    }

    /// The caller checked that there is room.
    fn push(&mut self, byte: u8) {
        self.fifo[self.first.wrapping_add(self.received) as usize % FIFO_DEPTH] = byte;
        self.received += 1;
        self.history |= history::CAME;
        self.raw |= interrupt::RECEIVE;
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
pub(super) mod tests;
