//! The board's UART as the [`Terminal`] that the VMs, the log and the monitor share. All cores use it.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use log::Level;
use spin::{Mutex, Once};

use crate::arch::timer;
use crate::board::gic;
use crate::board::uart::BoardUart;
use crate::config::{self, VmConfig};
use crate::console::{Input, Notice, Readable, Screen, Terminal, write_lines};
use crate::monitor::{self, VmControl};

static UART: Once<BoardUart> = Once::new();

/// The terminal's state. Its lock also keeps cores from using the UART at the same time.
static CONSOLE: Mutex<Terminal> = Mutex::new(Terminal::new());

/// The UART raises an interrupt when something comes in, so that no VM has to poll for it.
static LISTENING: AtomicBool = AtomicBool::new(false);

/// The physical count from which on [`drain_uart`] is to be called without an interrupt: characters wait that the attached VM has no room
/// for, or were left in the UART, whose interrupt is off meanwhile. 0: the attached
/// VM has room again. [`NEVER`]: the interrupt comes first. Changed with the console's lock held.
static POLL_AT: AtomicU64 = AtomicU64::new(NEVER);
const NEVER: u64 = u64::MAX;

/// What a VM that polls its UART sees of [`CONSOLE`] without the lock.
static READABLE: Readable = Readable(AtomicU8::new(u8::MAX));

/// A VM that has read nothing for so many seconds, while characters wait that it has no room for, is taken not to read at all.
const PATIENCE: u64 = 10;

impl Screen for BoardUart {
    #[inline]
    fn send(&mut self, byte: u8) {
        self.driver().send(byte);
    }
}

/// Opens the console on `uart`.
pub(super) fn open(uart: BoardUart) {
    UART.call_once(|| uart);
}

/// Gives the terminal the names of the VMs. The first that is here has the keyboard.
pub fn start(vms: &'static [VmConfig]) {
    let mut console = CONSOLE.lock();
    console.set_names(vms.iter().map(|vm| vm.name));
    for (number, vm) in vms.iter().enumerate() {
        if vm.uart == config::Uart::Second {
            console.set_elsewhere(number);
        }
    }
}

/// Has the UART raise its interrupt when something comes in. The core that takes the interrupt calls [`drain_uart`].
pub fn listen() {
    if let Some(uart) = UART.get() {
        let _turn = CONSOLE.lock();
        uart.driver().set_interrupts(true, false);
        LISTENING.store(true, Ordering::Relaxed);
    }
}

/// Takes what came in, after the UART's interrupt or at [`poll_due`], and says who has to look.
pub fn drain_uart() -> Input {
    let Some(uart) = UART.get().copied() else {
        return Input::default();
    };
    let mut console = CONSOLE.lock();
    let since = POLL_AT.load(Ordering::Relaxed);
    if since != 0 && since <= timer::count() {
        console.start_discarding();
    }
    let input = drain(uart, &mut console);
    let notices = [console.take_notice(), console.take_notice()];
    drop(console);
    notices.into_iter().for_each(log_notice);
    input
}

/// The physical count at which [`drain_uart`] is to be called if no interrupt has come by then.
#[inline]
pub fn poll_due() -> u64 {
    POLL_AT.load(Ordering::Relaxed)
}

/// Takes what is in the UART, as long as there is room, and delivers it. What stays in the UART raises no interrupt.
fn drain(mut uart: BoardUart, console: &mut Terminal) -> Input {
    let mut input = console.deliver(&mut uart);
    uart.driver().end_stale_interrupt();
    loop {
        // First out of the FIFO, which is small, and then to the others: a terminal may be slow.
        let mut came = false;
        while console.try_reserve()
            && let Some(byte) = uart.driver().receive()
        {
            console.enqueue(byte);
            came = true;
        }
        if uart.driver().take_overrun() {
            console.note_gap();
            came = true;
        }
        if !came {
            break;
        }
        input = input.then(console.deliver(&mut uart));
    }
    let room = console.try_reserve();
    uart.driver().set_interrupts(room, false);
    let at = match POLL_AT.load(Ordering::Relaxed) {
        _ if room && !console.is_held_up() => NEVER,
        // The VM has not read since: another key does not put it off.
        old if old != NEVER && old > timer::count() => old,
        _ => patience_deadline(),
    };
    POLL_AT.store(at, Ordering::Relaxed);
    READABLE.note_all(console);
    input
}

