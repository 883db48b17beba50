//! Avisor's snapshot calls.
//!
//! There are two ways to ask, and they mix freely:
//!
//! - `hvc #1` and `hvc #2` change no register at all: [`checkpoint_here`], [`restore`]. The program
//!   goes on behind the `hvc #1` without being told whether the snapshot was just taken or came back.
//! - SMCCC calls on `hvc #0` tell: [`checkpoint`] returns the snapshot's [`Id`], and returns again,
//!   like C's `setjmp`, whenever someone goes back to it.
//!
//! A restore brings back *everything* that is the machine's own: registers, all memory, the UART, both
//! counters (CNTVCT_EL0 and CNTPCT_EL0) and their timers. With `time = "passes"` in the configuration the
//! counters have gone on meanwhile. So a program cannot note down in memory that it restored something.
//! What no restore takes back:
//!
//! - the `value` that [`restore_with`] passes, and the count of [`generation`];
//! - what has left the machine: characters that were printed.
//!
//! For the compiler a restore is nothing special. It returns the whole machine, the stack included,
//! to a state in which it was before: no variable can be seen half changed.

use core::arch::asm;
use core::fmt;

use crate::smccc::{self, hvc};

/// The function id of [`checkpoint()`].
pub const CHECKPOINT: u64 = 0xc600_0001;
/// The function id of [`restore_with`]: id, value.
pub const RESTORE: u64 = 0xc600_0002;
/// The function id of [`delete`]: id.
pub const DELETE: u64 = 0xc600_0003;
/// The function id of [`info`]: id.
pub const INFO: u64 = 0xc600_0004;
/// The function id of [`next`] and [`line()`]: id.
pub const NEXT: u64 = 0xc600_0005;
/// The function id of [`stats`].
pub const STATS: u64 = 0xc600_0006;
/// The function id of [`generation`].
pub const GENERATION: u64 = 0xc600_0007;

/// A snapshot's number. They count from 0 and are never used twice, whatever is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(pub u64);

impl Id {
    /// Stands for the newest snapshot that exists, in [`restore`] and [`restore_with`].
    pub const LATEST: Id = Id(u64::MAX);
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if *self == Id::LATEST {
            f.write_str("latest")
        } else {
            write!(f, "{}", self.0)
        }
    }
}

/// Why a call was refused. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no such call: this is another hypervisor, or none.
    NotSupported,
    /// An argument makes no sense.
    InvalidParameter,
    /// No snapshot has that id (any more), or it is another machine's.
    NotFound,
    /// Memory does not allow it, with all older snapshots freed.
    NoMemory,
    /// This machine controls no such target, or not as that is now.
    Denied,
    /// A code that the interface does not list.
    Other(i64),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Error::NotSupported => f.write_str("not supported"),
            Error::InvalidParameter => f.write_str("invalid parameter"),
            Error::NotFound => f.write_str("no such snapshot"),
            Error::NoMemory => f.write_str("no memory"),
            Error::Denied => f.write_str("denied"),
            Error::Other(code) => write!(f, "error {code}"),
        }
    }
}

/// How [`checkpoint`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// The snapshot has just been taken.
    Taken(Id),
    /// Somebody went back to it.
    Restored {
        /// The snapshot that is running again.
        id: Id,
        /// What the restorer passed, never 0. It is 1 after an `hvc #2`.
        value: u64,
    },
}

/// What [`info`] tells of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// The snapshot that the machine ran on when it was taken, which may be gone by now; `None` for a
    /// first one.
    pub parent: Option<Id>,
    /// Pages that deleting it would free.
    pub own_pages: u64,
    /// The virtual counter at its checkpoint, from where it continues after a restore.
    pub virtual_counter: u64,
}

/// What [`stats`] tells of all snapshots of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// How many exist.
    pub snapshots: u64,
    /// In how many pools.
    pub pools: u64,
    /// Pages kept for snapshots alone.
    pub pages_used: u64,
    /// Pages left for more.
    pub pages_free: u64,
}

/// `hvc #1`: takes a snapshot that continues here.
pub fn checkpoint_here() {
    // SAFETY: no register changes. Memory is taken to change (no `nomem`), as after a restore
    // execution continues here with whatever memory belongs to this moment.
    unsafe { asm!("hvc #1", options(nostack, preserves_flags)) }
}

/// `hvc #2`: goes back to snapshot `id`. It returns only if that was refused.
pub fn restore(id: Id) {
    // SAFETY: if it returns, nothing has changed; and if it does not, the registers and the memory
    // that it leaves behind are those that the code behind the `hvc #1` expects.
    unsafe { asm!("hvc #2", in("x0") id.0, options(nostack, preserves_flags)) }
}

