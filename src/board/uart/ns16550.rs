//! UARTs like the 16550 (Texas Instruments PC16550D): the 16550A itself, Synopsys' DesignWare APB UART, and the Raspberry Pi's mini-UART
//! (BCM2711 ARM Peripherals, 2.2, with its errata: what the 16550 has in a place is what the mini-UART has there).

use core::sync::atomic::{AtomicBool, Ordering};

use super::{Driver, Kind, Open, Registers};
use crate::board::tree::Device;

// Registers, by their number.
/// RBR when read, THR when written; the divisor's lower half with LCR.DLAB.
const DATA: u64 = 0;
/// The divisor's upper half with LCR.DLAB.
const IER: u64 = 1;
/// IIR when read, FCR when written.
const IIR: u64 = 2;
const LCR: u64 = 3;
const MCR: u64 = 4;
const LSR: u64 = 5;
/// DesignWare: reading it ends [`IIR_BUSY`].
const USR: u64 = 31;

const IER_RECEIVED: u32 = 1 << 0;
const IER_EMPTY: u32 = 1 << 1;
/// Of the line's errors. The mini-UART wants it set for [`IER_RECEIVED`].
const IER_LINE: u32 = 1 << 2;
const IIR_SOURCE: u32 = 0xf;
/// DesignWare: LCR was written while the UART was busy.
const IIR_BUSY: u32 = 0x7;
/// Characters wait for long.
const IIR_TIMEOUT: u32 = 0xc;
/// 0 in a 16550.
const IIR_ZERO: u32 = 1 << 4;
const IIR_FIFOS: u32 = 0b11 << 6;
/// FIFOs on, interrupt at the first character.
const FCR_ON: u32 = 1 << 0;
const LCR_8_BITS: u32 = 0b11;
const LCR_DLAB: u32 = 1 << 7;
/// DTR, RTS, and OUT2, which lets interrupts out where a board has that gate.
const MCR_READY: u32 = 1 << 0 | 1 << 1 | 1 << 3;
const LSR_RECEIVED: u32 = 1 << 0;
const LSR_OVERRUN: u32 = 1 << 1;
/// The transmit FIFO is empty; in the mini-UART, it has room.
const LSR_ROOM: u32 = 1 << 5;
const LSR_IDLE: u32 = 1 << 6;

// The mini-UART's block, by offset.
/// AUX_ENABLES: bit 0 is the mini-UART. Without it the other registers do not answer.
const AUX_ENABLES: u64 = 0x04;
/// The block also has two SPI masters.
const AUX_ALL: u32 = 0b111;
/// Bytes of the block in front of the mini-UART's own registers.
const AUX_BEFORE: u64 = 0x40;
const AUX_MU_CNTL: u64 = AUX_BEFORE + 0x20;
const AUX_MU_CNTL_ON: u32 = 0b11;
/// The divisor, less 1, of an eighth of the clock.
const AUX_MU_BAUD: u64 = AUX_BEFORE + 0x28;
/// Its clock is that of the board's VPU, which no tree tells: the Raspberry Pi 4's as the firmware leaves it.
const AUX_CLOCK: u64 = 500_000_000;

/// The speed of a UART that nobody has set up.
const BAUD: u64 = 115_200;
/// Characters that the transmit FIFO takes when it is empty: the 16550's has so many, others more.
const FIFO: usize = 16;
/// Looks at a UART that should become idle: a character takes a millisecond at worst, and the FIFO has 128 at most.
const TRIES: u32 = 1_000_000;

/// Where registers are: at multiples of some power of two, as bytes or words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    shift: u32,
    words: bool,
}

impl Layout {
    /// One byte behind the other.
    pub const CLOSE: Self = Self {
        shift: 0,
        words: false,
    };
    /// One word behind the other.
    const WORDS: Self = Self {
        shift: 2,
        words: true,
    };

    /// What the tree says of a device (`reg-shift`: Devicetree Specification 0.4, 4.2.2; `reg-io-width`, 1 if it is left out). `None` for something that is not known here.
    pub fn of(device: &Device) -> Option<Self> {
        let shift = device.number("reg-shift").unwrap_or(0);
        let words = match device.number("reg-io-width") {
            None | Some(1) => false,
            Some(4) if shift >= 2 => true,
            Some(_) => return None,
        };
        let starts_later = device.number("reg-offset").unwrap_or(0) != 0;
        let is_known = shift <= 4 && !starts_later && device.number("big-endian").is_none();
        is_known.then_some(Self {
            shift: shift as u32,
            words,
        })
    }

    /// The offset of what is at `offset` where registers are [`CLOSE`](Self::CLOSE).
    pub fn place(self, offset: u64) -> u64 {
        offset << self.shift
    }
}

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// The 16550A.
    Ns16550,
    /// The DesignWare APB UART.
    DesignWare,
    /// The mini-UART.
    Mini,
}

/// A UART like the 16550.
#[derive(Debug, Clone, Copy)]
pub struct Ns16550<R> {
    registers: R,
    model: Model,
    layout: Layout,
    /// The offset of the first register.
    first: u64,
    /// Characters that may be sent when [`LSR_ROOM`] is set.
    fifo: usize,
    /// LSR says it once, to whoever reads it next, for whatever reason.
    lost: &'static AtomicBool,
}

pub(super) const KIND: Kind = Kind {
    compatible: "ns16550a",
    before: 0,
    size: LSR + 1,
    answers_at: LSR,
    model: super::Model::Ns16550(Model::Ns16550),
};

pub(super) const DESIGNWARE: Kind = Kind {
    compatible: "snps,dw-apb-uart",
    size: USR + 1,
    model: super::Model::Ns16550(Model::DesignWare),
    ..KIND
};

