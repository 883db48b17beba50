//! The distributor's registers as memory: what they say, and what they keep.

use avisor_guest::check::{Outcome, equal, equal_at, holds};
use avisor_guest::gic::{self, cpu_interface, distributor};
use avisor_guest::smp;

use crate::controller::{FREE_SPIS, bit_is, nothing, take_and_end};

/// How many interrupts there are, by GICD_TYPER.
fn interrupts() -> u32 {
    32 * ((gic::read(distributor::TYPER) & 0x1f) + 1)
}

/// A GICv2 with as many CPUs as PSCI knows.
pub fn identification() -> Outcome {
    let kind = gic::read(distributor::TYPER);
    holds(interrupts() >= 64, "GICD_TYPER tells of no SPIs")?;
    equal(
        "GICD_TYPER.CPUNumber",
        smp::count() as u64 - 1,
        (kind >> 5 & 7).into(),
    )?;
    equal(
        "ICPIDR2.ArchRev",
        2,
        (gic::read(distributor::ICPIDR2) >> 4 & 15).into(),
    )?;
    equal(
        "GICC_IIDR: architecture",
        2,
        (gic::read_cpu(cpu_interface::IIDR) >> 16 & 15).into(),
    )
}

/// Bytes and words of the same registers, all different.
pub fn kept() -> Outcome {
    let priority = |intid: u32| (intid as u8 % 31) * 8;
    for intid in 0..64 {
        gic::set_priority(intid, priority(intid));
    }
    for intid in 0..64_usize {
        let byte = gic::read8(distributor::IPRIORITYR + intid);
        equal_at(
            "priority ",
            intid,
            priority(intid as u32).into(),
            byte.into(),
        )?;
        let word = gic::read(distributor::IPRIORITYR + (intid & !3)) >> (8 * (intid % 4)) & 0xff;
        equal_at("priority in a word ", intid, byte.into(), word.into())?;
    }
    gic::write(distributor::IPRIORITYR + 44, 0x7868_5848);
    for (n, want) in [0x48, 0x58, 0x68, 0x78].into_iter().enumerate() {
        let byte = gic::read8(distributor::IPRIORITYR + 44 + n);
        equal_at("priority by a word ", n, want, byte.into())?;
    }
    enables()?;
    targets()?;
    gic::set_edge(43, true);
    gic::set_edge(46, true);
    let configuration = gic::read(distributor::ICFGR + 8) & 0xaaaa_aaaa;
    let want = 2 << (2 * 11) | 2 << (2 * 14);
    equal("GICD_ICFGR2", want, configuration.into())
}

fn enables() -> Outcome {
    gic::write(distributor::ISENABLER + 4, 0b101 << 10);
    gic::write(distributor::ISENABLER + 4, 0);
    gic::enable_interrupt(45);
    equal(
        "GICD_ISENABLER1",
        0b1101 << 10,
        gic::read(distributor::ISENABLER + 4).into(),
    )?;
    gic::disable_interrupt(44);
    let left = gic::read(distributor::ICENABLER + 4);
    equal("GICD_ICENABLER1", 0b1001 << 10, left.into())?;
    gic::enable_interrupt(27);
    bit_is(
        "GICD_ISENABLER0 forgets the timer",
        distributor::ISENABLER,
        27,
        true,
    )?;
    gic::disable_interrupt(27);
    bit_is(
        "GICD_ICENABLER0 leaves the timer",
        distributor::ISENABLER,
        27,
        false,
    )
}

/// The first eight words tell this CPU its own bit; with one CPU alone there may be no targets.
fn targets() -> Outcome {
    let cpus = smp::count();
    let mine = gic::read(distributor::ITARGETSR);
    let want = if cpus > 1 { 0x0101_0101 } else { mine };
    equal("GICD_ITARGETSR0", want.into(), mine.into())?;
    holds(
        mine == 0x0101_0101 || mine == 0,
        "GICD_ITARGETSR0 is not this CPU's bit",
    )?;
    if cpus == 1 {
        return Ok(());
    }
    gic::set_targets(42, 2);
    let word = gic::read(distributor::ITARGETSR + 40);
    equal("GICD_ITARGETSR10", 0x0102_0101, word.into())?;
    // CPUs that are not there are no targets.
    gic::set_targets(42, 0xff);
    let want = (1_u64 << cpus) - 1;
    let got = gic::read8(distributor::ITARGETSR + 42);
    holds(u64::from(got) & want == want, "a target is lost")
}

/// Reads as zero, ignores writes.
pub fn past_the_last() -> Outcome {
    let first = interrupts() as usize;
    if first >= 1020 {
        return Ok(());
    }
    let bits = [
        distributor::ISENABLER,
        distributor::ICENABLER,
        distributor::ISPENDR,
        distributor::ICPENDR,
        distributor::ISACTIVER,
        distributor::ICACTIVER,
    ];
    for registers in bits {
        zero(registers + first / 8, registers + 0x7c)?;
    }
    zero(
        distributor::IPRIORITYR + first,
        distributor::IPRIORITYR + 0x3f8,
    )?;
    zero(
        distributor::ITARGETSR + first,
        distributor::ITARGETSR + 0x3f8,
    )?;
    zero(distributor::ICFGR + first / 4, distributor::ICFGR + 0xfc)?;
    nothing()
}

fn zero(first: usize, last: usize) -> Outcome {
    for offset in (first..=last).step_by(4) {
        gic::write(offset, u32::MAX);
        let got = gic::read(offset);
        equal_at("past the last, offset ", offset, 0, got.into())?;
    }
    Ok(())
}

/// Interrupts made pending and active by their bits.
pub fn pending_and_active() -> Outcome {
    use distributor::{ICACTIVER, ICENABLER, ICPENDR, ISACTIVER, ISPENDR};
    for intid in [20, 29].into_iter().chain(FREE_SPIS) {
        gic::set_bit(ISPENDR, intid);
        bit_is("ISPENDR does not set", ISPENDR, intid, true)?;
        bit_is("ICPENDR does not show it", ICPENDR, intid, true)?;
        gic::set_bit(ICPENDR, intid);
        bit_is("ICPENDR does not clear", ISPENDR, intid, false)?;
        gic::set_bit(ISACTIVER, intid);
        bit_is("ISACTIVER does not set", ICACTIVER, intid, true)?;
        // What is active waits, however pending it is.
        gic::set_bit(ISPENDR, intid);
        gic::enable_interrupt(intid);
        nothing()?;
        gic::set_bit(ICACTIVER, intid);
        bit_is("ICACTIVER does not clear", ISACTIVER, intid, false)?;
        take_and_end(intid)?;
        bit_is("it is still pending", ISPENDR, intid, false)?;
        bit_is("it is still active", ISACTIVER, intid, false)?;
        gic::set_bit(ICENABLER, intid);
    }
    nothing()
}
