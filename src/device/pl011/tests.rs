//! The registers one by one, and that no driver loses input.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
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

    fn abandon_sequence(&mut self) {}

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
    uart.pull_input(&mut terminal);
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
    uart.pull_input(&mut terminal);
    assert!(uart.irq_line());
    assert_eq!(uart.read(offset::MIS, &mut terminal), interrupt::RX);
    assert_eq!(uart.read(offset::RIS, &mut terminal), interrupt::RECEIVE);
    uart.read(offset::DR, &mut terminal);
    assert!(!uart.irq_line(), "reading the last character lowers it");
    assert_eq!(uart.read(offset::RIS, &mut terminal), 0);
}

#[test]
fn emptying_the_fifo_brings_what_waits() {
    for (fifos, text) in [(0, "abc"), (LCR_H_FEN, "0123456789abcdefG")] {
        let (mut uart, mut terminal) = typed(text);
        uart.write(offset::LCR_H, fifos, &mut terminal);
        assert_eq!(terminal.typed.len(), text.len(), "nobody waits for it");
        uart.write(offset::IMSC, interrupt::RX, &mut terminal);
        for byte in text.bytes() {
            assert!(uart.irq_line(), "nobody polls for {byte}");
            assert_eq!(uart.read(offset::DR, &mut terminal), u32::from(byte));
        }
        assert!(!uart.irq_line());
    }
}

#[test]
fn what_icr_leaves() {
    let (mut uart, mut terminal) = typed("abcd");
    uart.write(offset::LCR_H, LCR_H_FEN, &mut terminal);
    uart.pull_input(&mut terminal);
    let mut clear = |bits, read| {
        if read {
            assert_ne!(uart.read(offset::DR, &mut terminal), 0);
        }
        uart.write(offset::ICR, bits, &mut terminal);
        uart.read(offset::RIS, &mut terminal)
    };
    assert_eq!(clear(interrupt::TX, false), interrupt::RECEIVE);
    assert_eq!(clear(interrupt::RX, false), interrupt::RT, "not idle yet");
    assert_eq!(clear(interrupt::ALL, false), 0, "the driver does not care");
    let left = "one was taken and there are more";
    assert_eq!(clear(interrupt::ALL, true), interrupt::RECEIVE, "{left}");
    assert_eq!(clear(interrupt::RX, false), interrupt::RT);
    assert_eq!(clear(interrupt::RT, true), interrupt::RECEIVE, "{left}");
    assert_eq!(clear(0, true), interrupt::RECEIVE);
    assert_eq!(clear(interrupt::ALL, true), 0, "it was the last");
}

#[test]
fn loopback_stays_inside() {
    let (mut uart, mut terminal) = typed("typed");
    uart.write(offset::CR, CR_LBE | 0x301, &mut terminal);
    uart.write(offset::DR, 0x55, &mut terminal);
    uart.pull_input(&mut terminal);
    assert_eq!(uart.read(offset::DR, &mut terminal), 0x55);
    assert_eq!(uart.read(offset::DR, &mut terminal), 0);
    assert!(terminal.printed.is_empty());
    uart.write(offset::ICR, interrupt::ALL, &mut terminal);
    uart.write(offset::IMSC, interrupt::RT, &mut terminal);
    assert!(!uart.irq_line());
    uart.write(offset::CR, 0x301, &mut terminal);
    assert!(uart.irq_line(), "what was typed meanwhile");
    assert_eq!(uart.read(offset::DR, &mut terminal), u32::from(b't'));
}

#[test]
fn loopback_overruns() {
    let (mut uart, mut terminal) = typed("");
    uart.write(offset::CR, CR_LBE, &mut terminal);
    for byte in [1, 2] {
        assert_eq!(uart.read(offset::RSR, &mut terminal), 0);
        uart.write(offset::DR, byte, &mut terminal);
    }
    let raised = interrupt::RECEIVE | interrupt::TX | interrupt::OE;
    assert_eq!(uart.read(offset::RIS, &mut terminal), raised);
    assert_eq!(uart.read(offset::DR, &mut terminal), DR_OE | 1);
    uart.write(offset::DR, 3, &mut terminal);
    assert_eq!(uart.read(offset::DR, &mut terminal), 3);
    assert_eq!(uart.read(offset::RSR, &mut terminal), RSR_OE);
    uart.write(offset::RSR, 0, &mut terminal);
    assert_eq!(uart.read(offset::RSR, &mut terminal), 0);
}

