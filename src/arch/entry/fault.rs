//! EL2's own mistakes: exceptions taken from EL2, and panics. Both say what happened and which vCPU was on, and end the
//! run with a failing code. Nothing that a guest does may lead here.

use core::panic::PanicInfo;

use crate::arch::isa::registers::{CurrentEL, ELR_EL2, ESR_EL2, FAR_EL2, Readable};

use crate::arch::boot::image;
use crate::arch::firmware;
use crate::arch::percpu::Cpu;
use crate::arch::vcpu::{Registers, TrapKind};

unsafe extern "Rust" {
    /// Defined by [`entry!`](crate::entry): the run ends, with a line that says why if there is one.
    safe fn avisor_failed(why: Option<core::fmt::Arguments>) -> !;
}

/// From the vectors, on the emergency stack: `sp` is what the stack pointer was, `caller` what x30 was.
pub(in crate::arch) extern "C" fn el2_fault(kind: TrapKind, sp: u64, caller: u64) -> ! {
    let (esr, elr, far) = (ESR_EL2.get(), ELR_EL2.get(), FAR_EL2.get());
    die(format_args!(
        "EL2 {}: ESR={esr:#x} ELR={elr:#x} FAR={far:#x} SP={sp:#x} LR={caller:#x} image at {:#x}",
        what(kind, esr),
        image::range().start
    ))
}

/// What the panic handler does.
pub fn panicked(info: &PanicInfo) -> ! {
    match info.location() {
        Some(location) => die(format_args!("panic at {location}: {}", info.message())),
        None => die(format_args!("panic: {}", info.message())),
    }
}

/// Names the exception: ESR_EL2.EC.
fn what(kind: TrapKind, esr: u64) -> &'static str {
    match (kind, esr >> 26 & 0x3f) {
        (TrapKind::Irq, _) => "IRQ",
        (TrapKind::Fiq, _) => "FIQ",
        (TrapKind::SError, _) => "SError",
        (_, 0x0e) => "illegal execution state",
        (_, 0x21) => "instruction abort",
        (_, 0x22) => "PC alignment fault",
        (_, 0x25) => "data abort",
        (_, 0x26) => "SP alignment fault",
        (_, 0x3c) => "breakpoint instruction",
        (_, 0x00) => "undefined instruction",
        _ => "exception",
    }
}

fn die(message: core::fmt::Arguments) -> ! {
    if CurrentEL.get() != CurrentEL::EL::EL2.value {
        // A panic while reporting the wrong level: what follows is EL2's.
        firmware::halt();
    }
    let cpu = Cpu::this();
    // SAFETY: TPIDR_EL2 points to this core's element of CPUS since before the vectors were set; plain loads and
    // stores, no reference is kept. `registers` is null or was a live `&mut Registers` in `run`; if its vCPU is
    // gone, the memory is still mapped, and any bytes are valid numbers.
    let (again, vcpu, pc) = unsafe {
        let again = core::mem::replace(&mut (*cpu).failing, true);
        let registers: *const Registers = (*cpu).registers;
        (
            again,
            (*cpu).vcpu,
            registers.as_ref().map(|registers| registers.pc),
        )
    };
    if again {
        // The report itself faulted.
        avisor_failed(None);
    }
    match (vcpu, pc) {
        (Some((vm, vcpu)), Some(pc)) => avisor_failed(Some(format_args!(
            "{message}; vCPU {vcpu} of {vm} was on, at {pc:#x}"
        ))),
        _ => avisor_failed(Some(format_args!("{message}; no vCPU was on"))),
    }
}
