//! What belongs to each CPU, and what comes to which.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

use avisor_guest::console::{self, TRANSMIT};
use avisor_guest::exception::{mask_interrupts, unmask_interrupts};
use avisor_guest::gic::{self, To, distributor};
use avisor_guest::print;
use avisor_guest::smp::MOST;
use avisor_guest::timer::{microseconds, pause};

use crate::cpu::{count, expect, meet, wait_for};

/// The SPI that is only counted.
pub const COUNTED_SPI: u32 = 44;

/// SGIs by receiver, sender and number.
static SGIS: [[[AtomicU32; 8]; MOST]; MOST] =
    [const { [const { [const { AtomicU32::new(0) }; 8] }; MOST] }; MOST];
/// Shared interrupts by receiver.
static SPIS: [AtomicU32; MOST] = [const { AtomicU32::new(0) }; MOST];

/// SGI 8 to 15.
pub fn sgi_came(sender: usize, cpu: usize, sgi: u32) {
    SGIS[cpu][sender][sgi as usize - 8].fetch_add(1, SeqCst);
}

/// A shared interrupt that is counted.
pub fn spi_came(cpu: usize) {
    SPIS[cpu].fetch_add(1, SeqCst);
}

/// Registers that each CPU has for itself.
pub fn registers(cpu: usize) {
    let targets = gic::read(distributor::ITARGETSR);
    if count() > 1 {
        expect("GICD_ITARGETSR0", 0x0101_0101 << cpu, targets.into());
    }
    let own = |word: u32| word.wrapping_mul(cpu as u32 + 1) & 0x00f8_f8f8;
    let ppi = 20 + cpu as u32;
    gic::set_bit(distributor::ISPENDR, ppi);
    gic::write(distributor::IPRIORITYR + 20, own(0x0008_1018));
    gic::enable_interrupt(16 + cpu as u32);
    gic::write_cpu(gic::cpu_interface::PMR, 8 * (cpu as u32 + 1));
    meet();
    let kind = gic::read(distributor::TYPER) >> 5 & 7;
    expect("GICD_TYPER.CPUNumber", count() as u64 - 1, kind.into());
    let priorities = gic::read(distributor::IPRIORITYR + 20);
    expect(
        "GICD_IPRIORITYR5",
        own(0x0008_1018).into(),
        priorities.into(),
    );
    let pending = gic::read(distributor::ISPENDR) & 0x0ff0_0000;
    expect("GICD_ISPENDR0", 1 << ppi, pending.into());
    let enabled = gic::read(distributor::ISENABLER) >> 16;
    expect("GICD_ISENABLER0", 1 << cpu, enabled.into());
    let mask = gic::read_cpu(gic::cpu_interface::PMR);
    expect("GICC_PMR", 8 * (cpu as u64 + 1), mask.into());
    gic::set_bit(distributor::ICPENDR, ppi);
    meet();
    crate::cpu::prepare(cpu);
}

fn sgis_from(cpu: usize, sender: usize, sgi: u32) -> u32 {
    SGIS[cpu][sender][sgi as usize - 8].load(SeqCst)
}

/// Each CPU sends in each way, and each counts what it gets from whom.
pub fn sgis(cpu: usize) {
    const ROUNDS: u32 = 20;
    unmask_interrupts();
    for round in 1..=ROUNDS {
        for sender in 0..count() {
            meet();
            let next = (sender + 1) % count();
            if cpu == sender {
                gic::send(To::Others, 8);
                gic::send(To::Cpus(0xff), 9);
                gic::send(To::Cpus(1 << next), 10);
                gic::send(To::Myself, 11);
            }
            let came = |sgi| sgis_from(cpu, sender, sgi) == round;
            wait_for("an SGI does not come", || {
                (cpu == sender || came(8))
                    && came(9)
                    && (cpu != next || came(10))
                    && (cpu != sender || came(11))
            });
        }
        // From all to all at once.
        gic::send(To::Cpus(0xff), 12);
        wait_for("an SGI of all does not come", || {
            (0..count()).all(|sender| sgis_from(cpu, sender, 12) == round)
        });
        meet();
    }
    pause(microseconds(1000));
    mask_interrupts();
    for sender in 0..count() {
        let next = (sender + 1) % count();
        let rounds = |sends: bool| if sends { ROUNDS.into() } else { 0 };
        let got = |sgi| sgis_from(cpu, sender, sgi).into();
        expect("SGIs to all others", rounds(cpu != sender), got(8));
        expect("SGIs to all", rounds(true), got(9));
        expect("SGIs to one", rounds(cpu == next), got(10));
        expect("SGIs to itself", rounds(cpu == sender), got(11));
        expect("SGIs of all to all", rounds(true), got(12));
    }
}

