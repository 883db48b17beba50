//! Files: on the host by semihosting (Arm, "Semihosting for AArch32 and AArch64"), or as lines on the console, which tools/fuzz-log makes files of.

use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, Ordering};

use avisor_fuzz::target::Output;
use avisor_guest::print;
use avisor_guest::semihosting::{self, File};

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
        semihosting::exit(code);
    }
}

/// Where files go to.
pub struct Files {
    /// Empty: the console.
    folder: String,
    /// The host's own console, which has nothing of other VMs.
    console: Option<File>,
}

impl Files {
    /// Below this folder of the host, which is there with its folders, or on the console if it is empty.
    pub fn new(folder: &str) -> Self {
        let is_there = SEMIHOSTING.load(Ordering::Relaxed);
        Self {
            folder: folder.into(),
            console: is_there.then(File::console).flatten(),
        }
    }

    /// `sign` is what comes before the path on the console.
    fn put(
        &mut self,
        path: &str,
        bytes: &[u8],
        sign: &str,
        open: impl FnOnce(&CStr) -> Option<File>,
    ) {
        if self.folder.is_empty() {
            print!("fuzz-file: {sign} {path}\n");
            for line in bytes.chunks(LINE) {
                print!("fuzz-file: ");
                line.iter().for_each(|byte| print!("{byte:02x}"));
                print!("\n");
            }
            return;
        }
        let path = format!("{}/{path}", self.folder);
        let file = CString::new(path.as_str())
            .ok()
            .and_then(|path| open(&path));
        let done = file.is_some_and(|mut file| {
            let is_written = file.write(bytes);
            file.close() && is_written
        });
        if !done {
            print!("fuzz: the host cannot write {path}\n");
        }
    }
}

impl Output for Files {
    fn write(&mut self, path: &str, bytes: &[u8]) {
        self.put(path, bytes, ">", File::create);
    }

    fn append(&mut self, path: &str, bytes: &[u8]) {
        self.put(path, bytes, ">>", File::append);
    }

    fn read(&mut self, path: &str, offset: u64, most: usize) -> Vec<u8> {
        let is_there = SEMIHOSTING.load(Ordering::Relaxed);
        let path = CString::new(path).ok().filter(|_| is_there);
        let Some(mut file) = path.and_then(|path| File::open(&path)) else {
            return Vec::new();
        };
        let left = file.bytes().unwrap_or(0).saturating_sub(offset);
        let mut bytes = vec![0; most.min(left as usize)];
        let read = file.read(offset, &mut bytes);
        bytes.truncate(read);
        // It was only read.
        let _ = file.close();
        bytes
    }

    fn show(&mut self, text: &str) {
        match &mut self.console {
            // What it cannot show is not shown.
            Some(console) => _ = console.write(text.as_bytes()),
            None => print!("{text}"),
        }
    }
}
