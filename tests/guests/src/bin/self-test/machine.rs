//! What the machine must answer: PSCI, the UART's registers, unknown hypercalls, and faults like hardware's.

use core::arch::asm;

use avisor_guest::console::PL011;
use avisor_guest::snapshot::{self, Checkpoint};
use avisor_guest::timer::{ENABLE, Timer};
use avisor_guest::{exception, gic, mmio, psci, smccc};

use crate::fault::{EXTERNAL, Expected, IL, WRITE, catch, check_masks, class, ram_end, vector};
use avisor_guest::check::{Outcome, equal, equal_at, holds};

const ALREADY_ON: i64 = -4;
const INVALID_PARAMETERS: i64 = -2;

fn signed(code: i32) -> u64 {
    i64::from(code) as u64
}

/// The calls that a kernel makes on a machine with one core.
pub fn psci() -> Outcome {
    let version = psci::call(psci::VERSION, [0; 3]);
    holds(
        (0x1_0000..0x2_0000).contains(&version),
        "PSCI_VERSION is not 1.x",
    )?;
    for (function, want) in [
        (psci::SYSTEM_OFF, 0),
        (psci::CPU_ON, 0),
        (0x8400_ffff, smccc::NOT_SUPPORTED),
        (0xc400_ffff, smccc::NOT_SUPPORTED),
    ] {
        let got = psci::call(psci::FEATURES, [function, 0, 0]);
        equal("PSCI_FEATURES", want, signed(got))?;
    }
    let mpidr: u64;
    // SAFETY: reads an identification register.
    unsafe { asm!("mrs {}, mpidr_el1", out(reg) mpidr, options(nostack, nomem)) }
    let me = mpidr & 0xff_00ff_ffff;
    let on = |target| signed(psci::call(psci::CPU_ON, [target, 0x4008_0000, 0]));
    equal("CPU_ON of this core", ALREADY_ON as u64, on(me))?;
    equal("CPU_ON of no core", INVALID_PARAMETERS as u64, on(me + 1))?;
    let info = |target| signed(psci::call(psci::AFFINITY_INFO, [target, 0, 0]));
    equal("AFFINITY_INFO of this core", 0, info(me))?;
    equal(
        "AFFINITY_INFO of no core",
        INVALID_PARAMETERS as u64,
        info(me + 1),
    )
}

/// `hvc` and 16 bits that mean nothing: x0 = -1, and nothing else.
pub fn hvc_immediates() -> Outcome {
    let [mut x0, mut x1, mut x17] = [5, 6, 7_u64];
    // SAFETY: calls that do not exist change x0 and nothing else.
    unsafe { asm!("hvc #5", inout("x0") x0, inout("x1") x1, inout("x17") x17, options(nostack)) }
    equal("x0 after hvc #5", smccc::NOT_SUPPORTED, x0)?;
    equal("x1 after hvc #5", 6, x1)?;
    equal("x17 after hvc #5", 7, x17)?;
    // SAFETY: as above.
    unsafe { asm!("hvc #0xffff", inout("x0") x0, options(nostack)) }
    equal("x0 after hvc #0xffff", smccc::NOT_SUPPORTED, x0)?;
    // No call of any service: a function id that nobody has defined.
    let [x0, ..] = smccc::hvc([0xc700_1234, 1, 2, 3]);
    equal("x0 after an unknown function", smccc::NOT_SUPPORTED, x0)
}

/// SMC is HVC's twin or refused, and the vendor range says whose it is.
pub fn vendor_calls() -> Outcome {
    let version = smccc::hvc([smccc::VERSION, 0, 0, 0])[0];
    holds(
        (0x1_0001..0x2_0000).contains(&version),
        "SMCCC_VERSION is below 1.1",
    )?;
    holds(
        snapshot::vendor_uid().is_some(),
        "the vendor range has no UID",
    )?;
    holds(
        snapshot::vendor_revision().is_some(),
        "the vendor range has no revision",
    )?;

    let by_hvc = smccc::hvc([psci::VERSION, 0, 0, 0])[0];
    let mut by_smc = 0;
    let undefined = catch(|| by_smc = smccc::smc([psci::VERSION, 0, 0, 0])[0]);
    if let Some(frame) = undefined {
        return equal("ESR_EL1 of SMC", IL, frame.esr);
    }
    holds(
        by_smc == by_hvc || by_smc == smccc::NOT_SUPPORTED,
        "SMC answers neither like HVC nor NOT_SUPPORTED",
    )
}

/// Identification, flags of an idle UART, and registers that keep what is written.
pub fn pl011() -> Outcome {
    // The fourth (revision) varies; the others are what drivers look for.
    let ids = [0x11, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1];
    for (index, want) in ids.into_iter().enumerate() {
        let mask = if index == 2 { 0x0f } else { 0xff };
        let got = mmio::read32(PL011 + 0xfe0 + 4 * index) & mask;
        equal_at("identification register ", index, want, got.into())?;
    }
    // TXFE set, RXFE set or input waiting; not BUSY, not full.
    let flags = mmio::read32(PL011 + 0x18);
    equal("FR: TXFE, TXFF, BUSY", 0x80, u64::from(flags & 0xa8))?;
    write_baud(13, 1);
    equal("IBRD", 13, mmio::read32(IBRD).into())?;
    equal("FBRD", 1, mmio::read32(FBRD).into())
}

const IBRD: usize = PL011 + 0x24;
const FBRD: usize = PL011 + 0x28;

