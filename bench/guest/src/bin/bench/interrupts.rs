//! What interrupts cost, and a second vCPU.
//!
//! What EL2 does alone is counted by a counter that stands still outside of it. That will not do for two vCPUs: QEMU runs one after the
//! other, and a counter goes on while the other runs. So with two it is all instructions between two moments, less those of both
//! guests: each of them counts what it does meanwhile, in rounds of a loop that is known.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use avisor_guest::exception::{self, Frame, mask_interrupts, unmask_interrupts};
use avisor_guest::gic::{self, To, distributor};
use avisor_guest::timer::{Timer, microseconds, pause};
use avisor_guest::{mmu, smp};

use crate::counter::{self, Count};
use crate::memory::Ram;
use crate::report::{named, report};

/// Each figure is of so many.
const ROUNDS: u64 = 16;
const SGI: u32 = 1;
/// Instructions of [`count_rounds`], each round.
const ROUND: u64 = 4;

/// The counter when the handler was entered, 0 before.
static TAKEN_AT: AtomicU64 = AtomicU64::new(0);
/// The rounds of each CPU's loop.
static COUNTED: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
/// What the first CPU's was when the second took the interrupt.
static COUNTED_THEN: AtomicU64 = AtomicU64::new(0);
/// Ends the first CPU's loop.
static STOP: AtomicU64 = AtomicU64::new(0);
/// What the second CPU does: see [`other`].
static TASK: AtomicU64 = AtomicU64::new(0);
const RUN: u64 = 1;
const WAIT: u64 = 2;

pub fn all(ram: &Ram) {
    gic::enable();
    gic::enable_cpu();
    exception::set_interrupt_handler(taken);
    distributor_reads();
    timer_interrupt();
    if smp::count() > 1 {
        two(ram);
    }
}

fn taken(_frame: &mut Frame) {
    let now = counter::now();
    let acknowledged = gic::acknowledge();
    Timer::Virtual.stop();
    gic::end(acknowledged);
    COUNTED_THEN.store(COUNTED[0].load(SeqCst), SeqCst);
    TAKEN_AT.store(now, SeqCst);
    STOP.store(1, SeqCst);
    bound_turns();
}

/// QEMU gives the next CPU its turn when a timer is due at the latest, whether that interrupts or not. This one is due in a
/// millisecond, and does not.
fn bound_turns() {
    let at = Timer::Virtual.count() + microseconds(1000);
    // SAFETY: the timer is this guest's: CNTV_CTL_EL0.{IMASK, ENABLE}.
    unsafe {
        asm!("msr cntv_cval_el0, {at}", "msr cntv_ctl_el0, {control}", at = in(reg) at, control = in(reg) 3_u64, options(nostack))
    };
}

/// The longest of those that a kernel reads.
fn distributor_reads() {
    let offsets = [
        distributor::CTLR,
        distributor::TYPER,
        distributor::ISENABLER,
        distributor::IPRIORITYR + 32,
        distributor::ITARGETSR,
        distributor::ICFGR + 8,
    ];
    let longest = offsets
        .into_iter()
        .map(|offset| counter::load(gic::DISTRIBUTOR + offset))
        .max();
    report("distributor read", longest.unwrap_or_default());
    let pending = counter::load(gic::DISTRIBUTOR + distributor::ISPENDR + 4);
    report("distributor read, pending interrupts", pending);
}

/// The virtual timer's interrupt, taken from a loop: what EL2 does until the guest's vector.
fn timer_interrupt() {
    let timer = Timer::Virtual;
    gic::enable_interrupt(timer.intid());
    counter::count(Count::El2);
    let mut longest = 0;
    for _ in 0..ROUNDS {
        // Whatever EL2 has left to do from the last time.
        pause(microseconds(3000));
        TAKEN_AT.store(0, SeqCst);
        timer.start(timer.count() + microseconds(100));
        let start = counter::now();
        unmask_interrupts();
        while TAKEN_AT.load(SeqCst) == 0 {}
        mask_interrupts();
        longest = longest.max(TAKEN_AT.load(SeqCst) - start);
    }
    counter::count(Count::All);
    report("timer interrupt to the guest's vector", longest);
}