fn log_notice(notice: Option<Notice>) {
    if let Some(notice) = notice {
        log::warn!("{notice}");
    }
}

/// Prints a character that a VM's UART sends.
pub fn put(vm: usize, byte: u8) {
    if let Some(mut uart) = UART.get().copied() {
        CONSOLE.lock().put(vm, byte, &mut uart);
    }
}

/// The rest of a control sequence that a VM was sending does not come.
pub fn abandon_sequence(vm: usize) {
    if let Some(mut uart) = UART.get().copied() {
        CONSOLE.lock().abandon_sequence(vm, &mut uart);
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
    let byte = console.get(vm);
    if byte.is_some() {
        if vm == console.attached() && POLL_AT.load(Ordering::Relaxed).wrapping_sub(1) < NEVER - 1 {
            resume_delivery(&console);
        }
        let notice = console.take_notice();
        drop(console);
        log_notice(notice);
        return byte;
    }
    // Without the UART's interrupt there is no monitor, as no core would carry out its commands: the attached VM has the UART to itself.
    let polled = !LISTENING.load(Ordering::Relaxed) && vm == console.attached();
    if !polled {
        READABLE.note_none(&mut console, vm);
        return None;
    }
    drop(console);
    log_notice(uart.driver().take_overrun().then_some(Notice::Overrun));
    uart.driver().receive()
}

/// The attached VM has read while characters wait for it. Once it has room enough for those, kicks the boot core, which takes them.
#[cold]
fn resume_delivery(console: &Terminal) {
    let room = console.is_worth_delivering();
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

/// What the log calls a VM, if there are several.
pub fn log_name(vm: usize) -> Option<&'static str> {
    CONSOLE.lock().log_name(vm)
}

/// The VM that has the keyboard.
pub fn attached() -> usize {
    CONSOLE.lock().attached()
}

/// Gives the keyboard to a VM.
pub fn attach(vm: usize) {
    if let Some(mut uart) = UART.get().copied() {
        let mut console = CONSOLE.lock();
        console.attach(vm, &mut uart);
        // If there is no monitor, this VM has the UART itself from here on.
        READABLE.note_all(&mut console);
    }
}

/// Carries out the lines that wait for the monitor, if another core does not do so already. The terminal is unlocked meanwhile. Returns the
/// VM that has something to read now because the operator left the monitor.
pub fn run_commands(control: &mut impl VmControl) -> Option<usize> {
    let mut uart = UART.get().copied()?;
    let mut guest = None;
    loop {
        // Not in a `while let`, which would hold the lock while the line is carried out.
        let line = CONSOLE.lock().take_command();
        let Some(line) = line else { return guest };
        let next = monitor::execute(line.text(), control, &mut Reply(uart));
        let mut console = CONSOLE.lock();
        let input = console.finish(next, &mut uart);
        let input = input.then(drain(uart, &mut console));
        let notices = [console.take_notice(), console.take_notice()];
        drop(console);
        notices.into_iter().for_each(log_notice);
        guest = input.guest.or(guest);
    }
}

/// What the monitor answers.
struct Reply(BoardUart);

impl Write for Reply {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        CONSOLE.lock().reply(text, &mut self.0);
        Ok(())
    }
}

/// Prints one line, `AVISOR <level>: <message>`, at the start of a line.
pub(super) fn log_line(level: Level, message: fmt::Arguments) {
    if let Some(mut uart) = UART.get().copied() {
        let message = format_args!("AVISOR {level}: {message}\n");
        CONSOLE.lock().lines(message, &mut uart);
    }
}

/// Prints one line as the last words of a core. It waits for the terminal's lock only so long, since this core may be the one that holds
/// it.
pub(super) fn last_line(level: Level, message: fmt::Arguments) {
    let Some(mut uart) = UART.get().copied() else {
        return;
    };
    let message = format_args!("AVISOR {level}: {message}\n");
    let tries = 1_000_000;
    match (0..tries).find_map(|_| CONSOLE.try_lock()) {
        Some(mut console) => console.lines(message, &mut uart),
        None => write_lines(format_args!("\n{message}"), &mut uart),
    }
}

/// Prints one line on a UART on which no console is open: for a start that fails before there is one.
pub(super) fn write_line(mut uart: BoardUart, level: Level, message: fmt::Arguments) {
    write_lines(format_args!("AVISOR {level}: {message}\n"), &mut uart);
}
