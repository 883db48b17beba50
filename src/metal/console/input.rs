//! What comes in from the board's UART: to whom it is given, and when the UART is looked at again.

use core::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};

use spin::MutexGuard;

use super::{CONSOLE, Console, NEVER, UART};
use crate::arch::timer;
use crate::board::gic;
use crate::board::uart::BoardUart;
use crate::console::{Input, Notice, Readable, Terminal};

/// The UART raises an interrupt when something comes in, so that no VM has to poll for it.
static LISTENING: AtomicBool = AtomicBool::new(false);

/// The physical count from which on [`drain_uart`] is to be called without an interrupt: characters wait that the attached VM has no room
/// for, or were left in the UART, whose interrupt is off meanwhile. 0: the attached
/// VM has room again. [`NEVER`]: the interrupt comes first. Changed with the console's lock held.
static POLL_AT: AtomicU64 = AtomicU64::new(NEVER);

/// What a VM that polls its UART sees of [`CONSOLE`] without the lock.
pub(super) static READABLE: Readable = Readable(AtomicU16::new(Readable::START));

/// A VM that has read nothing for so many seconds, while characters wait that it has no room for, is taken not to read at all.
const PATIENCE: u64 = 10;

/// The physical count at which the UART is to be looked at without an interrupt.
#[inline]
pub(super) fn due() -> u64 {
    POLL_AT.load(Ordering::Relaxed)
}

/// Notes which VMs have something to read, after it may have become another.
pub(super) fn note_readable(terminal: &mut Terminal) {
    READABLE.note_all(terminal);
}

/// Has the UART raise its interrupt when something comes in. The core that takes the interrupt calls [`drain_uart`].
pub fn listen() {
    if let Some(uart) = UART.get() {
        let _turn = CONSOLE.lock();
        uart.driver().set_interrupts(true, false);
        LISTENING.store(true, Ordering::Relaxed);
    }
}

/// Takes what came in, after the UART's interrupt or at [`poll_due`](super::poll_due), sends what waits, and says who has to look.
pub fn drain_uart() -> Input {
    let Some(uart) = UART.get().copied() else {
        return Input::default();
    };
    let mut console = CONSOLE.lock();
    let since = POLL_AT.load(Ordering::Relaxed);
    if since != 0 && since <= timer::count() {
        console.terminal.start_discarding();
    }
    // Without an interrupt, what comes in is the attached VM's ([`get`]).
    let input = match LISTENING.load(Ordering::Relaxed) {
        true => drain(uart, &mut console),
        false => Input::default(),
    };
    let input = Input {
        room: console.serve_output(uart),
        ..input
    };
    log_notices(console);
    input
}

/// Takes what is in the UART, as long as there is room, and delivers it. What stays in the UART raises no interrupt.
pub(super) fn drain(uart: BoardUart, console: &mut Console) -> Input {
    let Console { terminal, output } = console;
    let screen = &mut output.screen(uart.driver());
    let mut input = terminal.deliver(screen);
    uart.driver().end_stale_interrupt();
    loop {
        let mut came = false;
        while terminal.try_reserve()
            && let Some(byte) = uart.driver().receive()
        {
            terminal.enqueue(byte);
            came = true;
        }
        if uart.driver().take_overrun() {
            terminal.note_gap();
            came = true;
        }
        if !came {
            break;
        }
        input = input.then(terminal.deliver(screen));
    }
    let room = terminal.try_reserve();
    uart.driver().set_interrupts(room, false);
    let at = match POLL_AT.load(Ordering::Relaxed) {
        _ if room && !terminal.is_held_up() => NEVER,
        // The VM has not read since: another key does not put it off.
        old if old != NEVER && old > timer::count() => old,
        _ => patience_deadline(),
    };
    POLL_AT.store(at, Ordering::Relaxed);
    READABLE.note_all(terminal);
    input
}

/// Unlocks the console, and logs what the operator is to be told.
pub(super) fn log_notices(mut console: MutexGuard<Console>) {
    let notices = [(); 2].map(|()| console.terminal.take_notice());
    drop(console);
    notices.into_iter().for_each(log_notice);
}

fn log_notice(notice: Option<Notice>) {
    if let Some(notice) = notice {
        log::warn!("{notice}");
    }
}

/// Whether [`get`] may have a character for a VM; if not, it has none.
#[inline]
pub fn may_have_input(vm: usize) -> bool {
    READABLE.may_have(vm)
}

/// Takes a character that was typed for a VM.
pub fn get(vm: usize) -> Option<u8> {
    let uart = UART.get()?;
    let mut console = CONSOLE.lock();
    let terminal = &mut console.terminal;
    let byte = terminal.get(vm);
    if byte.is_some() {
        if vm == terminal.attached() && POLL_AT.load(Ordering::Relaxed).wrapping_sub(1) < NEVER - 1
        {
            resume_delivery(terminal);
        }
        let notice = terminal.take_notice();
        drop(console);
        log_notice(notice);
        return byte;
    }
    // Without the UART's interrupt there is no monitor, as no core would carry out its commands: the attached VM has the UART to itself.
    let polled = !LISTENING.load(Ordering::Relaxed) && vm == terminal.attached();
    if !polled {
        READABLE.note_none(terminal, vm);
        return None;
    }
    drop(console);
    log_notice(uart.driver().take_overrun().then_some(Notice::Overrun));
    uart.driver().receive()
}

/// The attached VM has read while characters wait for it. Once it has room enough for those, kicks the boot core, which takes them.
#[cold]
fn resume_delivery(terminal: &Terminal) {
    let room = terminal.is_worth_delivering();
    POLL_AT.store(
        if room { 0 } else { patience_deadline() },
        Ordering::Relaxed,
    );
    if room {
        gic::kick(0);
    }
}

/// When a VM that reads nothing from now on is taken not to read at all.
fn patience_deadline() -> u64 {
    timer::count().saturating_add(PATIENCE * timer::frequency())
}
