//! Everything at once, until those that ask for snapshots have had enough, or for a while.
//!
//! # Mail
//!
//! A pair of CPUs has two numbers: sent and seen. The sender adds one to the first and sends an SGI when they are equal; the
//! receiver's handler finds them one apart and makes them equal. Two SGIs of a pair are never on their way at once, so none
//! merges with another; one that is lost leaves them apart, one that comes twice finds them equal.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::SeqCst};

use avisor_guest::exception::{mask_interrupts, unmask_interrupts, wait_for_interrupt};
use avisor_guest::gic::{self, To, distributor};
use avisor_guest::memory::{self, PAGE};
use avisor_guest::smp::{self, MOST};
use avisor_guest::timer::{Timer, frequency, microseconds};
use avisor_guest::{console, image_end, psci};

use crate::asker::Asker;
use crate::cpu::{count, expect, fail, look_at_the_time, meet, say, wait_for};
use crate::ticks;
use avisor_guest::random::Random;

/// The SPI of the storm.
pub const STORM_SPI: u32 = 42;

/// What is special about a storm.
pub struct Storm {
    /// How many CPUs take snapshots and go back to them, from CPU 0 on; more than there are is all.
    askers: usize,
    /// How often they go back in all, on up to four CPUs. More are fewer times: where a machine plays them all, each time takes longer.
    restores: u64,
    /// Whether CPUs wait for interrupts in between.
    waits: bool,
    /// Whether the last CPU goes off and is started again.
    off_and_on: bool,
}

const CALM: Storm = Storm {
    askers: 0,
    restores: 0,
    waits: false,
    off_and_on: false,
};
pub const NO_SNAPSHOTS: Storm = CALM;
pub const OFF_AND_ON: Storm = Storm {
    waits: true,
    off_and_on: true,
    ..CALM
};
pub const RESTORES: Storm = Storm {
    askers: 1,
    restores: 24,
    ..CALM
};
pub const IN_WFI: Storm = Storm {
    waits: true,
    ..RESTORES
};
pub const RESTORES_OFF_AND_ON: Storm = Storm {
    off_and_on: true,
    ..IN_WFI
};
pub const BY_TWO: Storm = Storm {
    askers: 2,
    ..RESTORES
};
pub const BY_ALL: Storm = Storm {
    askers: MOST,
    ..IN_WFI
};

/// A storm without snapshots goes on for so many microseconds.
const WHILE: u64 = 500_000;
/// Each CPU says something so often, in microseconds.
const SAYS: u64 = 100_000;
/// Pages that each CPU stores to.
const PAGES: usize = 8;

/// What a pair of CPUs exchanged.
struct Mail {
    sent: AtomicU64,
    seen: AtomicU64,
    /// When the last one was sent.
    at: AtomicU64,
    /// The sender is about to send, or has sent what is not seen yet.
    busy: AtomicBool,
}

impl Mail {
    const fn new() -> Self {
        Self {
            sent: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            at: AtomicU64::new(0),
            busy: AtomicBool::new(false),
        }
    }
}

/// By sender and receiver.
static MAIL: [[Mail; MOST]; MOST] = [const { [const { Mail::new() }; MOST] }; MOST];
/// To whoever gets the shared interrupt.
static SHARED: Mail = Mail::new();
/// CPUs that take mail.
static PRESENT: [AtomicBool; MOST] = [const { AtomicBool::new(false) }; MOST];
/// Where the last CPU is: [`HERE`], [`AWAY`] or [`CALLED`].
static LAST: AtomicU8 = AtomicU8::new(HERE);
const HERE: u8 = 0;
/// It is about to go off, or is.
const AWAY: u8 = 1;
/// It was started again.
const CALLED: u8 = 2;
/// Somebody has had enough.
static OVER: AtomicBool = AtomicBool::new(false);
/// The last CPU knows that, and will not go off any more.
static LAST_KNOWS: AtomicBool = AtomicBool::new(false);

/// SGI 0 to 7.
pub fn mail_came(sender: usize, cpu: usize, sgi: u32) {
    let mail = &MAIL[sender][cpu];
    let sent = mail.sent.load(SeqCst);
    expect("number of an SGI", sent % 8, sgi.into());
    expect("SGIs seen", sent, mail.seen.fetch_add(1, SeqCst) + 1);
    mail.busy.store(false, SeqCst);
}

/// The shared interrupt.
pub fn shared_came() {
    let sent = SHARED.sent.load(SeqCst);
    expect(
        "shared interrupts seen",
        sent,
        SHARED.seen.fetch_add(1, SeqCst) + 1,
    );
    SHARED.busy.store(false, SeqCst);
}

impl Mail {
    /// Sends the next one by `send`, if the one before was seen and `present` still holds.
    fn send(&self, present: impl Fn() -> bool, send: impl Fn(u64)) {
        if self.busy.load(SeqCst) {
            let waited = Timer::Virtual.count().saturating_sub(self.at.load(SeqCst));
            if waited > 30 * frequency() && self.busy.load(SeqCst) {
                fail(format_args!(
                    "an SGI is lost: sent {}, seen {}",
                    self.sent.load(SeqCst),
                    self.seen.load(SeqCst)
                ));
            }
            return;
        }
        // A CPU that goes off waits for those that are busy, so announce first and look then.
        self.at.store(Timer::Virtual.count(), SeqCst);
        self.busy.store(true, SeqCst);
        if !present() {
            self.busy.store(false, SeqCst);
            return;
        }
        let number = self.sent.fetch_add(1, SeqCst) + 1;
        send(number);
    }
}

