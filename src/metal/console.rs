//! The board's UART as the [`Terminal`] that the VMs, the log and the monitor share. All cores use it.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use log::Level;
use spin::{Mutex, Once};

use crate::arch::timer;
use crate::board::gic;
use crate::board::uart::BoardUart;
use crate::config::{self, VmConfig};
use crate::console::{Input, Notice, Outlet, Output, Readable, Screen, Terminal, write_lines};
use crate::monitor::{self, VmControl};

static UART: Once<BoardUart> = Once::new();

/// The terminal, and what is on its way there.
struct Console {
    terminal: Terminal,
    output: Output,
}

/// The console's state. Its lock also keeps cores from using the UART at the same time. Nobody who has it waits for the UART, but for what
/// [`Output`] has no room for.
static CONSOLE: Mutex<Console> = Mutex::new(Console {
    terminal: Terminal::new(),
    output: Output::new(),
});

/// The UART raises an interrupt when something comes in, so that no VM has to poll for it.
static LISTENING: AtomicBool = AtomicBool::new(false);

/// The physical count from which on [`drain_uart`] is to be called without an interrupt: characters wait that the attached VM has no room
/// for, or were left in the UART, whose interrupt is off meanwhile. 0: the attached
/// VM has room again. [`NEVER`]: the interrupt comes first. Changed with the console's lock held.
static POLL_AT: AtomicU64 = AtomicU64::new(NEVER);
const NEVER: u64 = u64::MAX;

/// The physical count at which what waits to be sent is to be sent on; or [`NEVER`]. Changed with the console's lock held.
static SEND_AT: AtomicU64 = AtomicU64::new(NEVER);

/// The VMs that have characters in their UART's transmit FIFO, a bit for each, for those that look without the lock. Changed with it held. A VM's bit
/// is set by what it sends itself, under its own lock. Who finds a bit that was cleared since looks again, with the lock.
static UNSENT: AtomicU8 = AtomicU8::new(0);

/// What a VM that polls its UART sees of [`CONSOLE`] without the lock.
static READABLE: Readable = Readable(AtomicU8::new(u8::MAX));

/// A VM that has read nothing for so many seconds, while characters wait that it has no room for, is taken not to read at all.
const PATIENCE: u64 = 10;

/// The UART itself, without a queue.
struct Direct(BoardUart);

impl Screen for Direct {
    fn send(&mut self, byte: u8) {
        self.0.driver().send(byte);
    }
}

impl Console {
    /// Does something that shows something, and notes what is left to be sent. Returns what `action` does.
    #[inline]
    fn show<R>(
        &mut self,
        uart: BoardUart,
        action: impl FnOnce(&mut Terminal, &mut Outlet) -> R,
    ) -> R {
        let result = action(&mut self.terminal, &mut self.output.screen(uart.driver()));
        self.note_output();
        result
    }

    /// Notes what is left to be sent.
    #[inline]
    fn note_output(&self) {
        if !self.output.is_empty() || UNSENT.load(Ordering::Relaxed) != 0 {
            self.note_backlog();
        }
    }

    #[cold]
    fn note_backlog(&self) {
        UNSENT.store(self.output.waiting(), Ordering::Relaxed);
        if !self.output.is_empty() && SEND_AT.load(Ordering::Relaxed) == NEVER {
            SEND_AT.store(timer::count() + send_period(), Ordering::Relaxed);
            gic::kick(0);
        }
    }

    /// Sends what the UART has room for. Returns the VMs whose UARTs have room again, a bit for each.
    fn serve_output(&mut self, uart: BoardUart) -> u8 {
        let patience = timer::frequency();
        let Self { terminal, output } = self;
        output.serve(terminal, uart.driver(), timer::count(), patience);
        UNSENT.store(output.waiting(), Ordering::Relaxed);
        let at = match output.is_empty() {
            true => NEVER,
            false => timer::count() + send_period(),
        };
        SEND_AT.store(at, Ordering::Relaxed);
        output.take_news()
    }
}

/// How long the UART is left alone with what it has, in ticks of the counter: half a millisecond, in which one of 115,200 baud sends six
/// characters, of the eight or more that UARTs hold.
fn send_period() -> u64 {
    timer::frequency() / 2048
}

/// Opens the console on `uart`.
pub(super) fn open(uart: BoardUart) {
    UART.call_once(|| uart);
}

/// Gives the terminal the names of the VMs, and memory for what waits to be sent. The first VM that is here has the keyboard.
pub fn start(vms: &'static [VmConfig]) {
    let Console { terminal, output } = &mut *CONSOLE.lock();
    terminal.set_names(vms.iter().map(|vm| vm.name));
    for (number, vm) in vms.iter().enumerate() {
        if vm.uart == config::Uart::Second {
            terminal.set_elsewhere(number);
        }
    }
    output.reserve();
}

