//! Who may have something to read, for VMs that ask again and again.

use super::Terminal;
use crate::arch::sync::{AtomicU8, Ordering};
use crate::limits::VMS_MAX;

const _: () = assert!(VMS_MAX <= u8::BITS as usize);

/// The VMs that may have something to read, a bit for each: a VM that polls its UART learns without the terminal's lock that it has not.
///
/// Only who has that lock changes a bit, and so has the [`Terminal`] at hand: all bits are set after anything may have given a VM characters, and
/// a VM's is cleared where it found none. All of it is relaxed:
/// - who polls and sees an older value has polled too early, and polls again;
/// - a driver that waits for an interrupt is announced what was delivered (`Vm::request_input`). Who comes for that
///   takes the lock without a look here. What it has no room for then, it finds later: its locking came behind the setting of the bit, so
///   that it sees that or what came after, and nobody clears the bit as long as something waits.
pub struct Readable(
    /// Set at the start, when nobody has looked yet.
    pub AtomicU8,
);

impl Readable {
    /// Whether [`Terminal::get`] may have a character for a VM; if not, there was none a moment ago.
    #[inline]
    pub fn may_have(&self, vm: usize) -> bool {
        self.0.load(Ordering::Relaxed) >> vm & 1 != 0
    }

    /// Notes that any VM may have something to read from here on.
    pub fn note_all(&self, _terminal: &mut Terminal) {
        self.0.store(u8::MAX, Ordering::Relaxed);
    }

    /// Notes that a VM, which found nothing, has nothing to read.
    pub fn note_none(&self, _terminal: &mut Terminal, vm: usize) {
        self.0.fetch_and(!(1 << vm), Ordering::Relaxed);
    }
}