fn spis() -> u32 {
    SPIS.iter().map(|count| count.load(SeqCst)).sum()
}

fn forget_spis() {
    for count in &SPIS {
        count.store(0, SeqCst);
    }
}

/// One CPU makes a shared interrupt pending, for one after the other, and for all.
pub fn shared(cpu: usize) {
    unmask_interrupts();
    meet();
    if cpu == 0 {
        gic::set_edge(COUNTED_SPI, true);
        gic::set_priority(COUNTED_SPI, 0x90);
        gic::enable_interrupt(COUNTED_SPI);
        for target in (0..count()).cycle().take(4 * count()) {
            forget_spis();
            gic::set_targets(COUNTED_SPI, 1 << target);
            gic::set_bit(distributor::ISPENDR, COUNTED_SPI);
            wait_for("a shared interrupt does not come", || spis() > 0);
            expect("its target", 1, SPIS[target].load(SeqCst).into());
        }
        // For all: one of them takes it. (Of QEMU's own, each does.)
        forget_spis();
        gic::set_targets(COUNTED_SPI, 0xff);
        for round in 1..=100 {
            gic::set_bit(distributor::ISPENDR, COUNTED_SPI);
            wait_for("one for all does not come", || spis() >= round);
        }
        pause(microseconds(1000));
        forget_spis();
        gic::disable_interrupt(COUNTED_SPI);
    }
    meet();
    mask_interrupts();
}

/// The UART interrupts each CPU in turn, and each silences it.
pub fn uart(cpu: usize) {
    unmask_interrupts();
    meet();
    if cpu == 0 {
        gic::set_priority(console::INTID, 0x90);
        gic::enable_interrupt(console::INTID);
        for target in (0..count()).cycle().take(4 * count()) {
            forget_spis();
            gic::set_targets(console::INTID, 1 << target);
            print!("\r");
            console::set_interrupts(TRANSMIT);
            wait_for("the UART's interrupt does not come", || spis() > 0);
            wait_for("the UART is not silenced", || console::interrupts() == 0);
        }
        gic::disable_interrupt(console::INTID);
        forget_spis();
    }
    meet();
    mask_interrupts();
}

/// A shared interrupt for all CPUs comes to the one that takes it: the others mask it, or have their interfaces off.
pub fn taken_by_another(cpu: usize) {
    if cpu == 0 {
        gic::set_edge(COUNTED_SPI, true);
        gic::set_priority(COUNTED_SPI, 0x90);
        gic::set_targets(COUNTED_SPI, 0xff);
        gic::enable_interrupt(COUNTED_SPI);
    }
    unmask_interrupts();
    for (register, taking) in [
        (gic::cpu_interface::PMR, gic::LOWEST_PRIORITY.into()),
        (gic::cpu_interface::CTLR, 1),
    ] {
        for target in (0..count()).rev() {
            gic::write_cpu(register, if cpu == target { taking } else { 0 });
            meet();
            if cpu == 0 {
                forget_spis();
                gic::set_bit(distributor::ISPENDR, COUNTED_SPI);
                wait_for("one that others mask does not come", || spis() > 0);
                expect("who takes it", 1, SPIS[target].load(SeqCst).into());
            }
            meet();
        }
        gic::write_cpu(register, taking);
    }
    meet();
    if cpu == 0 {
        gic::disable_interrupt(COUNTED_SPI);
        forget_spis();
    }
    mask_interrupts();
}

/// Pairs with write-back on priorities that each CPU has for itself, by all CPUs at once: the machine reads each one's own instruction and registers.
pub fn pairs(cpu: usize) {
    let at = gic::DISTRIBUTOR + distributor::IPRIORITYR + 16;
    meet();
    for round in 0..200 {
        let word =
            |n: u64| (round * 64 + cpu as u64 * 8 + n).wrapping_mul(0x0820_4108) & 0xf8f8_f8f8;
        let (mut base, [mut first, mut second]) = (at, [0_u64; 2]);
        // SAFETY: priorities of interrupts of this CPU that are off.
        unsafe {
            asm!(
                "stp {0:w}, {1:w}, [{2}], #8", "ldp {3:w}, {4:w}, [{2}, #-8]!",
                in(reg) word(0), in(reg) word(1), inout(reg) base, inout(reg) first, inout(reg) second,
                options(nostack),
            );
        }
        expect("the base of a pair", at as u64, base as u64);
        expect("the first of a pair", word(0), first);
        expect("the second of a pair", word(1), second);
    }
    meet();
}
