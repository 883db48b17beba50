//! The controller in a known state, and what comes from it.

use avisor_guest::check::{Failure, Outcome, equal, holds};
use avisor_guest::console;
use avisor_guest::exception::mask_interrupts;
use avisor_guest::gic::{self, cpu_interface, distributor};
use avisor_guest::timer::{Timer, microseconds};

/// SPIs that no device of `virt` has.
pub const FREE_SPIS: core::ops::Range<u32> = 42..48;
/// Where everything starts, in the middle.
pub const PRIORITY: u8 = 0xa0;

/// Everything on, nothing pending or active, SGIs enabled alone, all of the same priority, level-sensitive and this CPU's.
pub fn reset() {
    mask_interrupts();
    Timer::Virtual.stop();
    Timer::Physical.stop();
    console::set_interrupts(0);
    gic::write(distributor::CTLR, 0);
    // What a group has left behind that failed.
    for _ in 0..32 {
        if gic::read_cpu(cpu_interface::RPR) >= 0xf8 {
            break;
        }
        gic::end(0);
    }
    gic::write_cpu(cpu_interface::CTLR, 0);
    for word in 0..2 {
        for registers in [
            distributor::ICENABLER,
            distributor::ICPENDR,
            distributor::ICACTIVER,
        ] {
            gic::write(registers + 4 * word, u32::MAX);
        }
        gic::write(distributor::ICFGR + 8 + 4 * word, 0);
    }
    for word in 0..4 {
        gic::write(distributor::CPENDSGIR + 4 * word, u32::MAX);
    }
    for word in 0..16 {
        gic::write(
            distributor::IPRIORITYR + 4 * word,
            u32::from_ne_bytes([PRIORITY; 4]),
        );
        gic::write(distributor::ITARGETSR + 4 * word, 0x0101_0101);
    }
    gic::write(distributor::ISENABLER, 0xffff);
    gic::enable();
    gic::enable_cpu();
}

/// The next interrupt is `want`: acknowledges it.
pub fn take(want: u32) -> Outcome {
    equal("GICC_IAR", want.into(), gic::acknowledge().into())
}

/// The next interrupt is `want`: acknowledges and ends it.
pub fn take_and_end(want: u32) -> Outcome {
    take(want)?;
    gic::end(want);
    Ok(())
}

/// There is no interrupt that is let through.
pub fn nothing() -> Outcome {
    take(gic::SPURIOUS)
}

/// Waits until interrupt `intid` is the next one.
pub fn comes(intid: u32) -> Outcome {
    waits_for(
        || gic::read_cpu(cpu_interface::HPPIR) & 0x3ff == intid,
        Failure::Differs {
            what: "GICC_HPPIR, in vain",
            want: intid.into(),
            got: gic::SPURIOUS.into(),
        },
    )
}

/// Waits until `condition` holds, for two seconds.
pub fn waits_for(mut condition: impl FnMut() -> bool, otherwise: Failure) -> Outcome {
    let until = Timer::Virtual.count() + microseconds(2_000_000);
    while Timer::Virtual.count() < until {
        if condition() {
            return Ok(());
        }
    }
    Err(otherwise)
}

/// `bit` of interrupt `intid` in `registers` is as wanted.
pub fn bit_is(what: &'static str, registers: usize, intid: u32, want: bool) -> Outcome {
    holds(gic::bit(registers, intid) == want, what)
}

/// Has the UART's transmit interrupt stand: a character was sent, which does not show.
pub fn transmit() {
    avisor_guest::print!("\r");
}
