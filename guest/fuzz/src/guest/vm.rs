//! The target: the VM that this one controls.

use alloc::format;
use alloc::string::String;
use core::sync::atomic::{Ordering, fence};

use avisor_fuzz::layout::{CRASH, DONE, MAGIC, MAP_BYTES, READY, Window};
use avisor_fuzz::target::{Costs, Ending, Target};
use avisor_guest::control::{self, Stop};
use avisor_guest::timer::{self, Timer};
use avisor_guest::{Error, Id};

/// How long the target may take to its first READY, in nanoseconds: a kernel boots first.
const START: u64 = 120_000_000_000;
/// Once in so many rounds the hypervisor is asked how many pages it dirtied.
const ASKED: u64 = 64;
/// The first name in the configuration's `controls`.
const TARGET: control::Target = control::Target(0);

/// The target.
pub struct Vm {
    window: Window,
    snapshot: Id,
    limit: u64,
    frequency: u64,
    rounds: u64,
    costs: Costs,
}

impl Vm {
    /// Runs the target until it waits for its first input, and takes the snapshot that each round begins from. `limit` is how long a round may
    /// take, in nanoseconds. Returns how many bytes of the map it uses, too.
    pub fn start(window: Window, limit: u64) -> Result<(Self, usize), String> {
        match run(START)? {
            // By a doorbell, the code is all that comes: the header has the rest.
            Stop::Event { code: READY, .. } => {}
            Stop::Event { code: CRASH, .. } => {
                return Err("the target crashed before its first input".into());
            }
            Stop::Event { code, .. } => {
                return Err(format!("the target sends {code} in place of READY"));
            }
            Stop::Reset => return Err("the target resets itself before its first input".into()),
            Stop::Off => return Err("the target is off before its first input".into()),
            Stop::Limit => {
                return Err("the target did not get to its first input in two minutes".into());
            }
            other => return Err(format!("the target stopped: {other:?}")),
        };
        let header = window.header();
        // SAFETY: the header is in the window, and the target is stopped.
        let (magic, map_bytes) = unsafe {
            let magic = (&raw const (*header).magic).read_volatile();
            (
                magic,
                (&raw const (*header).map_bytes).read_volatile() as usize,
            )
        };
        if magic != MAGIC {
            return Err(
                "the target was built for another fuzzer: its window begins otherwise".into(),
            );
        }
        if !map_bytes.is_power_of_two() || map_bytes > MAP_BYTES {
            return Err(format!("the target's map has {map_bytes} bytes"));
        }
        let vm = Self {
            window,
            snapshot: TARGET
                .checkpoint()
                .map_err(said("a snapshot of the target"))?,
            limit,
            frequency: timer::frequency(),
            rounds: 0,
            costs: Costs::default(),
        };
        Ok((vm, map_bytes))
    }

    /// Where the target says that it crashed: by a doorbell, the code is all that comes.
    fn pc(&self) -> u64 {
        let header = self.window.header();
        // SAFETY: the header is in the window, and the target is stopped.
        unsafe { (&raw const (*header).crash.pc).read_volatile() }
    }

    fn try_round(&mut self) -> Result<Ending, String> {
        let start = Timer::Virtual.count();
        let ending = match run(self.limit)? {
            Stop::Event { code: CRASH, a, .. } => Ending::Crash {
                place: if a == 0 { self.pc() } else { a },
            },
            Stop::Event {
                code: DONE | READY, ..
            } => Ending::Done,
            Stop::Reset => Ending::Reset,
            Stop::Off => Ending::Off,
            Stop::Limit => Ending::Hang,
            other => return Err(format!("the target stopped: {other:?}")),
        };
        if self.rounds.is_multiple_of(ASKED) {
            // The one snapshot holds alone what the target changed since.
            let stats = TARGET.stats().map_err(said("figures of the target"))?;
            self.costs.pages = stats.pages_used;
        }
        self.rounds += 1;
        TARGET
            .restore(self.snapshot)
            .map_err(said("back to the snapshot"))?;
        let whole = nanoseconds(Timer::Virtual.count() - start, self.frequency);
        let target = match ending {
            Ending::Done => {
                let header = self.window.header();
                // SAFETY: the header is in the window, and the target is stopped.
                let (began, ended) = unsafe {
                    let began = (&raw const (*header).began).read_volatile();
                    (began, (&raw const (*header).ended).read_volatile())
                };
                nanoseconds(ended.wrapping_sub(began), self.frequency).min(whole)
            }
            // It had all of it, or nearly so.
            _ => whole,
        };
        self.costs.target += target;
        self.costs.hypervisor += whole - target;
        Ok(ending)
    }
}

impl Target for Vm {
    fn window(&self) -> Window {
        self.window
    }

    fn round(&mut self) -> Ending {
        // Nothing can go on then.
        self.try_round().unwrap_or_else(|text| panic!("{text}"))
    }

    fn costs(&self) -> Costs {
        self.costs
    }

    fn now(&self) -> u64 {
        nanoseconds(Timer::Virtual.count(), self.frequency)
    }
}

/// Runs the target for so many nanoseconds at the most.
fn run(limit: u64) -> Result<Stop, String> {
    loop {
        // The two may be on two cores: what was written here before is seen there, and what was written there is seen here.
        fence(Ordering::SeqCst);
        let stop = TARGET
            .run(Some(limit))
            .map_err(said("running the target"))?;
        fence(Ordering::SeqCst);
        if stop != Stop::Interrupted {
            return Ok(stop);
        }
    }
}

/// An error of a call, as a text.
fn said(what: &str) -> impl Fn(Error) -> String {
    move |error| format!("{what}: {error}")
}

/// Ticks of a counter in nanoseconds, for some 500 years.
pub fn nanoseconds(ticks: u64, frequency: u64) -> u64 {
    let ratio = (1_000_000_000 << 32) / frequency;
    ((u128::from(ticks) * u128::from(ratio)) >> 32) as u64
}
