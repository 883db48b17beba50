//! Files of the host that emulates the machine (Arm, "Semihosting for AArch32 and AArch64", 2.0).
//!
//! Where there is no semihosting, its instruction is undefined, and ends the program: a program is told whether there is.

use core::arch::asm;
use core::ffi::CStr;

const SYS_OPEN: u64 = 1;
const SYS_CLOSE: u64 = 2;
const SYS_WRITE: u64 = 5;
const SYS_EXIT: u64 = 0x18;
/// SYS_OPEN: "wb".
const WRITE: u64 = 5;
/// SYS_EXIT: ADP_Stopped_ApplicationExit.
const APPLICATION_EXIT: u64 = 0x2_0026;

/// A file that is written to.
#[derive(Debug)]
pub struct File(u64);

impl File {
    /// Makes a file, or empties one that is there. None if the host cannot.
    pub fn create(path: &CStr) -> Option<Self> {
        let block = [path.as_ptr() as u64, WRITE, path.count_bytes() as u64];
        let file = call(SYS_OPEN, &block);
        (file as i64 != -1).then_some(Self(file))
    }

    /// Writes at its end. False if the host could not write all of it.
    #[must_use]
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        let block = [self.0, bytes.as_ptr() as u64, bytes.len() as u64];
        call(SYS_WRITE, &block) == 0
    }

    /// Closes it. False if the host could not write all of it.
    #[must_use]
    pub fn close(self) -> bool {
        call(SYS_CLOSE, &[self.0]) == 0
    }
}

/// Ends the emulator, with an exit code.
pub fn exit(code: u64) -> ! {
    call(SYS_EXIT, &[APPLICATION_EXIT, code]);
    crate::power_off()
}

/// A call with a block of arguments.
fn call(operation: u64, block: &[u64]) -> u64 {
    let result;
    // SAFETY: the host reads the block and what it points to; nothing of this program is written to.
    unsafe {
        asm!("hlt #0xf000", inout("x0") operation => result, in("x1") block.as_ptr(), options(nostack));
    }
    result
}