/// `hvc #2` with -1: goes back to the newest snapshot that exists. It returns only if there is none.
pub fn restore_latest() {
    restore(Id::LATEST);
}

/// Takes a snapshot. Returns once for that, and once more for every [`restore_with`] to it.
pub fn checkpoint() -> Result<Checkpoint, Error> {
    let [id, value, ..] = call(CHECKPOINT, 0, 0)?;
    let id = Id(id);
    Ok(if value == 0 {
        Checkpoint::Taken(id)
    } else {
        Checkpoint::Restored { id, value }
    })
}

/// Goes back to `id`; its [`checkpoint`] then returns `value` (1 if that is 0). This function itself
/// returns only if it was refused, with the reason.
pub fn restore_with(id: Id, value: u64) -> Error {
    match call(RESTORE, id.0, value) {
        Err(error) => error,
        Ok([x0, ..]) => Error::Other(x0 as i64),
    }
}

/// Frees snapshot `id`. Those that were taken after it stay.
pub fn delete(id: Id) -> Result<(), Error> {
    call(DELETE, id.0, 0).map(drop)
}

/// Tells about snapshot `id`.
pub fn info(id: Id) -> Result<Info, Error> {
    call(INFO, id.0, 0).map(info_of)
}

/// INFO's results.
pub(crate) fn info_of([_, parent, own_pages, virtual_counter]: [u64; 4]) -> Info {
    Info {
        parent: (parent != u64::MAX).then_some(Id(parent)),
        own_pages,
        virtual_counter,
    }
}

/// The smallest id that exists and is not below `id`.
pub fn next(id: Id) -> Result<Id, Error> {
    call(NEXT, id.0, 0).map(|[id, ..]| Id(id))
}

/// Snapshot `id`, if it exists, or the next one that does, and three that it comes from, each the one that the machine ran on when the one before was
/// taken. `None` for `id`: the snapshot that the machine was last saved as or restored to, which may be gone. Behind one that is gone, and behind one
/// that comes from none, there is none.
pub fn line(id: Option<Id>) -> Result<[Option<Id>; 4], Error> {
    call(NEXT, or_now(id), 0).map(line_of)
}

/// NEXT's results.
pub(crate) fn line_of(ids: [u64; 4]) -> [Option<Id>; 4] {
    ids.map(|id| (id != u64::MAX).then_some(Id(id)))
}

/// An id as an argument; -1 is now.
pub(crate) fn or_now(id: Option<Id>) -> u64 {
    id.map_or(u64::MAX, |id| id.0)
}

/// Tells about all snapshots.
pub fn stats() -> Result<Stats, Error> {
    call(STATS, 0, 0).map(stats_of)
}

/// STATS's results.
pub(crate) fn stats_of([snapshots, pools, pages_used, pages_free]: [u64; 4]) -> Stats {
    Stats {
        snapshots,
        pools,
        pages_used,
        pages_free,
    }
}

/// How often this machine was restored. No restore takes it back.
pub fn generation() -> Result<u64, Error> {
    call(GENERATION, 0, 0).map(|[count, ..]| count)
}

/// Whether the snapshot calls are there. Where they are not, [`checkpoint_here`] must not be used:
/// other hypervisors answer `hvc #1` by changing x0.
pub fn available() -> bool {
    generation().is_ok()
}

/// The UUID of the hypervisor's vendor range, as SMCCC lays it out in w0 to w3.
pub fn vendor_uid() -> Option<[u32; 4]> {
    let words = hvc([smccc::VENDOR_UID, 0, 0, 0]).map(|word| word as u32);
    (words[0] != u32::MAX).then_some(words)
}

/// The version of the vendor range's calls: major, minor.
pub fn vendor_revision() -> Option<(u32, u32)> {
    let [major, minor, ..] = hvc([smccc::VENDOR_REVISION, 0, 0, 0]).map(|word| word as u32);
    (major != u32::MAX).then_some((major, minor))
}

fn call(function: u64, x1: u64, x2: u64) -> Result<[u64; 4], Error> {
    checked(hvc([function, x1, x2, 0]))
}

/// A call's results, or the error that they say.
pub(crate) fn checked(results: [u64; 4]) -> Result<[u64; 4], Error> {
    match results[0] as i64 {
        0.. => Ok(results),
        -1 => Err(Error::NotSupported),
        -3 => Err(Error::InvalidParameter),
        -4 => Err(Error::NotFound),
        -5 => Err(Error::NoMemory),
        -6 => Err(Error::Denied),
        code => Err(Error::Other(code)),
    }
}
