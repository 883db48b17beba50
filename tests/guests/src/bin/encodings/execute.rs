//! Instructions made at run time, executed at an exception level.

use core::arch::{asm, global_asm};

use avisor_guest::Shared;
use avisor_guest::exception::{self, Frame};

/// How many at a time.
const COUNT: usize = 8;

/// Where instructions are executed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Level {
    El1,
    El0,
    /// EL0 in A32.
    El0Aarch32,
}

impl Level {
    /// AArch32 is not on every CPU: ID_AA64PFR0_EL1.EL0.
    pub fn exists(self) -> bool {
        let pfr0: u64;
        // SAFETY: reads an identification register.
        unsafe { asm!("mrs {}, id_aa64pfr0_el1", out(reg) pfr0, options(nostack)) }
        self != Self::El0Aarch32 || pfr0 & 0xf == 2
    }
}

/// What an instruction led to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It was executed; what x0 (r0) has behind it.
    Value(u64),
    /// An undefined-instruction exception: class 0.
    Undefined,
    /// An exception of another class.
    Exception,
}

unsafe extern "C" {
    fn avisor_execute_at_el0(pc: usize, spsr: u64, x0: u64) -> u64;
    fn avisor_executed_at_el0();
}

global_asm!(
    r#"
    // avisor_execute_at_el0(pc, spsr, x0): returns x0 when the exception handler goes on at avisor_executed_at_el0.
    .section .text.avisor_execute_at_el0, "ax"
avisor_execute_at_el0:
"#,
    avisor_guest::save_callee_registers!(),
    r#"
    msr     elr_el1, x0
    msr     spsr_el1, x1
    mov     x0, x2
    mov     x1, #0
    eret
avisor_executed_at_el0:
"#,
    avisor_guest::restore_callee_registers!(),
    r#"
    ret
"#
);

/// The instructions, each with the one that ends it.
#[repr(C, align(4096))]
#[derive(Clone)]
struct Code([[u32; 2]; COUNT]);

static CODE: Shared<Code> = Shared::new(Code([[0; 2]; COUNT]));

/// The class of the exception that was taken.
static CLASS: Shared<Option<u64>> = Shared::new(None);

const RET: u32 = 0xd65f_03c0;
/// `svc #0` in A64 and in A32.
const SVC: u32 = 0xd400_0001;
const SVC_A32: u32 = 0xef00_0000;
/// Interrupts masked, EL0.
const SPSR_EL0: u64 = 0x3c0;
const SPSR_A32: u64 = 0x1d0;
const CLASS_SVC64: u64 = 0x15;
const CLASS_SVC32: u64 = 0x11;

fn handle(frame: &mut Frame) {
    CLASS.set(Some(frame.class()));
    if frame.spsr & 0xf == 0 {
        // EL0: back into the function that went there, at EL1 with interrupts masked.
        frame.elr = avisor_executed_at_el0 as *const () as u64;
        frame.spsr = 0x3c5;
    } else {
        frame.skip();
    }
}

/// Executes each with its value in x0 (r0), and 0 in x1 (r1).
pub fn execute(
    level: Level,
    instructions: &[u32; COUNT],
    values: &[u64; COUNT],
) -> [Answer; COUNT] {
    let end = match level {
        Level::El1 => RET,
        Level::El0 => SVC,
        Level::El0Aarch32 => SVC_A32,
    };
    CODE.set(Code(instructions.map(|instruction| [instruction, end])));
    // SAFETY: makes the instructions visible to this CPU, whose caches are off.
    unsafe { asm!("dsb sy", "ic iallu", "dsb sy", "isb", options(nostack)) }
    exception::set_handler(handle);
    let answers = core::array::from_fn(|n| one(level, CODE.address() + 8 * n, values[n]));
    exception::reset_handler();
    answers
}

fn one(level: Level, pc: usize, value: u64) -> Answer {
    CLASS.set(None);
    // SAFETY: the code moves x0 from or to a register whose value stays what it was (or becomes 0, of those that cannot be read), and comes
    // back, by itself or through `handle`.
    let value = unsafe {
        match level {
            Level::El1 => core::mem::transmute::<usize, extern "C" fn(u64) -> u64>(pc)(value),
            Level::El0 => avisor_execute_at_el0(pc, SPSR_EL0, value),
            Level::El0Aarch32 => avisor_execute_at_el0(pc, SPSR_A32, value),
        }
    };
    match (CLASS.get(), level) {
        (None, _) | (Some(CLASS_SVC64), Level::El0) | (Some(CLASS_SVC32), Level::El0Aarch32) => {
            Answer::Value(value)
        }
        (Some(0), _) => Answer::Undefined,
        _ => Answer::Exception,
    }
}

/// EL1 takes nothing from itself or from EL0 that it may give: CPACR_EL1 (FPEN, ZEN, SMEN), CNTKCTL_EL1, SCTLR_EL1 (CP15BEN, UMA, UCT).
pub fn open_everything() {
    let mut sctlr: u64;
    // SAFETY: what EL0 may do is this program's own business.
    unsafe {
        asm!("msr cpacr_el1, {}", in(reg) 0x333_u64 << 16, options(nostack));
        asm!("msr cntkctl_el1, {}", in(reg) 0x303_u64, options(nostack));
        asm!("mrs {}, sctlr_el1", out(reg) sctlr, options(nostack));
        sctlr |= 1 << 5 | 1 << 9 | 1 << 15;
        asm!("msr sctlr_el1, {}", "isb", in(reg) sctlr, options(nostack));
    }
    // PMUSERENR_EL0: EN, SW, CR, ER. It may not be there.
    const PMUSERENR: u32 = 0xd51b_9e00;
    execute(Level::El1, &[PMUSERENR; COUNT], &[0xf; COUNT]);
}
