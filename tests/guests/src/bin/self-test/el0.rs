//! EL0: its registers come back too, and its mistakes are EL1's to see, as on hardware.

use core::arch::{asm, global_asm};

use avisor_guest::Shared;
use avisor_guest::exception::{self, Frame};
use avisor_guest::{checkpoint_here, restore_latest, snapshot};

use crate::context::Context;
use crate::fault::{EXTERNAL, Expected, IL, class, ram_end, vector};
use crate::mmu::{self, Access};
use crate::system;
use avisor_guest::check::{Failure, Outcome, equal};

unsafe extern "C" {
    static avisor_el0_page: u8;
    static avisor_el0_checkpoint: u8;
    static avisor_el0_restore: u8;
    static avisor_el0_load: u8;
    static avisor_el0_jump: u8;
    static avisor_el0_hvc: u8;
    static avisor_el0_mrs: u8;
    fn avisor_enter_el0(pc: usize, sp: usize, x0: usize);
    fn avisor_leave_el0();
}

global_asm!(
    r#"
    // avisor_enter_el0(pc, sp, x0): returns when the exception handler goes on at avisor_leave_el0.
    .section .text.avisor_enter_el0, "ax"
avisor_enter_el0:
"#,
    avisor_guest::save_callee_registers!(),
    r#"
    msr     elr_el1, x0
    msr     sp_el0, x1
    // EL0, interrupts masked.
    mov     x1, #0x3c0
    msr     spsr_el1, x1
    mov     x0, x2
    eret
avisor_leave_el0:
"#,
    avisor_guest::restore_callee_registers!(),
    r#"
    ret
"#
);

/// The page that EL0 may write.
#[repr(C, align(4096))]
#[derive(Clone)]
struct Data {
    want: Context,
    got: Context,
    scramble: Context,
}

static DATA: Shared<Data> = Shared::new(Data {
    want: Context::ZERO,
    got: Context::ZERO,
    scramble: Context::ZERO,
});

/// The exception with which EL0 ended.
static LEFT: Shared<Option<Frame>> = Shared::new(None);

/// `svc #1` and `svc #2`: EL1 makes the hypercall for EL0. Everything else ends it.
fn serve(frame: &mut Frame) {
    match (frame.class(), frame.esr & 0xffff) {
        (class::SVC, 1) => checkpoint_here(),
        (class::SVC, 2) => restore_latest(),
        _ => {
            LEFT.set(Some(frame.clone()));
            frame.elr = avisor_leave_el0 as *const () as u64;
            // EL1h, interrupts masked.
            frame.spsr = 0x3c5;
        }
    }
}

/// Where EL0 sees `code`.
fn code_address(code: *const u8) -> usize {
    let page = &raw const avisor_el0_page as usize;
    if mmu::is_on() {
        mmu::map(0, page, Access::CodeOfEl0) + (code as usize - page)
    } else {
        code as usize
    }
}

/// Where EL0 sees its data.
fn data_address() -> usize {
    if mmu::is_on() {
        mmu::map(1, DATA.address(), Access::DataOfEl0)
    } else {
        DATA.address()
    }
}

fn run(code: *const u8, sp: usize, x0: usize) -> Option<Frame> {
    run_at(code_address(code), sp, x0)
}

/// EL0 from `pc` on, until the exception with which it ends.
pub fn run_at(pc: usize, sp: usize, x0: usize) -> Option<Frame> {
    LEFT.set(None);
    exception::set_handler(serve);
    // SAFETY: EL0 runs code that ends with an exception, for which `serve` comes back here.
    unsafe { avisor_enter_el0(pc, sp, x0) }
    exception::reset_handler();
    LEFT.get()
}

/// SP_EL0, as EL0 left it.
pub fn stack_pointer() -> u64 {
    let sp: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, sp_el0", out(reg) sp, options(nostack, nomem)) }
    sp
}

/// Checkpoint and restore while EL0's registers are live; those that EL1 saved are in memory, which comes back as well.
pub fn registers() -> Outcome {
    system::enable_simd();
    let at = data_address();
    let got = at + core::mem::offset_of!(Data, got);
    let scramble = at + core::mem::offset_of!(Data, scramble);
    let mut data = Data {
        want: Context::wanted(),
        got: Context::ZERO,
        scramble: Context::scrambled(),
    };
    data.want.sp = got as u64;
    DATA.set(data);
    let before = snapshot::generation()?;
    let left = run(&raw const avisor_el0_checkpoint, got, at);
    expect_exit(left)?;

    let Data {
        mut want, mut got, ..
    } = DATA.get();
    // These are not for EL0 to see.
    for context in [&mut want, &mut got] {
        context.sp_el0 = 0;
        context.sp_el1 = 0;
        context.daif = 0;
        context.spsel = 0;
    }
    want.compare(&got, 0)?;
    if snapshot::generation()? != before {
        return Ok(());
    }
    run(&raw const avisor_el0_restore, scramble, scramble);
    Err(Failure::Says("the restore was refused"))
}

fn expect_exit(left: Option<Frame>) -> Outcome {
    let frame = left.ok_or(Failure::Says("EL0 did not end with an exception"))?;
    equal("ESR_EL1 of EL0's svc #0", class::SVC << 26 | IL, frame.esr)
}

/// Holes in the address map, and instructions that EL0 must not use.
pub fn faults() -> Outcome {
    let hole = ram_end();
    let (data_hole, code_hole) = if mmu::is_on() {
        (
            mmu::map(2, hole, Access::DataOfEl0),
            mmu::map(3, hole, Access::CodeOfEl0),
        )
    } else {
        (hole, hole)
    };
    let expect = |code, esr, x0: usize, elr: Option<u64>, far| {
        Expected {
            vector: vector::EL0_SYNC,
            esr: esr | IL,
            elr: elr.or(Some(code_address(code) as u64)),
            far,
        }
        .check(run(code, data_address() + 4096, x0))
    };
    let far = Some(data_hole as u64);
    let load = class::DATA_ABORT_EL0 << 26 | EXTERNAL;
    expect(&raw const avisor_el0_load, load, data_hole, None, far)?;
    let far = Some(code_hole as u64);
    let fetch = class::INSTRUCTION_ABORT_EL0 << 26 | EXTERNAL;
    expect(&raw const avisor_el0_jump, fetch, code_hole, far, far)?;
    let unknown = class::UNKNOWN << 26;
    expect(&raw const avisor_el0_hvc, unknown, 0, None, None)?;
    expect(&raw const avisor_el0_mrs, unknown, 0, None, None)
}
