//! The drivers on UARTs that are made up.

use super::super::tests::{
    Fake, FakeRegisters, Hardware, Traffic, keep, loses_nothing, opening, traffic,
};
use super::*;
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::vec::Vec;

/// A UART of one of the models.
struct Fake16550 {
    model: Model,
    shift: u32,
    coming: VecDeque<u8>,
    going: VecDeque<u8>,
    /// Characters that the FIFOs hold.
    depth: usize,
    overrun: bool,
    /// The transmitter became empty, or its interrupt was switched on while it was; until IIR says so.
    empty: bool,
    /// LCR was written while characters were on their way.
    busy: bool,
    /// DesignWare: a timeout with nothing there.
    timeout: bool,
    enabled: u32,
    line_control: u32,
    modem_control: u32,
    divisor: u32,
    fifos: bool,
    aux: u32,
    lost: usize,
}

fn hardware(model: Model, shift: u32) -> Fake16550 {
    Fake16550 {
        model,
        shift,
        coming: VecDeque::new(),
        going: VecDeque::new(),
        depth: if model == Model::Mini { 8 } else { 1 },
        overrun: false,
        empty: false,
        busy: false,
        timeout: false,
        enabled: 0,
        line_control: 0,
        modem_control: 0x20,
        divisor: 0,
        fifos: false,
        aux: 0b110,
        lost: 0,
    }
}

impl Fake16550 {
    fn is_on(&self) -> bool {
        self.model != Model::Mini || self.aux & 1 != 0
    }

    fn has_divisor(&self) -> bool {
        self.line_control & LCR_DLAB != 0
    }

    /// What IIR says, but for its FIFO bits: the most urgent comes first.
    fn source(&self) -> u32 {
        match self.enabled {
            enabled if enabled & IER_LINE != 0 && self.overrun => 0b0110,
            enabled if enabled & IER_RECEIVED != 0 && !self.coming.is_empty() => 0b0100,
            enabled if enabled & IER_RECEIVED != 0 && self.timeout => 0b1100,
            enabled if enabled & IER_EMPTY != 0 && self.empty => 0b0010,
            _ if self.busy => 0b0111,
            _ => 0b0001,
        }
    }

    fn register(&mut self, number: u64) -> u32 {
        assert!(self.is_on(), "it does not answer");
        match number {
            DATA if self.has_divisor() => self.divisor & 0xff,
            DATA => {
                self.timeout = false;
                self.coming.pop_front().map_or(0xee, u32::from)
            }
            IER if self.has_divisor() => self.divisor >> 8,
            IER => self.enabled,
            IIR => {
                let source = self.source();
                self.empty &= source != 0b0010;
                source | if self.fifos { IIR_FIFOS } else { 0 }
            }
            LCR => self.line_control,
            MCR => self.modem_control,
            LSR => {
                let room = match self.model {
                    Model::Mini => self.going.len() < self.depth,
                    _ => self.going.is_empty(),
                };
                let overrun = core::mem::take(&mut self.overrun);
                u32::from(!self.coming.is_empty())
                    | u32::from(overrun) << 1
                    | u32::from(room) << 5
                    | u32::from(self.going.is_empty()) << 6
            }
            USR if self.model == Model::DesignWare => {
                self.busy = false;
                0
            }
            _ => panic!("register {number} is read"),
        }
    }

    fn set_register(&mut self, number: u64, value: u32) {
        assert!(self.is_on(), "it does not answer");
        match number {
            DATA if self.has_divisor() => self.divisor = self.divisor & 0xff00 | value,
            IER if self.has_divisor() => self.divisor = self.divisor & 0xff | value << 8,
            DATA if self.going.len() == self.depth => self.lost += 1,
            DATA => {
                self.going.push_back(value as u8);
                self.empty = false;
            }
            IER => {
                let new = value & !self.enabled;
                self.empty |= new & IER_EMPTY != 0 && self.going.is_empty();
                self.enabled = value;
            }
            IIR => {
                assert_eq!(value, FCR_ON, "nothing is thrown away");
                (self.fifos, self.depth) = (true, 16);
            }
            LCR if self.model == Model::DesignWare && !self.going.is_empty() => self.busy = true,
            LCR => self.line_control = value,
            MCR => self.modem_control = value,
            _ => panic!("register {number} is written"),
        }
    }
}

