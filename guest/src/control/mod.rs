//! Calls of a VM that controls others, and the one call of a VM that is controlled.
//!
//! The configuration says who controls whom: `controls = ["a", "b"]` makes `a` that VM's [`Target`] 0, and `b` its target 1.
//! A target that is not running costs nothing.
//!
//! How a fuzzer goes round, with what its target does beside it:
//!
//! | controller | target |
//! | --- | --- |
//! | [`run`](Target::run) | starts, gets ready, and calls [`event`] |
//! | [`checkpoint`](Target::checkpoint), once | |
//! | `run`, with a limit | goes on behind its event, works, and calls `event` again; or is reset, ends, takes too long |
//! | looks at what it said; [`restore`](Target::restore) | is where it was at the checkpoint |

mod registers;

pub use registers::Registers;

use crate::smccc::{hvc, hvc_with_six};
use crate::snapshot::{Error, Id, Info, Stats, checked, info_of, line_of, or_now, stats_of};

/// The function id of [`event`]: code, a, b.
pub const EVENT: u64 = 0xc600_0008;
/// The function id of [`Target::status`]: target.
pub const TARGET: u64 = 0xc600_0010;
/// The function id of [`Target::run`] and [`Target::step`]: target, limit, CPU + 1 or 0.
pub const RUN: u64 = 0xc600_0011;
/// The function id of [`Target::stop`]: target.
pub const STOP: u64 = 0xc600_0012;
/// The function id of [`Target::read`]: target, id or -1, address, where to, bytes, CPU + 1 or 0.
pub const READ: u64 = 0xc600_0013;
/// The function id of [`Target::write`]: target, address, where from, bytes, CPU + 1 or 0.
pub const WRITE: u64 = 0xc600_0014;
/// The function id of [`Target::registers`]: target, id or -1, CPU, where to, bytes.
pub const REGISTERS: u64 = 0xc600_0015;
/// The function id of [`Target::set_registers`]: target, CPU, where from, bytes.
pub const SET_REGISTERS: u64 = 0xc600_0016;
/// The function id of [`Target::differs`]: target, id or -1, id or -1, page.
pub const DIFFERS: u64 = 0xc600_0017;
/// The function id of [`Target::checkpoint`]: target.
pub const CHECKPOINT_OF: u64 = 0xc600_0018;
/// The function id of [`Target::restore_with`]: target, id, value.
pub const RESTORE_OF: u64 = 0xc600_0019;
/// The function id of [`Target::delete`]: target, id.
pub const DELETE_OF: u64 = 0xc600_001a;
/// The function id of [`Target::info`]: target, id.
pub const INFO_OF: u64 = 0xc600_001b;
/// The function id of [`Target::next`] and [`Target::line`]: target, id.
pub const NEXT_OF: u64 = 0xc600_001c;
/// The function id of [`Target::stats`]: target.
pub const STATS_OF: u64 = 0xc600_001d;

/// The function id of [`Target::catch`]: target, what.
pub const CATCH: u64 = 0xc600_001e;
/// The function id of [`Target::set_breakpoint`] and its like: target, number, kind, address, bytes.
pub const BREAKPOINT: u64 = 0xc600_001f;
/// The function id of [`Target::translate`]: target, id or -1, CPU, address.
pub const TRANSLATE: u64 = 0xc600_0020;

/// Stops this machine, and hands the values to the one that controls it. Returns when that one runs it again. [`Error::NotSupported`] at once if
/// there is none: a program may call this wherever it runs.
pub fn event(code: u64, a: u64, b: u64) -> Result<(), Error> {
    checked(hvc([EVENT, code, a, b])).map(drop)
}

/// A machine that this one controls: the place of its name in `controls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target(pub u64);

