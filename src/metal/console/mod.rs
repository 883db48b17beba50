//! The board's UART as the [`Terminal`] that the VMs, the log and the monitor share. All cores use it.
//!
//! What comes in and what goes out are a file each; here is what does both.

use core::fmt::{self, Write};

use log::Level;
use spin::{Mutex, Once};

use crate::board::uart::BoardUart;
use crate::config::{self, VmConfig};
use crate::console::{Input, Outlet, Output, Screen, Terminal, write_lines};
use crate::monitor::{self, VmControl};

mod input;
mod output;

pub use input::{drain_uart, get, listen, may_have_input};
pub use output::{abandon_sequence, is_quiet, put, unsent};

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
}

/// A physical count that does not come.
const NEVER: u64 = u64::MAX;

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

/// The physical count at which [`drain_uart`] is to be called if no interrupt has come by then.
#[inline]
pub fn poll_due() -> u64 {
    input::due().min(output::due())
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
        input::note_readable(&mut console.terminal);
    }
}

/// Carries out the line that waits for the monitor, if another core does not do so already. The terminal is unlocked meanwhile. Returns the
/// VM that has something to read now because the operator left the monitor, and whether another line waits.
pub fn run_command(control: &mut impl VmControl) -> Input {
    // Not in one expression with what follows, which would hold the lock while the line is carried out.
    let line = CONSOLE.lock().terminal.take_command();
    let Some((line, uart)) = line.zip(UART.get().copied()) else {
        return Input::default();
    };
    let next = monitor::execute(line.text(), control, &mut Reply(uart));
    let mut console = CONSOLE.lock();
    let input = console.show(uart, |terminal, screen| terminal.finish(next, screen));
    let input = input.then(input::drain(uart, &mut console));
    console.note_output();
    input::log_notices(console);
    input
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
