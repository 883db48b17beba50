//! What CPUs have in common: how many they are, where they meet, and how one says that something is wrong.

use core::fmt::Arguments;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};

use avisor_guest::exception::without_interrupts;
use avisor_guest::timer::{Timer, frequency};
use avisor_guest::{gic, power_off, println, smp};

static CPUS: AtomicUsize = AtomicUsize::new(1);
static ARRIVED: AtomicUsize = AtomicUsize::new(0);
static MEETING: AtomicU32 = AtomicU32::new(0);
static PRINTING: AtomicBool = AtomicBool::new(false);

/// How many take part.
pub fn count() -> usize {
    CPUS.load(SeqCst)
}

/// The first CPU says how many there are, before it starts the others.
pub fn set_count(cpus: usize) {
    CPUS.store(cpus, SeqCst);
}

/// This CPU's interface and its own interrupts: SGIs only.
pub fn prepare(cpu: usize) {
    use gic::distributor::{ICENABLER, ISENABLER};
    gic::write(ICENABLER, 0xffff_0000);
    gic::write(ISENABLER, 0x0000_ffff);
    for sgi in 0..16 {
        gic::set_priority(sgi, 0x80);
    }
    gic::enable_cpu();
    expect("this CPU", cpu as u64, smp::this_cpu() as u64);
}

/// Waits until all CPUs are here.
pub fn meet() {
    let meeting = MEETING.load(SeqCst);
    if ARRIVED.fetch_add(1, SeqCst) + 1 == count() {
        ARRIVED.store(0, SeqCst);
        MEETING.store(meeting + 1, SeqCst);
        return;
    }
    wait_for("the others do not come", || MEETING.load(SeqCst) != meeting);
}

/// Waits until `condition` holds; that it never does is a mistake.
pub fn wait_for(why: &str, mut condition: impl FnMut() -> bool) {
    let patience = Patience::new();
    while !condition() {
        if patience.is_over() {
            fail(format_args!("{why}"));
        }
        smp::wait_a_little();
    }
}

/// How long a CPU waits for what must come: half a minute of the guest's time.
pub struct Patience(u64);

impl Patience {
    pub fn new() -> Self {
        Self(Timer::Virtual.count())
    }

    pub fn is_over(&self) -> bool {
        Timer::Virtual.count() > self.0 + 30 * frequency()
    }
}

/// A line on the console, in one piece.
pub fn say(text: Arguments) {
    without_interrupts(|| {
        while PRINTING.swap(true, SeqCst) {
            smp::wait_a_little();
        }
        println!("smp-test: {text}");
        PRINTING.store(false, SeqCst);
    });
}

/// The end. What is wrong is said before a restore can take it back.
pub fn fail(text: Arguments) -> ! {
    // Whoever prints may be waiting for this CPU: no lock.
    println!("\nsmp-test: FAIL: CPU {}: {text}", smp::this_cpu());
    power_off()
}

/// `what` must be `want`.
#[track_caller]
pub fn expect(what: &str, want: u64, got: u64) {
    if want != got {
        fail(format_args!("{what}: want {want:#x}, got {got:#x}"));
    }
}

/// The latest time that anybody has seen, of each timer.
static LATEST: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// No CPU sees a time before one that another has seen. After a restore, what was seen has gone back, too.
pub fn look_at_the_time() {
    for (timer, latest) in [Timer::Virtual, Timer::Physical].into_iter().zip(&LATEST) {
        let seen = latest.load(SeqCst);
        let now = timer.count();
        if now < seen {
            fail(format_args!("{timer:?}: {now:#x} comes after {seen:#x}"));
        }
        latest.fetch_max(now, SeqCst);
    }
}