/// Counts its rounds in `rounds` until `stop` is not 0.
fn count_rounds(rounds: &AtomicU64, stop: &AtomicU64) {
    // SAFETY: stores the number of rounds, and reads another word.
    unsafe {
        asm!(
            "0: add {count}, {count}, #1",
            "str {count}, [{rounds}]",
            "ldr {flag}, [{stop}]",
            "cbz {flag}, 0b",
            count = inout(reg) rounds.load(SeqCst) => _,
            flag = out(reg) _,
            rounds = in(reg) rounds.as_ptr(),
            stop = in(reg) stop.as_ptr(),
            options(nostack)
        );
    }
}

/// The second CPU: counts rounds, or waits, with interrupts let in.
fn other(_cpu: usize) -> ! {
    static NEVER: AtomicU64 = AtomicU64::new(0);
    counter::enable();
    gic::enable_cpu();
    unmask_interrupts();
    loop {
        if TASK.load(SeqCst) == WAIT {
            exception::wait_for_interrupt();
            // Not again before the first CPU has seen it.
            TASK.store(RUN, SeqCst);
        }
        count_rounds(
            &COUNTED[1],
            if TASK.load(SeqCst) == WAIT {
                &TASK
            } else {
                &NEVER
            },
        );
    }
}

fn two(ram: &Ram) {
    mmu::enable();
    TASK.store(RUN, SeqCst);
    if smp::start(1, other).is_err() {
        return;
    }
    let_it_run();
    let handler = handler_alone();
    let mut sum = 0;
    for _ in 0..ROUNDS {
        let_it_run();
        // What EL2 has left to do for the timer, at an alarm, is not the SGI's.
        pause(microseconds(3000));
        sum += sgi(handler);
    }
    report("SGI from one vCPU to another", sum / ROUNDS);
    ram.make_present();
    for k in [0, 100, 1000] {
        let of = ram.scattered(k);
        // The first time it is not only this that it has to do.
        for measured in [false, true] {
            counter::first_stores(of);
            // Since then, the other CPU has been stopped.
            let_it_run();
            let (all, rounds) = counter::checkpoint_beside(COUNTED[1].as_ptr());
            if measured {
                named("checkpoint of two vCPUs", k, all - rounds * ROUND);
            }
        }
        crate::operations::forget();
    }
}

/// Waits for a millisecond: QEMU gives the other CPU its turn.
fn let_it_run() {
    let timer = Timer::Virtual;
    timer.start(timer.count() + microseconds(1000));
    exception::wait_for_interrupt();
    timer.stop();
    gic::end(gic::acknowledge());
    // What EL2 has left to do for that interrupt.
    gic::read(distributor::TYPER);
}

/// The guest's own instructions for an SGI that it sends to itself, with interrupts let in only then. QEMU gives the other CPU its turn meanwhile, if no
/// timer is due before that of [`bound_turns`].
fn handler_alone() -> u64 {
    counter::count(Count::El1);
    gic::send(To::Myself, SGI);
    let before = COUNTED[1].load(SeqCst);
    let start = counter::now();
    unmask_interrupts();
    mask_interrupts();
    let end = counter::now();
    let rounds = COUNTED[1].load(SeqCst) - before;
    counter::count(Count::All);
    end - start - rounds * ROUND
}

/// An SGI to the other CPU, which runs: all instructions until both are through, less the guests'.
fn sgi(handler: u64) -> u64 {
    TAKEN_AT.store(0, SeqCst);
    STOP.store(0, SeqCst);
    bound_turns();
    let before = COUNTED[1].load(SeqCst);
    COUNTED[0].store(0, SeqCst);
    let (start, end) = counter::store(gic::DISTRIBUTOR + distributor::SGIR, 1 << 17 | SGI);
    let rounds = COUNTED[1].load(SeqCst) - before;
    if TAKEN_AT.load(SeqCst) != 0 {
        // The other was through before this one.
        return end - start - rounds * ROUND - handler;
    }
    count_rounds(&COUNTED[0], &STOP);
    let end = counter::now();
    let own = COUNTED[0].load(SeqCst);
    let rounds = COUNTED[1].load(SeqCst) - before;
    (end - start).saturating_sub((own + rounds) * ROUND + handler)
}
