//! Files of the host that emulates the machine (Arm, "Semihosting for AArch32 and AArch64", 2.0).
//!
//! Where there is no semihosting, its instruction is undefined, and ends the program: a program is told whether there is.

use core::arch::asm;
use core::ffi::CStr;

const SYS_OPEN: u64 = 1;
const SYS_CLOSE: u64 = 2;
const SYS_WRITE: u64 = 5;
const SYS_READ: u64 = 6;
const SYS_SEEK: u64 = 0xa;
const SYS_FLEN: u64 = 0xc;
const SYS_EXIT: u64 = 0x18;
/// SYS_OPEN: "rb", "wb" and "ab".
const READ: u64 = 1;
const WRITE: u64 = 5;
const APPEND: u64 = 9;
/// SYS_EXIT: ADP_Stopped_ApplicationExit.
const APPLICATION_EXIT: u64 = 0x2_0026;

/// A file of the host.
#[derive(Debug)]
pub struct File(u64);

impl File {
    /// A file that is there, to be read. None if the host cannot.
    pub fn open(path: &CStr) -> Option<Self> {
        Self::open_for(path, READ)
    }

    /// Makes a file, or empties one that is there, to be written. None if the host cannot.
    pub fn create(path: &CStr) -> Option<Self> {
        Self::open_for(path, WRITE)
    }

    /// A file to be written from its end on; makes it if it is not there. None if the host cannot.
    pub fn append(path: &CStr) -> Option<Self> {
        let mut file = Self::open_for(path, APPEND)?;
        // QEMU 10 opens the file, but writes from its start on.
        let end = file.bytes()?;
        file.seek(end).then_some(file)
    }

    /// The host's own console, to be written. None if it has none.
    pub fn console() -> Option<Self> {
        Self::open_for(c":tt", WRITE)
    }

    fn open_for(path: &CStr, mode: u64) -> Option<Self> {
        let block = [path.as_ptr() as u64, mode, path.count_bytes() as u64];
        let file = call(SYS_OPEN, &block);
        (file as i64 != -1).then_some(Self(file))
    }

    /// How many bytes it has. None if the host does not know.
    pub fn bytes(&self) -> Option<u64> {
        u64::try_from(call(SYS_FLEN, &[self.0]) as i64).ok()
    }

    /// Reads from byte `offset` on, and says how many bytes of `to` that were.
    pub fn read(&mut self, offset: u64, to: &mut [u8]) -> usize {
        // It cannot be told to go to behind its end.
        let is_there = self.bytes().is_some_and(|bytes| offset < bytes);
        if to.is_empty() || !is_there || !self.seek(offset) {
            return 0;
        }
        let block = [self.0, to.as_mut_ptr() as u64, to.len() as u64];
        // It returns how many bytes it has not read.
        let left = call(SYS_READ, &block) as usize;
        to.len() - left.min(to.len())
    }

    fn seek(&mut self, offset: u64) -> bool {
        call(SYS_SEEK, &[self.0, offset]) == 0
    }

    /// Writes where it stands, which is behind what was written before. False if the host could not write all of it.
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
    // SAFETY: the host reads the block and what it points to; SYS_READ writes to bytes that its caller has for itself, as many as the block says.
    unsafe {
        asm!("hlt #0xf000", inout("x0") operation => result, in("x1") block.as_ptr(), options(nostack));
    }
    result
}
