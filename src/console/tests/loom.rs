//! The hint for who polls, all that cores may see of it: see `vm::tests::loom`. The terminal and the VM's UART are the real ones.

use super::super::Readable;
use super::*;
use crate::arch::Mutex;
use crate::arch::sync::{AtomicBool, AtomicU16, Ordering};
use crate::device::{Console, Emulated, pl011::Pl011};
use crate::fake::sync::yield_now;
use ::loom::thread::JoinHandle;
use std::sync::Arc;

// Of the PL011.
const DR: u64 = 0x00;
const FR: u64 = 0x18;
const IMSC: u64 = 0x38;
const RXFE: u32 = 1 << 4;
const RECEIVE_INTERRUPTS: u32 = 0x50;

/// The console, as `metal` has it for several cores.
struct Desk {
    terminal: Mutex<Terminal>,
    readable: Readable,
    /// The VM was told that it has input.
    announced: AtomicBool,
}

impl Desk {
    fn new() -> Arc<Self> {
        let mut terminal = Terminal::new();
        terminal.set_names(["linux"].into_iter());
        Arc::new(Self {
            terminal: Mutex::new(terminal),
            readable: Readable(AtomicU16::new(Readable::START)),
            announced: AtomicBool::new(false),
        })
    }

    /// What came in is delivered, and then the VM is told.
    fn types(&self, text: &str) {
        let mut terminal = self.terminal.lock();
        text.bytes().for_each(|byte| terminal.enqueue(byte));
        assert_eq!(terminal.deliver(&mut Vec::new()).guest, Some(0));
        self.readable.note_all(&mut terminal);
        drop(terminal);
        self.announced.swap(true, Ordering::Release);
    }
}

/// The VM's end of it.
struct End(Arc<Desk>);

impl Console for End {
    fn put(&mut self, _: u8) {}

    fn abandon_sequence(&mut self) {}

    fn get(&mut self) -> Option<u8> {
        let mut terminal = self.0.terminal.lock();
        let byte = terminal.get(0);
        if byte.is_none() {
            self.0.readable.note_none(&mut terminal, 0);
        }
        byte
    }

    fn may_have_input(&self) -> bool {
        self.0.readable.may_have(0)
    }

    fn is_quiet(&self) -> bool {
        self.0.readable.is_quiet(0)
    }
}

/// A driver reads two characters that are typed meanwhile, through a FIFO of one. If one does not come, it would wait for ever.
fn reads_two(mask: u32, driver: fn(&mut Pl011, &mut End) -> Option<u32>) {
    ::loom::model(move || {
        let desk = Desk::new();
        let mut end = End(desk.clone());
        let reader = spawn(move || {
            let mut uart = Pl011::default();
            // It has looked before, in vain or not.
            uart.read(FR, &mut end);
            uart.write(IMSC, mask, &mut end);
            let mut read = Vec::new();
            while read.len() < 2 {
                match driver(&mut uart, &mut end) {
                    Some(byte) => read.push(byte),
                    None => yield_now(),
                }
            }
            assert_eq!(read, [b'a', b'b'].map(u32::from));
        });
        let typist = spawn(move || desk.types("ab"));
        typist.join().unwrap();
        reader.join().unwrap();
    });
}

/// A thread with a larger stack than loom's.
fn spawn(action: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let thread = ::loom::thread::Builder::new().stack_size(1 << 17);
    thread.spawn(action).unwrap()
}

#[test]
fn who_polls_gets_what_is_typed() {
    reads_two(0, |uart, end| {
        (uart.read(FR, end) & RXFE == 0).then(|| uart.read(DR, end))
    });
}

#[test]
fn who_waits_for_an_interrupt_gets_what_is_typed() {
    reads_two(RECEIVE_INTERRUPTS, |uart, end| {
        if end.0.announced.swap(false, Ordering::Acquire) {
            uart.pull_input(end);
        }
        uart.irq_line().then(|| uart.read(DR, end))
    });
}
