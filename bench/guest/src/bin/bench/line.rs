//! What is typed.

use avisor_guest::{console, mmio};

/// A line from the console, as much of it as there is room for.
pub fn read(to: &mut [u8]) -> &str {
    const FR: usize = console::PL011 + 0x18;
    const RXFE: u32 = 1 << 4;
    let mut length = 0;
    loop {
        while mmio::read32(FR) & RXFE != 0 {}
        match mmio::read32(console::PL011) as u8 {
            b'\r' | b'\n' => break,
            byte if length < to.len() => {
                to[length] = byte;
                length += 1;
            }
            _ => {}
        }
    }
    core::str::from_utf8(&to[..length]).unwrap_or_default()
}