impl FakeRegisters for Fake16550 {
    fn read(&mut self, offset: u64) -> u32 {
        match (self.model, offset) {
            (Model::Mini, AUX_ENABLES) => self.aux,
            (Model::Mini, AUX_MU_BAUD) => self.divisor,
            (Model::Mini, _) => self.register((offset - AUX_BEFORE) / 4),
            _ => {
                assert_eq!(offset >> self.shift << self.shift, offset);
                self.register(offset >> self.shift)
            }
        }
    }

    fn write(&mut self, offset: u64, value: u32) {
        match (self.model, offset) {
            (Model::Mini, AUX_ENABLES) => self.aux = value,
            (Model::Mini, AUX_MU_BAUD) => self.divisor = value,
            (Model::Mini, AUX_MU_CNTL) => assert_eq!(value, AUX_MU_CNTL_ON),
            (Model::Mini, _) => self.set_register((offset - AUX_BEFORE) / 4, value),
            _ => self.set_register(offset >> self.shift, value),
        }
    }
}

impl Hardware for Fake16550 {
    fn irq(&self) -> bool {
        self.source() & 1 == 0 || self.source() == 0b0111
    }

    fn come(&mut self, byte: u8) {
        match self.has_room() {
            true => self.coming.push_back(byte),
            false => self.overrun = true,
        }
    }

    fn has_room(&self) -> bool {
        self.coming.len() < self.depth
    }

    fn leave(&mut self, count: usize) -> Vec<u8> {
        let before = self.going.len();
        let left = self.going.drain(..count.min(before)).collect();
        self.empty |= before > 0 && self.going.is_empty();
        left
    }

    fn lost(&self) -> usize {
        self.lost
    }
}

/// A UART of this model that is opened, with registers as bytes or as words.
fn uart(
    hardware: Fake16550,
    words: bool,
    clock: Option<u64>,
) -> (Ns16550<Fake>, &'static RefCell<Fake16550>) {
    let (model, shift) = (hardware.model, hardware.shift);
    let hardware = keep(hardware);
    let registers = Fake::new(0x1000, 0x400, hardware);
    let registers = match words || model == Model::Mini {
        true => registers,
        false => registers.of_bytes(),
    };
    let with = Open {
        layout: Layout { shift, words },
        ..opening(clock)
    };
    let uart = Ns16550::new(registers, &with, model);
    assert!(uart.is_there());
    (uart.open(&with), hardware)
}

const LAYOUTS: [(Model, u32, bool); 6] = [
    (Model::Ns16550, 0, false),
    (Model::Ns16550, 2, false),
    (Model::Ns16550, 2, true),
    (Model::DesignWare, 2, true),
    (Model::DesignWare, 2, false),
    (Model::Mini, 0, false),
];

#[test]
fn one_that_nobody_set_up_is_set_up() {
    for (model, shift, words) in LAYOUTS {
        let (_, hardware) = uart(hardware(model, shift), words, Some(1_843_200));
        let hardware = hardware.borrow();
        assert_eq!(hardware.line_control, LCR_8_BITS);
        match model {
            Model::Mini => assert_eq!((hardware.aux, hardware.divisor), (0b111, 541)),
            _ => {
                assert_eq!((hardware.divisor, hardware.fifos), (1, true));
                assert_eq!(hardware.modem_control, 0x20 | MCR_READY);
            }
        }
        assert_eq!((hardware.enabled, hardware.lost), (0, 0));
    }
}

