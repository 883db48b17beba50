//! What a target leaves of a crash, and how it tells.

use core::arch::asm;
use core::fmt::{self, Write};
use core::panic::PanicInfo;

use super::layout::{CRASH, Crash, EXCEPTION, PANIC};
use super::{WINDOW, event};
use crate::exception::{self, Frame};
use crate::{RAM_START, image_end, power_off};

/// A panic and an exception are crashes from now on.
pub(super) fn install() {
    exception::set_handler(on_exception);
    crate::set_panic_handler(on_panic);
}

fn on_exception(frame: &mut Frame) {
    let mut message = Message::new();
    let _ = write!(message, "exception: {frame}");
    let sp = (&raw const *frame).addr() + size_of::<Frame>();
    tell(EXCEPTION, frame.elr, |crash| {
        crash.x = frame.x;
        crash.sp = sp as u64;
        crash.pc = frame.elr;
        crash.pstate = frame.spsr;
        crash.esr = frame.esr;
        crash.far = frame.far;
        crash.calls[0] = frame.x[30];
        crash.depth = 1 + chain(frame.x[29], &mut crash.calls[1..]);
        message.leave(crash);
    })
}

fn on_panic(info: &PanicInfo) {
    let mut message = Message::new();
    let _ = write!(message, "{info}");
    let (sp, fp): (u64, u64);
    // SAFETY: reads two registers.
    unsafe { asm!("mov {}, sp", "mov {}, x29", out(reg) sp, out(reg) fp, options(nomem, nostack)) }
    let place = info.location().map_or(0, |location| {
        let start = hash(0xcbf2_9ce4_8422_2325, location.file().as_bytes());
        let line = hash(start, &location.line().to_le_bytes());
        hash(line, &location.column().to_le_bytes())
    });
    tell(PANIC, place, |crash| {
        crash.x = [0; 31];
        (crash.pc, crash.pstate, crash.esr, crash.far) = (0, 0, 0, 0);
        crash.sp = sp;
        crash.depth = chain(fp, &mut crash.calls);
        message.leave(crash);
    })
}

/// Leaves what `fill` says of the crash, and tells the fuzzer.
fn tell(kind: u64, place: u64, fill: impl FnOnce(&mut Crash)) -> ! {
    if let Some(window) = WINDOW.get() {
        // SAFETY: the crash is in the window's header, and this VM runs.
        fill(unsafe { &mut (*window.header()).crash });
        let _ = event(CRASH, place, kind);
    }
    // Somebody ran this VM on: there is nothing to go on with.
    power_off()
}

/// FNV-1a.
fn hash(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Follows the frames from the one at `frame` on (AAPCS64: the caller's frame, then the return address), and puts the return addresses into
/// `calls`. Returns how many. Memory that was overwritten ends it.
fn chain(mut frame: u64, calls: &mut [u64]) -> u64 {
    let stack = RAM_START as u64..image_end() as u64;
    for (index, call) in calls.iter_mut().enumerate() {
        if !frame.is_multiple_of(16) || !stack.contains(&frame) || !stack.contains(&(frame + 8)) {
            return index as u64;
        }
        // SAFETY: it is in the program's memory.
        let [next, address] = unsafe { (frame as *const [u64; 2]).read_volatile() };
        if address == 0 || next <= frame {
            return index as u64;
        }
        *call = address;
        frame = next;
    }
    calls.len() as u64
}

/// A text as long as a crash has room for; the rest is left out.
struct Message {
    text: [u8; 1024],
    bytes: usize,
}

impl Message {
    fn new() -> Self {
        Self {
            text: [0; 1024],
            bytes: 0,
        }
    }

    fn leave(&self, crash: &mut Crash) {
        crash.message = self.text;
        crash.message_bytes = self.bytes as u64;
    }
}

impl Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.text[self.bytes..];
        let bytes = text.len().min(room.len());
        room[..bytes].copy_from_slice(&text.as_bytes()[..bytes]);
        self.bytes += bytes;
        Ok(())
    }
}
