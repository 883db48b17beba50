//! How an interrupt gets from where it is made to GICC_IAR and back.

use avisor_guest::check::{Outcome, equal, holds};
use avisor_guest::gic::{self, To, cpu_interface, distributor};
use avisor_guest::smp;

use crate::controller::{FREE_SPIS, bit_is, nothing, take, take_and_end};

/// The three forms of GICD_SGIR. An SGI that is pending already stays one.
pub fn sgis() -> Outcome {
    for sgi in 0..16 {
        gic::send(To::Myself, sgi);
        take_and_end(sgi)?;
        gic::send(To::Cpus(1), sgi);
        gic::send(To::Cpus(1), sgi);
        take(sgi)?;
        // While it is active it becomes pending again.
        gic::send(To::Myself, sgi);
        nothing()?;
        gic::end(sgi);
        take_and_end(sgi)?;
        nothing()?;
    }
    gic::send(To::Others, 3);
    gic::send(To::Cpus(0), 4);
    // CPUs that are not there.
    gic::send(To::Cpus(0x80), 5);
    nothing()
}

/// GICD_SPENDSGIR and GICD_CPENDSGIR: a bit for each sender.
pub fn pending_sgis() -> Outcome {
    const SGI: u32 = 9;
    let offset = SGI as usize;
    gic::write_cpu(cpu_interface::CTLR, 0);
    gic::send(To::Myself, SGI);
    let set = gic::read8(distributor::SPENDSGIR + offset);
    equal("GICD_SPENDSGIR", 1, set.into())?;
    bit_is("ISPENDR0 does not show it", distributor::ISPENDR, SGI, true)?;
    // Not by this register.
    gic::set_bit(distributor::ICPENDR, SGI);
    let set = gic::read8(distributor::CPENDSGIR + offset);
    equal("GICD_CPENDSGIR", 1, set.into())?;
    gic::write8(distributor::CPENDSGIR + offset, 1);
    gic::write_cpu(cpu_interface::CTLR, 1);
    nothing()?;
    gic::write8(distributor::SPENDSGIR + offset, 1);
    take_and_end(SGI)?;
    // From another CPU, which need not be on; from one that is not there nothing comes.
    let other = smp::count() as u32 - 1;
    gic::write8(distributor::SPENDSGIR + offset, 1 | 1 << other);
    take_and_end(SGI)?;
    if other > 0 {
        take_and_end(SGI | other << 10)?;
    }
    nothing()
}

/// SPIs made pending by software, of both kinds.
pub fn shared() -> Outcome {
    for edge in [false, true] {
        for intid in FREE_SPIS {
            gic::set_edge(intid, edge);
            gic::enable_interrupt(intid);
            gic::set_bit(distributor::ISPENDR, intid);
            take(intid)?;
            bit_is("it is not active", distributor::ISACTIVER, intid, true)?;
            bit_is("it is still pending", distributor::ISPENDR, intid, false)?;
            // Once more while it is active.
            gic::set_bit(distributor::ISPENDR, intid);
            nothing()?;
            gic::end(intid);
            take_and_end(intid)?;
            nothing()?;
        }
    }
    // Nobody's interrupt; with one CPU there are no targets.
    if gic::read(distributor::ITARGETSR) != 0 {
        gic::set_targets(42, 0);
        gic::set_bit(distributor::ISPENDR, 42);
        nothing()?;
        gic::set_bit(distributor::ICPENDR, 42);
        gic::set_targets(42, 1);
    }
    nothing()
}

/// What is not let through stays pending, wherever it is stopped.
pub fn disabled() -> Outcome {
    const SPI: u32 = 44;
    const PPI: u32 = 21;
    for intid in [SPI, PPI] {
        gic::set_bit(distributor::ISPENDR, intid);
        nothing()?;
        gic::enable_interrupt(intid);
        gic::disable_interrupt(intid);
        nothing()?;
        bit_is("it is forgotten", distributor::ISPENDR, intid, true)?;
        gic::enable_interrupt(intid);
        gic::write(distributor::CTLR, 0);
        nothing()?;
        gic::write(distributor::CTLR, 1);
        gic::write_cpu(cpu_interface::CTLR, 0);
        nothing()?;
        gic::write_cpu(cpu_interface::CTLR, 1);
        take_and_end(intid)?;
        nothing()?;
    }
    gic::write(distributor::CTLR, 0);
    gic::send(To::Myself, 1);
    nothing()?;
    gic::write(distributor::CTLR, 1);
    take_and_end(1)?;
    // A disabled one that is active is ended all the same.
    gic::set_bit(distributor::ISPENDR, SPI);
    take(SPI)?;
    gic::disable_interrupt(SPI);
    gic::end(SPI);
    bit_is("it is still active", distributor::ISACTIVER, SPI, false)?;
    nothing()
}

/// EOImode: the end drops the priority, another write deactivates, in any order.
pub fn deactivate() -> Outcome {
    const EOI_MODE: u32 = 1 << 9;
    gic::write_cpu(cpu_interface::CTLR, EOI_MODE | 1);
    for intid in FREE_SPIS.take(4) {
        gic::enable_interrupt(intid);
        gic::set_bit(distributor::ISPENDR, intid);
    }
    for intid in FREE_SPIS.take(4) {
        take_and_end(intid)?;
        let running = gic::read_cpu(cpu_interface::RPR);
        equal("GICC_RPR", 0xff, (running | 7).into())?;
        bit_is("the end deactivates", distributor::ISACTIVER, intid, true)?;
    }
    gic::set_bit(distributor::ISPENDR, 43);
    nothing()?;
    for intid in [44, 42, 45] {
        gic::deactivate(intid);
        bit_is("it is still active", distributor::ISACTIVER, intid, false)?;
    }
    bit_is("it is not active", distributor::ISACTIVER, 43, true)?;
    nothing()?;
    gic::deactivate(43);
    take_and_end(43)?;
    gic::deactivate(43);
    holds(
        gic::read(distributor::ISACTIVER + 4) == 0,
        "something is still active",
    )?;
    nothing()
}
