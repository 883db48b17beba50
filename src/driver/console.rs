//! The board's UART as a place for lines of Avisor and characters of guests.

use core::fmt::{self, Write};

use log::Level;
use spin::{Mutex, Once};

use super::pl011::Pl011;

struct Console {
    uart: Pl011,
    /// Whose turn it is, and whether the cursor stands at the start of a line.
    line_start: Mutex<bool>,
}

static CONSOLE: Once<Console> = Once::new();

/// Opens the console on `uart`.
pub(super) fn open(uart: Pl011) {
    CONSOLE.call_once(|| Console {
        uart,
        line_start: Mutex::new(true),
    });
}

/// Sends a guest's character as it is.
pub fn put(byte: u8) {
    if let Some(console) = CONSOLE.get() {
        let mut line_start = console.line_start.lock();
        console.uart.send(byte);
        *line_start = byte == b'\n';
    }
}

/// A character typed at the console.
pub fn get() -> Option<u8> {
    let console = CONSOLE.get()?;
    let _turn = console.line_start.lock();
    console.uart.receive()
}

/// Prints one line, `AVISOR <level>: <message>`, at the start of a line.
pub(super) fn line(level: Level, message: fmt::Arguments) {
    if let Some(console) = CONSOLE.get() {
        let mut line_start = console.line_start.lock();
        write_line(console.uart, *line_start, level, message);
        *line_start = true;
    }
}

/// The same for the last words of a core: waits for its turn only so long, since this core may be the one that has it.
pub(super) fn last_line(level: Level, message: fmt::Arguments) {
    let Some(console) = CONSOLE.get() else { return };
    let tries = 1_000_000;
    let turn = (0..tries).find_map(|_| console.line_start.try_lock());
    write_line(
        console.uart,
        turn.is_some_and(|line_start| *line_start),
        level,
        message,
    );
}

/// One line on a UART that no console is open on: for a start that fails before there is one.
pub(super) fn write_line(uart: Pl011, line_start: bool, level: Level, message: fmt::Arguments) {
    let fresh = if line_start { "" } else { "\n" };
    // `Text` never fails.
    let _ = writeln!(Text(uart), "{fresh}AVISOR {level}: {message}");
}

/// Text with the line ends that terminals want.
struct Text(Pl011);

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.0.send(b'\r');
            }
            self.0.send(byte);
        }
        Ok(())
    }
}
