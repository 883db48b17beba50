//! Files: on the host by semihosting (Arm, "Semihosting for AArch32 and AArch64"), or as lines on the console, which tools/fuzz-log makes files of.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};

use avisor_fuzz::target::Output;
use avisor_guest::print;

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
/// Bytes of a file in a line of the console.
const LINE: usize = 64;

static SEMIHOSTING: AtomicBool = AtomicBool::new(false);

/// Whether there is semihosting. Where there is none, its instruction ends the program.
pub fn set_semihosting(is_there: bool) {
    SEMIHOSTING.store(is_there, Ordering::Relaxed);
}

/// Ends QEMU, where there is semihosting.
pub fn exit(code: u64) {
    if SEMIHOSTING.load(Ordering::Relaxed) {
        let block = [APPLICATION_EXIT, code];
        semihosting(SYS_EXIT, &block);
    }
}

/// Where files go to.
pub struct Files {
    /// Empty: the console.
    folder: String,
    /// The host's own console, which has nothing of other VMs.
    console: Option<u64>,
}

impl Files {
    /// Below this folder of the host, which is there with its folders, or on the console if it is empty.
    pub fn new(folder: &str) -> Self {
        let is_there = SEMIHOSTING.load(Ordering::Relaxed);
        Self {
            folder: folder.into(),
            console: is_there.then(|| open(":tt", WRITE)).flatten(),
        }
    }

    fn put(&mut self, path: &str, bytes: &[u8], mode: u64) {
        if self.folder.is_empty() {
            let sign = if mode == APPEND { ">>" } else { ">" };
            print!("fuzz-file: {sign} {path}\n");
            for line in bytes.chunks(LINE) {
                print!("fuzz-file: ");
                line.iter().for_each(|byte| print!("{byte:02x}"));
                print!("\n");
            }
            return;
        }
        let path = format!("{}/{path}", self.folder);
        let done = open(&path, mode).is_some_and(|file| {
            if mode == APPEND {
                // QEMU 10 opens the file, but writes from its start on.
                semihosting(SYS_SEEK, &[file, semihosting(SYS_FLEN, &[file])]);
            }
            let left = write(file, bytes);
            left == 0 && semihosting(SYS_CLOSE, &[file]) == 0
        });
        if !done {
            print!("fuzz: the host cannot write {path}\n");
        }
    }
}

/// Opens a file of the host.
fn open(path: &str, mode: u64) -> Option<u64> {
    let name = format!("{path}\0");
    let block = [name.as_ptr() as u64, mode, path.len() as u64];
    let file = semihosting(SYS_OPEN, &block);
    (file as i64 != -1).then_some(file)
}

/// Writes to a file of the host. Returns how many bytes were not written.
fn write(file: u64, bytes: &[u8]) -> u64 {
    semihosting(
        SYS_WRITE,
        &[file, bytes.as_ptr() as u64, bytes.len() as u64],
    )
}

/// What a file of the host has from `offset` on, `most` bytes of it.
fn read(file: u64, offset: u64, most: usize) -> Vec<u8> {
    let length = semihosting(SYS_FLEN, &[file]) as i64;
    let there = u64::try_from(length).unwrap_or(0).saturating_sub(offset);
    let wanted = most.min(there as usize);
    let mut bytes = vec![0; wanted];
    let at = bytes.as_mut_ptr() as u64;
    let left = match wanted {
        0 => 0,
        _ if semihosting(SYS_SEEK, &[file, offset]) != 0 => wanted,
        // It returns how many bytes it has not read.
        _ => (semihosting(SYS_READ, &[file, at, wanted as u64]) as usize).min(wanted),
    };
    bytes.truncate(wanted - left);
    bytes
}

impl Output for Files {
    fn write(&mut self, path: &str, bytes: &[u8]) {
        self.put(path, bytes, WRITE);
    }

    fn append(&mut self, path: &str, bytes: &[u8]) {
        self.put(path, bytes, APPEND);
    }

    fn read(&mut self, path: &str, offset: u64, most: usize) -> Vec<u8> {
        let is_there = SEMIHOSTING.load(Ordering::Relaxed);
        let Some(file) = is_there.then(|| open(path, READ)).flatten() else {
            return Vec::new();
        };
        let bytes = read(file, offset, most);
        semihosting(SYS_CLOSE, &[file]);
        bytes
    }

    fn show(&mut self, text: &str) {
        match self.console {
            Some(file) => _ = write(file, text.as_bytes()),
            None => print!("{text}"),
        }
    }
}

/// A semihosting call.
fn semihosting(operation: u64, block: &[u64]) -> u64 {
    let result;
    // SAFETY: the host reads the block and what it points to; SYS_READ writes as many bytes as the block says to memory that its caller owns.
    unsafe {
        asm!("hlt #0xf000", inout("x0") operation => result, in("x1") block.as_ptr(), options(nostack));
    }
    result
}