/// Why a target stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It called [`event`] with these values.
    Event {
        /// What it is.
        code: u64,
        /// What belongs to it.
        a: u64,
        /// What else belongs to it.
        b: u64,
    },
    /// It was reset, by itself or by the operator. It has not begun again yet.
    Reset,
    /// It is off. Only a restore, or the operator's reset, has it run again.
    Off,
    /// The time that it was given is over.
    Limit,
    /// Another CPU of this machine called [`Target::stop`].
    Stopped,
    /// It did not: it runs on. There is an interrupt for this machine, or was.
    Interrupted,
    /// A debug exception that [`Target::catch`] catches, or the end of [`Target::step`].
    Debug {
        /// The CPU whose it is.
        cpu: u64,
        /// Its syndrome, as ESR_EL2 has it: EC, bits 31:26, is 0x30 for a breakpoint, 0x32 for a step, 0x34 for a watchpoint, 0x3c for BRK.
        esr: u64,
        /// The address that the access was to, for a watchpoint.
        far: u64,
    },
    /// A reason that this crate does not know.
    Other(u64),
}

impl Stop {
    const fn of([why, a, b, c]: [u64; 4]) -> Self {
        match why {
            0 => Self::Event {
                code: a,
                a: b,
                b: c,
            },
            1 => Self::Reset,
            2 => Self::Off,
            3 => Self::Limit,
            4 => Self::Stopped,
            5 => Self::Interrupted,
            6 => Self::Debug {
                cpu: a,
                esr: b,
                far: c,
            },
            other => Self::Other(other),
        }
    }
}

/// For [`Target::catch`]: the breakpoints and watchpoints that were set stop the target.
pub const HARDWARE: u64 = 1;

/// For [`Target::catch`]: BRK instructions with this immediate stop the target. Any other is the target's own.
pub const fn brk(immediate: u16) -> u64 {
    (immediate as u64) << 16 | 2
}

/// Which accesses a watchpoint is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Loads.
    Loads = 2,
    /// Stores.
    Stores = 3,
    /// Both.
    Both = 4,
}

/// Where a virtual address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The guest-physical address.
    pub address: u64,
    /// Bytes from there to the end of the page or block that maps it.
    pub bytes: u64,
}

/// What a CPU has for debugging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparators {
    /// Breakpoints, 1 to 16.
    pub breakpoints: u64,
    /// Watchpoints, 1 to 16.
    pub watchpoints: u64,
}

/// In [`BREAKPOINT`], the number of the first watchpoint.
const FIRST_WATCHPOINT: u64 = 16;

/// The most bytes of one [`Target::read`] or [`Target::write`].
pub const BYTES_MAX: usize = 1 << 16;

/// Whether a target runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It switched itself off.
    Off,
    /// It waits for [`Target::run`].
    Stopped,
    /// It runs, as far as it has something to do.
    Running,
}

/// How a target does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether it runs.
    pub state: State,
    /// Its CPUs.
    pub vcpus: u64,
    /// Pages of 4 KiB of its RAM.
    pub pages: u64,
}

impl Target {
    fn call(self, function: u64, x2: u64, x3: u64) -> Result<[u64; 4], Error> {
        checked(hvc([function, self.0, x2, x3]))
    }

    /// How the target does.
    pub fn status(self) -> Result<Status, Error> {
        let [_, state, vcpus, pages] = self.call(TARGET, 0, 0)?;
        let state = match state {
            0 => State::Off,
            1 => State::Stopped,
            _ => State::Running,
        };
        Ok(Status {
            state,
            vcpus,
            pages,
        })
    }

    /// Runs the target until something happens: for at most `limit` ns in which it could run, if there is a limit. With the same limit again after
    /// [`Stop::Interrupted`], what ran before counts.
    pub fn run(self, limit: Option<u64>) -> Result<Stop, Error> {
        self.call(RUN, limit.map_or(0, |limit| limit.max(1)), 0)
            .map(Stop::of)
    }

    /// Runs one instruction of a CPU of the target, which is on, while its others stand: [`Stop::Debug`], unless something else happens. An instruction that
    /// waits, as WFI, is told at once; a CPU that waits leaves that for the next one.
    pub fn step(self, cpu: u64, limit: Option<u64>) -> Result<Stop, Error> {
        let step = cpu.checked_add(1).ok_or(Error::InvalidParameter)?;
        self.call(RUN, limit.map_or(0, |limit| limit.max(1)), step)
            .map(Stop::of)
    }

