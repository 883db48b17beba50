//! Who may have something to read, or something that is not sent yet, for VMs that ask again and again.

use super::Terminal;
use crate::arch::sync::{AtomicU16, Ordering};
use crate::limits::VMS_MAX;

const _: () = assert!(VMS_MAX <= u8::BITS as usize);

/// The VMs that may have something to read, a bit for each, and from bit 8 on those that have characters in their UART's transmit FIFO: a VM that
/// polls its UART learns by one load, without the terminal's lock, that there is neither.
///
/// Only who has that lock changes a bit, and so has the [`Terminal`] at hand: all bits for reading are set after anything may have given a VM
/// characters, and a VM's is cleared where it found none. A VM's bit for sending is set by what it sends itself, under its own lock, and who finds
/// one that was cleared since looks again, with the lock. All of it is relaxed:
/// - who polls and sees an older value has polled too early, and polls again;
/// - a driver that waits for an interrupt is announced what was delivered (`Vm::request_input`). Who comes for that
///   takes the lock without a look here. What it has no room for then, it finds later: its locking came behind the setting of the bit, so
///   that it sees that or what came after, and nobody clears the bit as long as something waits.
pub struct Readable(
    /// [`START`](Self::START) at the start.
    pub AtomicU16,
);

/// The bit of the first VM that has something to send.
const UNSENT: u32 = 8;

impl Readable {
    /// Nobody has looked yet, and nobody has sent anything.
    pub const START: u16 = u8::MAX as u16;

    /// Whether [`Terminal::get`] may have a character for a VM; if not, there was none a moment ago.
    #[inline]
    pub fn may_have(&self, vm: usize) -> bool {
        self.0.load(Ordering::Relaxed) >> vm & 1 != 0
    }

    /// Whether a VM has nothing to read, and nothing to send.
    #[inline]
    pub fn is_quiet(&self, vm: usize) -> bool {
        self.0.load(Ordering::Relaxed) >> vm & (1 | 1 << UNSENT) == 0
    }

    /// The VMs that have characters in their transmit FIFO, a bit for each.
    #[inline]
    pub fn unsent(&self) -> u8 {
        (self.0.load(Ordering::Relaxed) >> UNSENT) as u8
    }

    /// Notes these.
    pub fn note_unsent(&self, _terminal: &mut Terminal, vms: u8) {
        let readable = self.0.load(Ordering::Relaxed) & 0xff;
        let unsent = u16::from(vms) << UNSENT;
        self.0.store(readable | unsent, Ordering::Relaxed);
    }

    /// Notes that any VM may have something to read from here on.
    pub fn note_all(&self, _terminal: &mut Terminal) {
        self.0.fetch_or(u8::MAX.into(), Ordering::Relaxed);
    }

    /// Notes that a VM, which found nothing, has nothing to read.
    pub fn note_none(&self, _terminal: &mut Terminal, vm: usize) {
        self.0.fetch_and(!(1 << vm), Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_waits_to_be_sent_and_what_to_be_read_are_apart() {
        let terminal = &mut Terminal::new();
        let readable = Readable(AtomicU16::new(Readable::START));
        for vm in 0..VMS_MAX {
            assert!(readable.may_have(vm) && !readable.is_quiet(vm));
            readable.note_none(terminal, vm);
            assert!(!readable.may_have(vm) && readable.is_quiet(vm));
        }
        readable.note_unsent(terminal, 1 << 3 | 1 << 7);
        for vm in 0..VMS_MAX {
            assert_eq!(readable.is_quiet(vm), !matches!(vm, 3 | 7));
            assert!(!readable.may_have(vm));
        }
        readable.note_all(terminal);
        assert_eq!(readable.unsent(), 1 << 3 | 1 << 7);
        readable.note_none(terminal, 3);
        readable.note_unsent(terminal, 0);
        assert!(readable.is_quiet(3) && readable.may_have(7));
    }
}