/// Has the UART raise its interrupt when something comes in. The core that takes the interrupt calls [`drain_uart`].
pub fn listen() {
    if let Some(uart) = UART.get() {
        let _turn = CONSOLE.lock();
        uart.driver().set_interrupts(true, false);
        LISTENING.store(true, Ordering::Relaxed);
    }
}

/// Takes what came in, after the UART's interrupt or at [`poll_due`], sends what waits, and says who has to look.
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
    let notices = [(); 2].map(|()| console.terminal.take_notice());
    drop(console);
    notices.into_iter().for_each(log_notice);
    input
}

/// The physical count at which [`drain_uart`] is to be called if no interrupt has come by then.
#[inline]
pub fn poll_due() -> u64 {
    let [poll, send] = [&POLL_AT, &SEND_AT].map(|at| at.load(Ordering::Relaxed));
    poll.min(send)
}

/// Takes what is in the UART, as long as there is room, and delivers it. What stays in the UART raises no interrupt.
fn drain(uart: BoardUart, console: &mut Console) -> Input {
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

fn log_notice(notice: Option<Notice>) {
    if let Some(notice) = notice {
        log::warn!("{notice}");
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

/// Whether any VM's UART has characters in its transmit FIFO.
#[inline]
pub fn may_have_unsent() -> bool {
    UNSENT.load(Ordering::Relaxed) != 0
}

/// How many of the characters that a VM's UART sent wait in its transmit FIFO. As long as there are some, a look sends what there is room for.
#[inline]
pub fn unsent(vm: usize) -> u32 {
    match UNSENT.load(Ordering::Relaxed) >> vm & 1 {
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

/// What the log calls a VM, if there are several.
pub fn log_name(vm: usize) -> Option<&'static str> {
    CONSOLE.lock().terminal.log_name(vm)
}

/// The VM that has the keyboard.
pub fn attached() -> usize {
    CONSOLE.lock().terminal.attached()
}

/// Gives the keyboard to a VM.
pub fn attach(vm: usize) {
    if let Some(uart) = UART.get().copied() {
        let mut console = CONSOLE.lock();
        console.show(uart, |terminal, screen| terminal.attach(vm, screen));
        // If there is no monitor, this VM has the UART itself from here on.
        READABLE.note_all(&mut console.terminal);
    }
}

/// Carries out the lines that wait for the monitor, if another core does not do so already. The terminal is unlocked meanwhile. Returns the
/// VM that has something to read now because the operator left the monitor.
pub fn run_commands(control: &mut impl VmControl) -> Option<usize> {
    let uart = UART.get().copied()?;
    let mut guest = None;
    loop {
        // Not in a `while let`, which would hold the lock while the line is carried out.
        let line = CONSOLE.lock().terminal.take_command();
        let Some(line) = line else { return guest };
        let next = monitor::execute(line.text(), control, &mut Reply(uart));
        let mut console = CONSOLE.lock();
        let input = console.show(uart, |terminal, screen| terminal.finish(next, screen));
        let input = input.then(drain(uart, &mut console));
        console.note_output();
        let notices = [(); 2].map(|()| console.terminal.take_notice());
        drop(console);
        notices.into_iter().for_each(log_notice);
        guest = input.guest.or(guest);
    }
}

/// What the monitor answers.
struct Reply(BoardUart);

impl Write for Reply {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        CONSOLE
            .lock()
            .show(self.0, |terminal, screen| terminal.reply(text, screen));
        Ok(())
    }
}

/// Prints one line, `AVISOR <level>: <message>`, at the start of a line.
pub(super) fn log_line(level: Level, message: fmt::Arguments) {
    if let Some(uart) = UART.get().copied() {
        let message = format_args!("AVISOR {level}: {message}\n");
        CONSOLE
            .lock()
            .show(uart, |terminal, screen| terminal.lines(message, screen));
    }
}

/// Sends all that waits, before the machine goes off.
pub(super) fn flush() {
    if let Some(uart) = UART.get() {
        let Console { terminal, output } = &mut *CONSOLE.lock();
        output.flush(terminal, uart.driver());
    }
}

/// Prints one line as the last words of a core, behind all that waits. It waits for the terminal's lock only so long, since this core may be the one that holds
/// it.
pub(super) fn last_line(level: Level, message: fmt::Arguments) {
    let Some(uart) = UART.get().copied() else {
        return;
    };
    let message = format_args!("AVISOR {level}: {message}\n");
    let tries = 1_000_000;
    match (0..tries).find_map(|_| CONSOLE.try_lock()) {
        Some(mut console) => {
            let Console { terminal, output } = &mut *console;
            output.flush(terminal, uart.driver());
            terminal.lines(message, &mut output.screen(uart.driver()));
            output.flush(terminal, uart.driver());
        }
        None => write_lines(format_args!("\n{message}"), &mut Direct(uart)),
    }
}

/// Prints one line on a UART on which no console is open: for a start that fails before there is one.
pub(super) fn write_line(uart: BoardUart, level: Level, message: fmt::Arguments) {
    write_lines(
        format_args!("AVISOR {level}: {message}\n"),
        &mut Direct(uart),
    );
}
