//! Several CPUs that interrupt each other, and machines that go back in time in the midst of it.
//!
//! | part | what each CPU does |
//! | --- | --- |
//! | [`apart`] | what is its own: registers, SGIs to and from each other, shared interrupts routed to it |
//! | [`storm`] | ticks of both timers, SGIs and shared interrupts with numbers, stores, output, off and on, all at once |
//! | [`asker`] | checkpoints and restores during the storm |
//!
//! An interrupt that is lost or comes twice shows: ticks have their times set in advance, and the next SGI of a pair is sent
//! when the one before has been counted. All of that is in memory and goes back with a restore; if the machine does not go
//! back as a whole, the numbers do not fit any more. A number that does not fit ends the program at once, as a restore
//! would make it forget.
//!
//! Each step prints a line, `smp-test: <step>: PASS`, or `smp-test: FAIL: ...`, and the last one is `smp-test: passed on <n>
//! CPUs`. Steps with snapshots are left out where there are none.

#![no_std]
#![no_main]
// Pages behind the image are stored to.
#![allow(unsafe_code)]

mod apart;
mod asker;
mod cpu;
mod interrupt;
mod storm;
mod ticks;

use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use avisor_guest::{entry, exception, gic, mmu, power_off, psci, smp, snapshot};

use cpu::{expect, fail, meet, say};
use storm::Storm;

/// What all CPUs do, each in its own place, before they meet again.
enum Step {
    /// This.
    Apart(fn(cpu: usize)),
    /// A storm.
    Storm(Storm),
}

static STEPS: &[(&str, Step)] = &[
    ("registers of each CPU", Step::Apart(apart::registers)),
    ("pairs with write-back", Step::Apart(apart::pairs)),
    ("SGIs", Step::Apart(apart::sgis)),
    ("shared interrupts", Step::Apart(apart::shared)),
    ("UART", Step::Apart(apart::uart)),
    ("taken by another", Step::Apart(apart::taken_by_another)),
    ("storm", Step::Storm(storm::NO_SNAPSHOTS)),
    ("storm, off and on", Step::Storm(storm::OFF_AND_ON)),
    ("storm with restores", Step::Storm(storm::RESTORES)),
    ("restores, CPUs in WFI", Step::Storm(storm::IN_WFI)),
    (
        "restores, off and on",
        Step::Storm(storm::RESTORES_OFF_AND_ON),
    ),
    ("restores by two", Step::Storm(storm::BY_TWO)),
    ("restores by all", Step::Storm(storm::BY_ALL)),
];

/// The step that all CPUs are in.
static STEP: AtomicUsize = AtomicUsize::new(0);

entry!(main);

fn main(_device_tree: usize) -> ! {
    mmu::enable();
    exception::set_interrupt_handler(interrupt::handle);
    let cpus = smp::count();
    cpu::set_count(cpus);
    gic::enable();
    start_others(cpus);
    run_steps(0);
    say(format_args!("passed on {cpus} CPUs"));
    power_off()
}

/// What PSCI says on the way, too.
fn start_others(cpus: usize) {
    expect("CPU 0, on", psci::ON as u64, smp::state(0) as u64);
    expect(
        "starting CPU 0",
        psci::ALREADY_ON as u64,
        smp::start(0, other).unwrap_err() as u64,
    );
    let none = psci::call(psci::CPU_ON, [cpus as u64, 0x4008_0000, 0]);
    expect(
        "starting a CPU that is not there",
        psci::INVALID_PARAMETERS as u64,
        none as u64,
    );
    for cpu in 1..cpus {
        expect("a CPU, off", psci::OFF as u64, smp::state(cpu) as u64);
        if let Err(error) = smp::start(cpu, other) {
            fail(format_args!("CPU_ON of {cpu}: {error}"));
        }
    }
}

/// A CPU that was started, or came back.
fn other(cpu: usize) -> ! {
    expect("MPIDR", cpu as u64, smp::this_cpu() as u64);
    run_steps(cpu);
    // Until CPU 0 switches off.
    psci::cpu_off()
}

/// From the step that is on to the last.
fn run_steps(cpu: usize) {
    cpu::prepare(cpu);
    loop {
        let step = STEP.load(SeqCst);
        let Some((name, what)) = STEPS.get(step) else {
            return;
        };
        match what {
            Step::Apart(run) => run(cpu),
            Step::Storm(storm) if storm.needs_snapshots() && !snapshot::available() => {}
            Step::Storm(storm) => storm.run(cpu, other),
        }
        meet();
        if cpu == 0 {
            match what {
                Step::Storm(storm) if storm.needs_snapshots() && !snapshot::available() => {
                    say(format_args!("{name}: skipped, there are no snapshots"));
                }
                _ => say(format_args!("{name}: PASS")),
            }
            STEP.store(step + 1, SeqCst);
        }
        meet();
    }
}