pub(super) const MINI: Kind = Kind {
    compatible: "brcm,bcm2835-aux-uart",
    before: AUX_BEFORE,
    size: 0x2c,
    answers_at: AUX_ENABLES,
    model: super::Model::Ns16550(Model::Mini),
};

impl<R: Registers> Ns16550<R> {
    /// One that is not open, of this model.
    pub(super) fn new(registers: R, with: &Open, model: Model) -> Self {
        let (layout, first) = match model {
            Model::Mini => (Layout::WORDS, AUX_BEFORE),
            _ => (with.layout, 0),
        };
        Self {
            registers,
            model,
            layout,
            first,
            fifo: 1,
            lost: with.lost,
        }
    }

    #[inline(never)]
    fn read(&self, register: u64) -> u32 {
        let at = self.first + self.layout.place(register);
        match self.layout.words {
            true => self.registers.read(at),
            false => self.registers.read8(at).into(),
        }
    }

    #[inline(never)]
    fn write(&self, register: u64, value: u32) {
        let at = self.first + self.layout.place(register);
        match self.layout.words {
            true => self.registers.write(at, value),
            false => self.registers.write8(at, value as u8),
        }
    }

    /// Whether what is there looks like one: it has no registers that identify it. Nothing reads as all ones or all zeros.
    pub(super) fn is_there(&self) -> bool {
        if self.model == Model::Mini {
            return self.registers.read(AUX_ENABLES) & !AUX_ALL == 0;
        }
        let (lsr, iir) = (self.read(LSR) & 0xff, self.read(IIR) & 0xff);
        lsr != 0xff && iir & IIR_ZERO == 0 && (lsr != 0 || iir != 0)
    }

    /// Takes the UART over, at the speed at which the firmware left it, as the firmware itself prints there. One that was not set to 8 bits was
    /// not set up: it gets a speed out of the clock, if the tree tells.
    pub(super) fn open(mut self, with: &Open) -> Self {
        if self.model == Model::Mini {
            self.open_mini();
            return self;
        }
        let line_control = self.read(LCR);
        if line_control & LCR_DLAB != 0 {
            self.write_line_control(line_control & !LCR_DLAB);
        }
        self.write(IER, 0);
        if line_control & LCR_8_BITS != LCR_8_BITS {
            if let Some(clock) = with.clock {
                let divisor = ((clock / 16 + BAUD / 2) / BAUD).clamp(1, 0xffff) as u32;
                self.write_line_control(LCR_DLAB | LCR_8_BITS);
                self.write(DATA, divisor & 0xff);
                self.write(IER, divisor >> 8);
            }
            self.write_line_control(LCR_8_BITS);
        }
        self.write(IIR, FCR_ON);
        self.write(MCR, self.read(MCR) | MCR_READY);
        if self.read(IIR) & IIR_FIFOS == IIR_FIFOS {
            self.fifo = FIFO;
        }
        self
    }

    /// The DesignWare takes no LCR while it sends or receives.
    fn write_line_control(&self, value: u32) {
        let _ = (0..TRIES).any(|_| self.line_status() & LSR_IDLE != 0);
        self.write(LCR, value);
        self.end_stale_interrupt();
    }

    /// The same for the mini-UART.
    fn open_mini(&self) {
        let aux = self.registers;
        let enabled = aux.read(AUX_ENABLES) & AUX_ALL;
        if enabled & 1 == 0 {
            aux.write(AUX_ENABLES, enabled | 1);
        }
        if aux.read(AUX_MU_BAUD) & 0xffff == 0 {
            aux.write(AUX_MU_BAUD, (AUX_CLOCK / 8 / BAUD) as u32 - 1);
        }
        // With LCR.DLAB the next one would be part of the divisor.
        self.write(LCR, LCR_8_BITS);
        self.write(IER, 0);
        aux.write(AUX_MU_CNTL, AUX_MU_CNTL_ON);
    }

    /// LSR, whose errors are gone when it has been read.
    fn line_status(&self) -> u32 {
        let status = self.read(LSR);
        if status & LSR_OVERRUN != 0 {
            self.lost.store(true, Ordering::Relaxed);
        }
        status
    }
}

impl<R: Registers> Driver for Ns16550<R> {
    fn send_some(&self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() && self.line_status() & LSR_ROOM != 0 {
            let burst = bytes[sent..].iter().take(self.fifo);
            burst.for_each(|byte| self.write(DATA, (*byte).into()));
            sent = bytes.len().min(sent + self.fifo);
        }
        sent
    }

    fn receive(&self) -> Option<u8> {
        (self.line_status() & LSR_RECEIVED != 0).then(|| self.read(DATA) as u8)
    }

    fn take_overrun(&self) -> bool {
        // Without exclusives, which need memory that is cached, for a start that fails.
        let lost = self.lost.load(Ordering::Relaxed);
        if lost {
            self.lost.store(false, Ordering::Relaxed);
        }
        lost
    }

    fn set_interrupts(&self, input: bool, output: bool) {
        let input = if input { IER_RECEIVED | IER_LINE } else { 0 };
        let output = if output { IER_EMPTY } else { 0 };
        self.write(IER, input | output);
    }

    fn end_stale_interrupt(&self) {
        if self.model != Model::DesignWare {
            return;
        }
        match self.read(IIR) & IIR_SOURCE {
            IIR_BUSY => {
                self.read(USR);
            }
            // It may time out with nothing there, until that is read.
            IIR_TIMEOUT if self.line_status() & LSR_RECEIVED == 0 => {
                self.read(DATA);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