    /// Says which debug exceptions stop the target: 0, none, or [`HARDWARE`] and [`brk`]. With any of them the target's own breakpoints, watchpoints and
    /// software step do not act.
    pub fn catch(self, what: u64) -> Result<Comparators, Error> {
        let [_, breakpoints, watchpoints, _] = self.call(CATCH, what, 0)?;
        Ok(Comparators {
            breakpoints,
            watchpoints,
        })
    }

    fn comparator(self, x: [u64; 4]) -> Result<(), Error> {
        self.long_call(BREAKPOINT, x).map(drop)
    }

    /// Sets breakpoint number `n` to the instruction at the target's virtual `address`, on all its CPUs.
    pub fn set_breakpoint(self, n: u64, address: u64) -> Result<(), Error> {
        self.comparator([n, 1, address, 4])
    }

    /// Removes breakpoint number `n`.
    pub fn clear_breakpoint(self, n: u64) -> Result<(), Error> {
        self.comparator([n, 0, 0, 0])
    }

    /// Sets watchpoint number `n` to the target's virtual `address`, on all its CPUs: up to 8 bytes in an aligned doubleword, or an aligned power of two up to
    /// 2 GiB. It stops before the access.
    pub fn set_watchpoint(
        self,
        n: u64,
        watch: Watch,
        address: u64,
        bytes: u64,
    ) -> Result<(), Error> {
        let number = FIRST_WATCHPOINT.saturating_add(n);
        self.comparator([number, watch as u64, address, bytes])
    }

    /// Removes watchpoint number `n`.
    pub fn clear_watchpoint(self, n: u64) -> Result<(), Error> {
        self.comparator([FIRST_WATCHPOINT.saturating_add(n), 0, 0, 0])
    }

    /// Stops the target. A CPU that waits in [`run`](Self::run) for it is told.
    pub fn stop(self) -> Result<(), Error> {
        self.call(STOP, 0, 0).map(drop)
    }

    fn long_call(self, function: u64, x: [u64; 4]) -> Result<u64, Error> {
        self.longest_call(function, x, 0).map(|[x0, ..]| x0)
    }

    fn longest_call(self, function: u64, x: [u64; 4], x6: u64) -> Result<[u64; 4], Error> {
        checked(hvc_with_six([function, self.0, x[0], x[1], x[2], x[3], x6]))
    }

    /// Reads the target's memory from the guest-physical `address` on, as it is in a snapshot, or now. `to` lies in this machine's memory one to one. At
    /// most [`BYTES_MAX`] at a time.
    pub fn read(self, id: Option<Id>, address: u64, to: &mut [u8]) -> Result<(), Error> {
        let (at, bytes) = (to.as_mut_ptr() as u64, to.len() as u64);
        self.long_call(READ, [or_now(id), address, at, bytes])
            .map(drop)
    }

    /// Writes the target's memory from the guest-physical `address` on, as a store of the target would. `from` lies in this machine's memory one to one. At
    /// most [`BYTES_MAX`] at a time.
    pub fn write(self, address: u64, from: &[u8]) -> Result<(), Error> {
        let (at, bytes) = (from.as_ptr() as u64, from.len() as u64);
        self.long_call(WRITE, [address, at, bytes, 0]).map(drop)
    }

    /// As [`read`](Self::read), from the virtual `address` of a CPU on, by its tables in memory. [`Error::NotFound`] if nothing is mapped there.
    pub fn read_virtual(
        self,
        id: Option<Id>,
        cpu: u64,
        address: u64,
        to: &mut [u8],
    ) -> Result<(), Error> {
        let (at, bytes) = (to.as_mut_ptr() as u64, to.len() as u64);
        let cpu = cpu.checked_add(1).ok_or(Error::InvalidParameter)?;
        self.longest_call(READ, [or_now(id), address, at, bytes], cpu)
            .map(drop)
    }

