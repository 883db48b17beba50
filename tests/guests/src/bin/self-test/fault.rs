//! Instructions that are meant to fault, and what the exception told.

use core::arch::asm;

use avisor_guest::Shared;
use avisor_guest::exception::{self, Frame};

use avisor_guest::check::{Failure, Outcome, equal};

/// Exception classes (ESR_ELx.EC).
pub mod class {
    pub const UNKNOWN: u64 = 0x00;
    pub const SVC: u64 = 0x15;
    pub const INSTRUCTION_ABORT_EL0: u64 = 0x20;
    pub const INSTRUCTION_ABORT_EL1: u64 = 0x21;
    pub const DATA_ABORT_EL0: u64 = 0x24;
    pub const DATA_ABORT_EL1: u64 = 0x25;
}

/// Vectors, as offset / 0x80.
pub mod vector {
    pub const EL1T_SYNC: u64 = 0;
    pub const EL1H_SYNC: u64 = 4;
    pub const EL0_SYNC: u64 = 8;
}

/// ESR_ELx.IL: a 32-bit instruction, as all are.
pub const IL: u64 = 1 << 25;
/// Data fault status: synchronous external abort, not on a table walk.
pub const EXTERNAL: u64 = 0x10;
/// Data abort: it was a write.
pub const WRITE: u64 = 1 << 6;
/// Bits of an abort's syndrome that the machine chooses: ISS.EA.
const CHOSEN: u64 = 1 << 9;

static CAUGHT: Shared<Option<Frame>> = Shared::new(None);
static MASKED: Shared<u64> = Shared::new(0);

fn record(frame: &mut Frame) {
    let daif: u64;
    // SAFETY: reads the interrupt masks.
    unsafe { asm!("mrs {}, daif", out(reg) daif, options(nostack, preserves_flags)) }
    MASKED.set(daif);
    CAUGHT.set(Some(frame.clone()));
    match frame.class() {
        // There is no instruction to skip, but there is someone who called.
        class::INSTRUCTION_ABORT_EL0 | class::INSTRUCTION_ABORT_EL1 => frame.elr = frame.x[30],
        _ => frame.skip(),
    }
}

/// Runs `attempt`, in which one instruction may fault; it is skipped, or returned from if it could not be fetched.
pub fn catch(attempt: impl FnOnce()) -> Option<Frame> {
    CAUGHT.set(None);
    exception::set_handler(record);
    attempt();
    exception::reset_handler();
    CAUGHT.get()
}

/// What an exception must have told.
pub struct Expected {
    pub vector: u64,
    pub esr: u64,
    /// Where it was; for an instruction abort `elr` is the same.
    pub elr: Option<u64>,
    pub far: Option<u64>,
}

impl Expected {
    /// Compares with what was caught.
    pub fn check(self, caught: Option<Frame>) -> Outcome {
        let Some(frame) = caught else {
            return Err(Failure::Says("an exception should have come, and did not"));
        };
        equal("vector", self.vector, frame.vector)?;
        equal("ESR_EL1", self.esr, frame.esr & !CHOSEN)?;
        if let Some(elr) = self.elr {
            equal("ELR_EL1", elr, frame.elr)?;
        }
        if let Some(far) = self.far {
            equal("FAR_EL1", far, frame.far)?;
        }
        Ok(())
    }
}

/// The interrupt masks must all be set when an exception arrives.
pub fn check_masks() -> Outcome {
    equal("DAIF in the handler", 0x3c0, MASKED.get())
}

/// Reads a word, unless it faults.
pub fn try_read(address: usize) -> Option<u32> {
    let mut value = 0_u32;
    let caught = catch(|| {
        // SAFETY: a load; if it faults it is skipped, and `value` stays.
        unsafe { asm!("ldr {0:w}, [{1}]", inout(reg) value, in(reg) address, options(nostack)) }
    });
    caught.is_none().then_some(value)
}

/// The end of RAM: the first MiB from which nothing can be read.
pub fn ram_end() -> usize {
    (avisor_guest::image_end().next_multiple_of(1 << 20)..)
        .step_by(1 << 20)
        .find(|&address| try_read(address).is_none())
        .expect("a machine's RAM ends somewhere")
}
