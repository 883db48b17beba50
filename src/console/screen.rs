//! What characters are shown on.

use core::fmt::{self, Write};

/// Has a terminal forget the sequence that has begun (CAN), also where it ends a string at ST only (ECMA-48, 8.3.143).
pub const CANCEL: &str = "\x18\x1b\\";

/// A terminal, to write on.
pub trait Screen {
    /// Shows a byte. Never refuses.
    fn send(&mut self, byte: u8);
}

/// Shows lines with the ends that terminals want.
pub fn write_lines(message: fmt::Arguments, screen: &mut impl Screen) {
    // `Text` never fails.
    let _ = Text(screen).write_fmt(message);
}

struct Text<'s, S>(&'s mut S);

impl<S: Screen> Write for Text<'_, S> {
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

/// Shows text as it is.
pub fn print(screen: &mut impl Screen, text: &str) {
    print_bytes(screen, text.as_bytes());
}

/// Shows bytes as they are.
pub fn print_bytes(screen: &mut impl Screen, bytes: &[u8]) {
    bytes.iter().for_each(|byte| screen.send(*byte));
}