impl Storm {
    pub fn needs_snapshots(&self) -> bool {
        self.askers > 0
    }

    /// One CPU's part. A CPU that was off begins in `main`, which brings it here again.
    pub fn run(&self, cpu: usize, main: fn(usize) -> !) {
        let back = cpu == last() && LAST.load(SeqCst) != HERE;
        if !back {
            if cpu == 0 {
                OVER.store(false, SeqCst);
                LAST_KNOWS.store(false, SeqCst);
                prepare_shared();
            }
            meet();
        }
        PRESENT[cpu].store(true, SeqCst);
        ticks::start(cpu);
        if back {
            LAST.store(HERE, SeqCst);
        }
        unmask_interrupts();
        self.rage(cpu, main);
        // Nobody sends any more; what is on its way comes.
        PRESENT[cpu].store(false, SeqCst);
        wait_for_mail(cpu);
        wait_for("the shared interrupt is lost", || !SHARED.busy.load(SeqCst));
        mask_interrupts();
        ticks::stop(cpu);
        meet();
    }

    /// Until it is over.
    fn rage(&self, cpu: usize, main: fn(usize) -> !) {
        let end = Timer::Virtual.count() + microseconds(WHILE);
        let mut random = Random::new(cpu as u64 + 1000 * Timer::Virtual.count());
        let mut pages = Pages::new(cpu);
        let crowd = (count() as u64).max(4) / 4;
        let mut asker = Asker::new(self.restores / (crowd * crowd));
        let mut said = Timer::Virtual.count();
        while !OVER.load(SeqCst) {
            look_at_the_time();
            ticks::check(cpu);
            send_mail(cpu, &mut random);
            pages.store();
            console::raw_interrupts();
            if Timer::Virtual.count() > said + microseconds(SAYS) {
                said = Timer::Virtual.count();
                say(format_args!("CPU {cpu} goes on"));
            }
            if cpu < self.askers {
                asker.step();
            }
            let over = match self.askers {
                0 => Timer::Virtual.count() > end,
                _ => cpu < self.askers && asker.has_enough(),
            };
            if over {
                OVER.store(true, SeqCst);
            }
            if self.waits && random.below(4) == 0 {
                // A tick wakes it.
                wait_for_interrupt();
            }
            if self.off_and_on && count() > 1 {
                if cpu == last() && random.below(64) == 0 {
                    go_off(cpu);
                }
                if cpu == 0 {
                    bring_back(main);
                }
            }
        }
        if cpu == last() {
            LAST_KNOWS.store(true, SeqCst);
        }
        if cpu == 0 {
            wait_for("the last CPU does not come back", || {
                bring_back(main);
                LAST_KNOWS.load(SeqCst)
            });
        }
        pages.check();
    }
}

fn last() -> usize {
    count() - 1
}

fn prepare_shared() {
    gic::set_edge(STORM_SPI, true);
    gic::set_priority(STORM_SPI, 0x90);
    gic::set_targets(STORM_SPI, 1);
    gic::enable_interrupt(STORM_SPI);
}

fn send_mail(cpu: usize, random: &mut Random) {
    let to = random.below(count() as u64) as usize;
    let present = || PRESENT[to].load(SeqCst);
    MAIL[cpu][to].send(present, |number| {
        gic::send(To::Cpus(1 << to), number as u32 % 8);
    });
    // One sender; and not to the one that goes off.
    if cpu == 0 {
        let target = random.below(last().max(1) as u64) as usize;
        let present = || PRESENT[target].load(SeqCst);
        SHARED.send(present, |_| {
            gic::set_targets(STORM_SPI, 1 << target);
            gic::set_bit(distributor::ISPENDR, STORM_SPI);
        });
    }
}

/// What was sent to `cpu` comes before it leaves.
fn wait_for_mail(cpu: usize) {
    for mail in &MAIL {
        wait_for("an SGI is lost", || !mail[cpu].busy.load(SeqCst));
    }
}

/// Switches this CPU off, without anything on its way to it.
fn go_off(cpu: usize) {
    PRESENT[cpu].store(false, SeqCst);
    wait_for_mail(cpu);
    mask_interrupts();
    ticks::stop(cpu);
    LAST.store(AWAY, SeqCst);
    psci::cpu_off()
}

/// Starts the last CPU again in `main`, if it has gone off.
fn bring_back(main: fn(usize) -> !) {
    if LAST.load(SeqCst) != AWAY || smp::state(last()) != psci::OFF {
        return;
    }
    LAST.store(CALLED, SeqCst);
    if let Err(error) = smp::start(last(), main) {
        fail(format_args!("CPU_ON of one that was off: {error}"));
    }
}

/// Pages that hold the same number, each.
struct Pages {
    first: usize,
    number: u64,
}

impl Pages {
    fn new(cpu: usize) -> Self {
        let first = image_end() + cpu * PAGES * PAGE;
        let mut pages = Self { first, number: 0 };
        pages.fill();
        pages
    }

    fn fill(&mut self) {
        for page in 0..PAGES {
            // SAFETY: this CPU's pages behind the image, which nothing else uses.
            unsafe { memory::store(self.first + page * PAGE, self.number) }
        }
    }

    fn check(&self) {
        for page in 0..PAGES {
            expect(
                "a page",
                self.number,
                memory::load(self.first + page * PAGE),
            );
        }
    }

    /// The next number, in all of them.
    fn store(&mut self) {
        self.check();
        self.number += 1;
        self.fill();
    }
}