#[test]
fn loopback_connects_the_modem_lines() {
    let (mut uart, mut terminal) = typed("");
    const IDLE: u32 = flag::TXFE | flag::RXFE;
    for (control, flags, raised) in [
        (0x3c00, 0, 0),
        (0x0480, flag::DSR, interrupt::DSR),
        (0x0880, flag::CTS, interrupt::DSR | interrupt::CTS),
        (0x1880, flag::CTS | flag::DCD, interrupt::DCD),
        (0x3880, flag::CTS | flag::DCD | flag::RI, interrupt::RI),
        (0x3880, flag::CTS | flag::DCD | flag::RI, 0),
        (0, 0, interrupt::CTS | interrupt::DCD | interrupt::RI),
    ] {
        uart.write(offset::CR, control, &mut terminal);
        let seen = uart.read(offset::FR, &mut terminal);
        assert_eq!(seen, IDLE | flags, "{control:#x}");
        assert_eq!(uart.read(offset::RIS, &mut terminal), raised);
        uart.write(offset::ICR, interrupt::ALL, &mut terminal);
    }
}

#[test]
fn a_copy_is_a_snapshot() {
    let (mut uart, mut terminal) = typed("ab");
    uart.write(offset::LCR_H, 0x70, &mut terminal);
    uart.pull_input(&mut terminal);
    let saved = uart;
    assert_eq!(uart.read(offset::DR, &mut terminal), u32::from(b'a'));
    uart = saved;
    assert_eq!(uart.read(offset::DR, &mut terminal), u32::from(b'a'));
}

/// How drivers take their input when they are interrupted.
#[derive(Clone, Copy, Debug)]
enum Driver {
    /// Reads until FR says that there is nothing, as Linux does.
    Drains,
    /// The same, and clears its interrupts at the end.
    DrainsThenClears,
    /// Clears its interrupts first.
    ClearsThenDrains,
    /// Takes one character.
    TakesOne,
    /// Takes one character, and clears its interrupts.
    TakesOneThenClears,
    /// Clears its interrupts; the characters are for a thread, later.
    Defers,
}

const DRIVERS: [Driver; 6] = [
    Driver::Drains,
    Driver::DrainsThenClears,
    Driver::ClearsThenDrains,
    Driver::TakesOne,
    Driver::TakesOneThenClears,
    Driver::Defers,
];

/// A driver and the person at its keyboard, who types before any of its accesses.
struct Session {
    uart: Pl011,
    terminal: Terminal,
    /// What is typed before the accesses to come, and how much of it was.
    typing: VecDeque<u8>,
    typed: usize,
    got: usize,
}

impl Session {
    fn type_some(&mut self) {
        for _ in 0..self.typing.pop_front().unwrap_or(0) {
            self.terminal.typed.push_back(self.typed as u8);
            self.typed += 1;
        }
        self.uart.pull_input(&mut self.terminal);
    }

    fn read(&mut self, offset: u64) -> u32 {
        self.type_some();
        self.uart.read(offset, &mut self.terminal)
    }

    fn clear(&mut self) {
        self.type_some();
        self.uart
            .write(offset::ICR, interrupt::ALL, &mut self.terminal);
    }

    fn take(&mut self) {
        assert_eq!(self.read(offset::DR), self.got as u32 & 0xff);
        self.got += 1;
    }

    fn drain(&mut self) {
        while self.read(offset::FR) & flag::RXFE == 0 {
            self.take();
        }
    }

    fn interrupt(&mut self, driver: Driver) {
        match driver {
            Driver::Drains => self.drain(),
            Driver::DrainsThenClears => {
                self.drain();
                self.clear();
            }
            Driver::ClearsThenDrains => {
                self.clear();
                self.drain();
            }
            Driver::TakesOne => self.take(),
            Driver::TakesOneThenClears => {
                self.take();
                self.clear();
            }
            Driver::Defers => self.clear(),
        }
    }
}

proptest! {
    #[test]
    fn no_driver_loses_input(
        driver in proptest::sample::select(&DRIVERS[..]),
        mask in proptest::sample::select(&[interrupt::RX, interrupt::RT, interrupt::RECEIVE, interrupt::ALL][..]),
        fifos in any::<bool>(),
        typing in vec(0..20u8, 0..60),
    ) {
        let (uart, terminal) = typed("");
        let total: usize = typing.iter().map(|&n| usize::from(n)).sum();
        let mut session = Session { uart, terminal, typing: typing.into(), typed: 0, got: 0 };
        let terminal = &mut session.terminal;
        session.uart.write(offset::LCR_H, if fifos { LCR_H_FEN } else { 0 }, terminal);
        session.uart.write(offset::IMSC, mask, terminal);
        while !session.typing.is_empty() {
            session.type_some();
            // Two for each character suffice: when it comes, and when it is taken.
            for _ in 0..2 * total + 1 {
                if !session.uart.irq_line() {
                    break;
                }
                session.interrupt(driver);
            }
            prop_assert!(!session.uart.irq_line(), "it never ends");
            if matches!(driver, Driver::Defers) {
                session.drain();
            }
        }
        prop_assert_eq!(session.got, session.typed);
    }
}
