//! What goes out by the board's UART: what waits for it, and when it is looked at again.

use core::sync::atomic::{AtomicU64, Ordering};

use super::input::READABLE;
use super::{CONSOLE, Console, NEVER, UART};
use crate::arch::timer;
use crate::board::gic;
use crate::board::uart::BoardUart;

/// The physical count at which what waits to be sent is to be sent on; or [`NEVER`]. Changed with the console's lock held.
static SEND_AT: AtomicU64 = AtomicU64::new(NEVER);

/// The physical count at which the UART is to be looked at without an interrupt.
#[inline]
pub(super) fn due() -> u64 {
    SEND_AT.load(Ordering::Relaxed)
}

/// How long the UART is left alone with what it has, in ticks of the counter: half a millisecond, in which one of 115,200 baud sends six
/// characters, of the eight or more that UARTs hold.
fn send_period() -> u64 {
    timer::frequency() / 2048
}

impl Console {
    /// Notes what is left to be sent.
    #[inline]
    pub(super) fn note_output(&mut self) {
        if !self.output.is_empty() || READABLE.unsent() != 0 {
            self.note_backlog();
        }
    }

    #[cold]
    fn note_backlog(&mut self) {
        READABLE.note_unsent(&mut self.terminal, self.output.waiting());
        if !self.output.is_empty() && SEND_AT.load(Ordering::Relaxed) == NEVER {
            SEND_AT.store(timer::count() + send_period(), Ordering::Relaxed);
            gic::kick(0);
        }
    }

    /// Sends what the UART has room for. Returns the VMs whose UARTs have room again, a bit for each.
    pub(super) fn serve_output(&mut self, uart: BoardUart) -> u8 {
        let patience = timer::frequency();
        let Self { terminal, output } = self;
        output.serve(terminal, uart.driver(), timer::count(), patience);
        READABLE.note_unsent(terminal, output.waiting());
        let at = match output.is_empty() {
            true => NEVER,
            false => timer::count() + send_period(),
        };
        SEND_AT.store(at, Ordering::Relaxed);
        output.take_news()
    }
}

/// Prints a character that a VM's UART sends.
pub fn put(vm: usize, byte: u8) {
    if let Some(uart) = UART.get() {
        let console = &mut *CONSOLE.lock();
        console
            .output
            .put(vm, byte, &mut console.terminal, uart.driver());
        console.note_output();
    }
}

/// Whether a VM has nothing to read, and nothing in its transmit FIFO.
#[inline]
pub fn is_quiet(vm: usize) -> bool {
    READABLE.is_quiet(vm)
}

/// How many of the characters that a VM's UART sent wait in its transmit FIFO. As long as there are some, a look sends what there is room for.
#[inline]
pub fn unsent(vm: usize) -> u32 {
    match READABLE.unsent() >> vm & 1 {
        0 => 0,
        _ => unsent_now(vm),
    }
}

#[cold]
#[inline(never)]
fn unsent_now(vm: usize) -> u32 {
    let Some(uart) = UART.get() else {
        return 0;
    };
    let console = &mut *CONSOLE.lock();
    let Console { terminal, output } = console;
    output.serve(terminal, uart.driver(), timer::count(), timer::frequency());
    console.note_output();
    console.output.unsent(vm) as u32
}

/// The rest of a control sequence that a VM was sending does not come.
pub fn abandon_sequence(vm: usize) {
    if let Some(uart) = UART.get() {
        let console = &mut *CONSOLE.lock();
        let Console { terminal, output } = console;
        output.abandon_sequence(vm, terminal, uart.driver());
        console.note_output();
    }
}
