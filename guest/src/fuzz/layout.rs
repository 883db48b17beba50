//! What lies where in the window that a fuzzer and its target share.
//!
//! The fuzzer reads this file too, as a module of its own: it is the one place that says it. All words are little-endian.
//!
//! | from | bytes | what | written by |
//! | --- | --- | --- | --- |
//! | 0 | 4096 | [`Header`] | see its fields |
//! | 0x1000 | [`MAP_BYTES`] | how often each edge was taken, a byte each, modulo 256 but never 0 | target; the fuzzer clears it |
//! | 0x3000 | [`SITES`] | how many comparisons each site made, modulo 256 but never 0 | target; the fuzzer clears it |
//! | 0x3100 | [`SITES`] * [`KEPT`] * 24 | the last comparisons of each site, [`Comparison`] | target |
//! | 0xa000 | [`INPUT_BYTES`] | the input | fuzzer |
//!
//! A round: the target calls EVENT([`READY`]) and stops. The fuzzer takes a snapshot of it, once; before each round it clears the map and
//! writes the input. It runs the target, which calls EVENT([`DONE`]) or EVENT([`CRASH`]) and stops; and takes it back to the snapshot. The
//! window is no part of that: what the target left there stays.

use core::mem::offset_of;

/// What the window may be called in the configuration. There, each of several fuzzers has one of its own.
pub fn names() -> impl Iterator<Item = &'static str> {
    ["fuzz", "fuzz-1", "fuzz-2", "fuzz-3"].into_iter()
}

/// EVENT's code: the target waits for an input.
pub const READY: u64 = 1;
/// EVENT's code: the target is through with the input.
pub const DONE: u64 = 2;
/// EVENT's code: the target crashed. a = where, which tells crashes apart, or 0: at the pc in the header; b = [`PANIC`] or [`EXCEPTION`].
pub const CRASH: u64 = 3;

/// A crash that the program noticed.
pub const PANIC: u64 = 1;
/// A crash that the CPU noticed.
pub const EXCEPTION: u64 = 2;

/// The first word of a window that a target has prepared: "avfuzz" and the version of this layout.
pub const MAGIC: u64 = u64::from_le_bytes(*b"avfuzz\x01\0");
/// The largest map. A fuzzer looks at all of it in each round, so a small one is fast.
pub const MAP_BYTES: usize = 8192;
/// The smallest map.
pub const MAP_BYTES_MIN: usize = 64;
/// Comparisons are kept for so many places of the program; places that share one overwrite each other.
pub const SITES: usize = 256;
/// So many of each.
pub const KEPT: usize = 4;
/// The longest input.
pub const INPUT_BYTES: usize = 0x1_0000;
/// All of it.
pub const WINDOW_BYTES: usize = INPUT + INPUT_BYTES;

const MAP: usize = 0x1000;
const COUNTS: usize = MAP + MAP_BYTES;
const COMPARISONS: usize = COUNTS + SITES;
const INPUT: usize = 0xa000;

// As in guest/include/avisor_fuzz.h.
const _: () = assert!(offset_of!(Header, crash) == 40 && offset_of!(Crash, message) == 600 - 40);
const _: () = assert!(size_of::<Comparison>() == 24);
const _: () = assert!(MAGIC == 0x0001_7a7a_7566_7661 && MAP == 0x1000 && COUNTS == 0x3000);
const _: () = assert!(size_of::<Header>() <= MAP);
const _: () = assert!(COMPARISONS + SITES * KEPT * size_of::<Comparison>() <= INPUT);

/// The first page.
#[repr(C)]
pub struct Header {
    /// [`MAGIC`], once the target has prepared the rest. By the target.
    pub magic: u64,
    /// How many bytes of the map the target uses: a power of two. By the target, before [`READY`].
    pub map_bytes: u32,
    /// How long the input is. By the fuzzer.
    pub input_bytes: u32,
    /// Not 0: comparisons are to be kept, too. By the fuzzer.
    pub wants_comparisons: u32,
    /// Nothing.
    pub reserved: u32,
    /// CNTVCT_EL0 when the target began with the input and when it was through. By the target.
    pub began: u64,
    /// See `began`.
    pub ended: u64,
    /// What the target left when it crashed.
    pub crash: Crash,
}

/// Where and how a target crashed.
#[repr(C)]
#[derive(Clone)]
pub struct Crash {
    /// x0 to x30. A panic leaves 0: it is a call like any other.
    pub x: [u64; 31],
    /// SP.
    pub sp: u64,
    /// Where: ELR_EL1; 0 of a panic, whose message says it.
    pub pc: u64,
    /// SPSR_EL1.
    pub pstate: u64,
    /// ESR_EL1; 0 of a panic.
    pub esr: u64,
    /// FAR_EL1.
    pub far: u64,
    /// How many of `calls` there are.
    pub depth: u64,
    /// The return addresses on the stack, the innermost first.
    pub calls: [u64; 32],
    /// How many bytes of `message` there are.
    pub message_bytes: u64,
    /// What the program says: UTF-8.
    pub message: [u8; 1024],
}

/// Two values that the program compared.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// A constant of the program, where one of the values is.
    pub a: u64,
    /// The other value.
    pub b: u64,
    /// Their size in bytes: 1, 2, 4 or 8.
    pub bytes: u32,
    /// 1 if `a` is a constant.
    pub constant: u32,
}

/// A window, mapped at some address.
#[derive(Clone, Copy)]
pub struct Window(*mut u8);

impl Window {
    /// The window at `address`.
    ///
    /// # Safety
    /// There must be [`WINDOW_BYTES`] bytes of memory, aligned to 4096, that stay, and that this program uses in no other way than by this
    /// type. Who has it must not run while the other side does.
    pub const unsafe fn at(address: *mut u8) -> Self {
        Self(address)
    }

    /// The header.
    pub const fn header(self) -> *mut Header {
        self.0.cast()
    }

    /// The map: [`MAP_BYTES`] bytes.
    pub const fn map(self) -> *mut u8 {
        self.0.wrapping_add(MAP)
    }

    /// How many comparisons each site made: [`SITES`] bytes.
    pub const fn counts(self) -> *mut u8 {
        self.0.wrapping_add(COUNTS)
    }

    /// The comparisons, [`KEPT`] of each site.
    pub const fn comparisons(self) -> *mut Comparison {
        self.0.wrapping_add(COMPARISONS).cast()
    }

    /// The input: [`INPUT_BYTES`] bytes.
    pub const fn input(self) -> *mut u8 {
        self.0.wrapping_add(INPUT)
    }
}