fn write_baud(integer: u32, fraction: u32) {
    // SAFETY: the baud rate registers of the UART; an emulated one sends at any rate.
    unsafe {
        mmio::write32(IBRD, integer);
        mmio::write32(FBRD, fraction);
    }
}

/// The UART belongs to the snapshot.
pub fn pl011_restored() -> Outcome {
    write_baud(26, 3);
    if let Checkpoint::Taken(id) = snapshot::checkpoint()? {
        write_baud(52, 7);
        equal("IBRD before the restore", 52, mmio::read32(IBRD).into())?;
        return Err(snapshot::restore_with(id, 1).into());
    }
    equal("IBRD", 26, mmio::read32(IBRD).into())?;
    equal("FBRD", 3, mmio::read32(FBRD).into())
}

/// Both end, whatever else is running: with an event pending, and with a timer about to fire.
pub fn wait() -> Outcome {
    let timer = Timer::Virtual;
    gic::enable();
    gic::enable_cpu();
    gic::enable_interrupt(timer.intid());
    // SAFETY: `sevl` leaves the event that `wfe` waits for.
    unsafe { asm!("sevl", "wfe", options(nostack)) }
    // Its interrupt is masked, and so wakes WFI without being taken.
    timer.set_left(1000);
    timer.set_control(ENABLE);
    exception::wait_for_interrupt();
    timer.stop();
    // The interrupt may be on its way although its reason is gone.
    gic::end(gic::acknowledge());
    gic::disable_interrupt(timer.intid());
    Ok(())
}

/// Holes in the address map, and registers of a higher level.
pub fn faults_el1() -> Outcome {
    let hole = ram_end();
    abort_on_load(hole)?;
    abort_on_load(0x0d00_0000)?;
    abort_on_store(hole + 8)?;
    abort_on_sp_el0(hole)?;
    abort_on_call(hole)?;
    undefined()
}

fn abort_on_load(hole: usize) -> Outcome {
    let mut here = 0_u64;
    let mut value = 0x1234_u64;
    let caught = catch(|| {
        // SAFETY: the load faults and is skipped. SError, IRQ and FIQ are unmasked for it, so that the handler sees
        // that the exception masks them again; no interrupt is enabled anywhere.
        unsafe {
            asm!(
                "adr {0}, 0f",
                "msr daifclr, #7",
                "0: ldr {1:w}, [{2}]",
                "msr daifset, #7",
                inout(reg) here, inout(reg) value, in(reg) hole, options(nostack),
            );
        }
    });
    equal("the register that the load did not reach", 0x1234, value)?;
    if let Some(frame) = &caught {
        // EL1h with D still masked.
        equal("SPSR_EL1: mode and masks", 0x205, frame.spsr & 0x3ff)?;
    }
    check_masks()?;
    Expected {
        vector: vector::EL1H_SYNC,
        esr: class::DATA_ABORT_EL1 << 26 | IL | EXTERNAL,
        elr: Some(here),
        far: Some(hole as u64),
    }
    .check(caught)
}

fn abort_on_store(hole: usize) -> Outcome {
    let mut here = 0_u64;
    let caught = catch(|| {
        // SAFETY: the store faults and is skipped.
        unsafe {
            asm!("adr {0}, 0f", "0: strb {0:w}, [{1}]", inout(reg) here, in(reg) hole, options(nostack))
        }
    });
    Expected {
        vector: vector::EL1H_SYNC,
        esr: class::DATA_ABORT_EL1 << 26 | IL | WRITE | EXTERNAL,
        elr: Some(here),
        far: Some(hole as u64),
    }
    .check(caught)
}

/// The first vector is for EL1 on SP_EL0. A pair, besides: its syndrome tells a hypervisor nothing.
fn abort_on_sp_el0(hole: usize) -> Outcome {
    let mut here = 0_u64;
    let caught = catch(|| {
        // SAFETY: no stack is used while SP is SP_EL0; the load faults and is skipped.
        unsafe {
            asm!(
                "adr {0}, 0f",
                "msr spsel, #0",
                "0: ldp {1}, {2}, [{3}]",
                "msr spsel, #1",
                inout(reg) here, out(reg) _, out(reg) _, in(reg) hole, options(nostack),
            );
        }
    });
    Expected {
        vector: vector::EL1T_SYNC,
        esr: class::DATA_ABORT_EL1 << 26 | IL | EXTERNAL,
        elr: Some(here),
        far: Some(hole as u64),
    }
    .check(caught)
}

fn abort_on_call(hole: usize) -> Outcome {
    let caught = catch(|| {
        // SAFETY: nothing can be fetched there; the handler returns to behind the call.
        unsafe { asm!("blr {}", in(reg) hole, out("x30") _, options(nostack)) }
    });
    Expected {
        vector: vector::EL1H_SYNC,
        esr: class::INSTRUCTION_ABORT_EL1 << 26 | IL | EXTERNAL,
        elr: Some(hole as u64),
        far: Some(hole as u64),
    }
    .check(caught)
}

fn undefined() -> Outcome {
    let mut here = 0_u64;
    let caught = catch(|| {
        // SAFETY: `mrs x0, hcr_el2` is undefined at EL1, and skipped.
        unsafe {
            asm!("adr {0}, 0f", "0: .inst 0xd53c1100", inout(reg) here, out("x0") _, options(nostack))
        }
    });
    Expected {
        vector: vector::EL1H_SYNC,
        esr: class::UNKNOWN << 26 | IL,
        elr: Some(here),
        far: None,
    }
    .check(caught)
}