#[test]
fn the_speed_is_the_firmwares() {
    for (model, shift, words) in LAYOUTS {
        for (line_control, clock) in [
            (LCR_8_BITS, Some(24_000_000)),
            (LCR_8_BITS, None),
            (LCR_8_BITS | LCR_DLAB, Some(24_000_000)),
        ] {
            let firmware = Fake16550 {
                aux: 1,
                divisor: 0x1234,
                line_control,
                enabled: 0xf,
                ..hardware(model, shift)
            };
            let (_, hardware) = uart(firmware, words, clock);
            let hardware = hardware.borrow();
            assert_eq!((hardware.divisor, hardware.enabled), (0x1234, 0));
            assert_eq!(hardware.line_control, LCR_8_BITS);
        }
    }
}

#[test]
fn nothing_looks_like_one() {
    struct Always(u32);
    impl FakeRegisters for Always {
        fn read(&mut self, _: u64) -> u32 {
            self.0
        }
        fn write(&mut self, _: u64, _: u32) {}
    }
    for value in [0, u32::MAX] {
        let registers = Fake::new(0, 0x400, keep(Always(value)));
        let is_there = |registers, model| Ns16550::new(registers, &opening(None), model).is_there();
        for model in [Model::Ns16550, Model::DesignWare] {
            assert!(!is_there(registers.of_bytes(), model));
        }
        assert_eq!(is_there(registers, Model::Mini), value == 0);
    }
}

#[test]
fn what_was_lost_is_said_once_whoever_reads_the_status() {
    for (model, shift, words) in LAYOUTS {
        let (uart, hardware) = uart(hardware(model, shift), words, None);
        let port: &dyn Driver = &uart;
        port.set_interrupts(true, false);
        let depth = hardware.borrow().depth;
        (0..=depth).for_each(|byte| hardware.borrow_mut().come(byte as u8));
        assert!(hardware.borrow().irq());
        assert_eq!(port.send_some(b"x"), 1);
        let came = std::iter::from_fn(|| port.receive());
        assert!(came.eq((0..depth).map(|byte| byte as u8)));
        assert!(port.take_overrun() && !port.take_overrun());
        assert!(!hardware.borrow().irq());
        port.set_interrupts(false, false);
        hardware.borrow_mut().come(1);
        assert!(!hardware.borrow().irq());
    }
}

#[test]
fn a_designware_is_not_left_with_an_interrupt_that_nothing_ends() {
    let (uart, hardware) = uart(hardware(Model::DesignWare, 2), true, None);
    let port: &dyn Driver = &uart;
    port.set_interrupts(true, false);
    for (busy, timeout) in [(true, false), (false, true)] {
        {
            let mut hardware = hardware.borrow_mut();
            (hardware.busy, hardware.timeout) = (busy, timeout);
            assert!(hardware.irq());
        }
        port.end_stale_interrupt();
        assert!(!hardware.borrow().irq());
    }
    // With something there it is not stale, and is not taken.
    hardware.borrow_mut().come(7);
    hardware.borrow_mut().timeout = true;
    port.end_stale_interrupt();
    assert_eq!(port.receive(), Some(7));
}

/// Whoever waits for room gets it byte by byte, and a UART that is dead is given up.
#[test]
fn the_console_waits_for_room() {
    let (uart, hardware) = uart(hardware(Model::Mini, 0), false, None);
    (0..8).for_each(|byte| uart.send(byte));
    assert_eq!(hardware.borrow_mut().leave(3), [0, 1, 2]);
    (8..11).for_each(|byte| uart.send(byte));
    assert_eq!(hardware.borrow_mut().leave(8), (3..11).collect::<Vec<u8>>());
    assert_eq!(hardware.borrow().lost, 0);
}

proptest! {
    #[test]
    fn a_line_loses_nothing(which in 0..LAYOUTS.len(), traffic in traffic()) {
        let (model, shift, words) = LAYOUTS[which];
        let (uart, hardware) = uart(hardware(model, shift), words, None);
        let traffic: Traffic = traffic;
        loses_nothing(&uart, hardware, traffic)?;
    }
}