    /// As [`write`](Self::write), from the virtual `address` of a CPU on, by its tables in memory, whatever they permit. [`Error::NotFound`] if nothing is
    /// mapped there.
    pub fn write_virtual(self, cpu: u64, address: u64, from: &[u8]) -> Result<(), Error> {
        let (at, bytes) = (from.as_ptr() as u64, from.len() as u64);
        let cpu = cpu.checked_add(1).ok_or(Error::InvalidParameter)?;
        self.long_call(WRITE, [address, at, bytes, cpu]).map(drop)
    }

    /// Where the virtual `address` of a CPU of the target, which is on, leads, by its tables in memory, in a snapshot or now. [`Error::NotFound`] if nothing is
    /// mapped there.
    pub fn translate(self, id: Option<Id>, cpu: u64, address: u64) -> Result<Place, Error> {
        let [_, address, bytes, _] =
            self.longest_call(TRANSLATE, [or_now(id), cpu, address, 0], 0)?;
        Ok(Place { address, bytes })
    }

    /// The registers of a CPU of the target, as they are in a snapshot, or now.
    pub fn registers(self, id: Option<Id>, cpu: u64) -> Result<Registers, Error> {
        let mut registers = Registers::ZERO;
        let at = &raw mut registers as u64;
        let bytes = size_of::<Registers>() as u64;
        self.long_call(REGISTERS, [or_now(id), cpu, at, bytes])?;
        Ok(registers)
    }

    /// Sets the registers of a CPU of the target, which is on. What a guest could not set itself is refused. If it waits for an interrupt, it does not any
    /// more. [`Error::Denied`] if the CPU is off, or if its caches would be switched on or off while the target is not stopped.
    pub fn set_registers(self, cpu: u64, registers: &Registers) -> Result<(), Error> {
        let at = &raw const *registers as u64;
        let bytes = size_of::<Registers>() as u64;
        self.long_call(SET_REGISTERS, [cpu, at, bytes, 0]).map(drop)
    }

    /// The first page of the target's RAM, from page `from` on, in which two snapshots, or a snapshot and now, differ; as many as it has, if none does. A
    /// page that was stored to differs, whatever was stored.
    pub fn differs(self, one: Option<Id>, other: Option<Id>, from: u64) -> Result<u64, Error> {
        self.long_call(DIFFERS, [or_now(one), or_now(other), from, 0])
    }

    /// Takes a snapshot of the target, which does not notice.
    pub fn checkpoint(self) -> Result<Id, Error> {
        self.call(CHECKPOINT_OF, 0, 0).map(|[id, ..]| Id(id))
    }

    /// Takes the target back to a snapshot, and says which that was.
    pub fn restore(self, id: Id) -> Result<Id, Error> {
        self.restore_with(id, 1)
    }

    /// The same. A snapshot that the target took by its own [`checkpoint`](crate::checkpoint) returns `value` from that (1 if it is 0).
    pub fn restore_with(self, id: Id, value: u64) -> Result<Id, Error> {
        self.call(RESTORE_OF, id.0, value).map(|[id, ..]| Id(id))
    }

    /// Frees a snapshot of the target. Those that were taken after it stay.
    pub fn delete(self, id: Id) -> Result<(), Error> {
        self.call(DELETE_OF, id.0, 0).map(drop)
    }

    /// Tells about a snapshot of the target.
    pub fn info(self, id: Id) -> Result<Info, Error> {
        self.call(INFO_OF, id.0, 0).map(info_of)
    }

    /// The target's smallest id that exists and is not below `id`.
    pub fn next(self, id: Id) -> Result<Id, Error> {
        self.call(NEXT_OF, id.0, 0).map(|[id, ..]| Id(id))
    }

    /// The target's snapshot `id`, if it exists, or the next one that does, and three that it comes from, as [`snapshot::line`](crate::snapshot::line) has
    /// them. `None` for `id`: the snapshot that the target was last saved as or restored to, which may be gone.
    pub fn line(self, id: Option<Id>) -> Result<[Option<Id>; 4], Error> {
        self.call(NEXT_OF, or_now(id), 0).map(line_of)
    }

    /// Tells about all snapshots of the target.
    pub fn stats(self) -> Result<Stats, Error> {
        self.call(STATS_OF, 0, 0).map(stats_of)
    }
}
