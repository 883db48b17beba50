//! Loads and stores whose syndrome does not say what they do (ISV = 0): on a device they must do what they do on memory.
//!
//! Each form runs twice with the same registers: on 32 bytes of RAM, and on as many of the interrupt controller's priorities, which keep what is
//! stored but for the lower three bits of each byte. Registers and contents must be the same afterwards.

use core::arch::global_asm;

use avisor_guest::{Shared, gic, mmio};

use crate::el0;
use crate::fault::{IL, catch, class};
use crate::mmu::{self, Access};
use avisor_guest::check::{Failure, Outcome, equal_at};
use avisor_guest::random::pattern;

/// The bits that a priority has, in each byte.
const KEPT: u64 = 0xf8f8_f8f8_f8f8_f8f8;
/// GICD_IPRIORITYR of interrupts 32 to 63.
const PRIORITIES: usize = gic::DISTRIBUTOR + 0x420;
const WORDS: usize = 8;
/// What base registers point to, from the window's start on.
const MIDDLE: usize = 16;

/// x0 to x15, the stack pointer, the form, and where it goes on.
#[repr(C, align(64))]
#[derive(Clone)]
struct Registers {
    x: [u64; 16],
    sp: u64,
    form: u64,
    end: u64,
}

/// A page that EL0 may write, with the window where the priorities have it.
#[repr(C, align(4096))]
#[derive(Clone)]
struct Page {
    registers: Registers,
    padding: [u8; 0x420 - size_of::<Registers>()],
    window: [u32; WORDS],
}

static PAGE: Shared<Page> = Shared::new(Page {
    registers: Registers {
        x: [0; 16],
        sp: 0,
        form: 0,
        end: 0,
    },
    padding: [0; 0x420 - size_of::<Registers>()],
    window: [0; WORDS],
});

/// Where the stack pointer of a form is.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    El1OnSpEl1,
    El1OnSpEl0,
    El0,
}

unsafe extern "C" {
    static avisor_forms: u8;
    static avisor_forms_end: u8;
    static avisor_forms_el0: u8;
    static avisor_forms_el0_end: u8;
    fn avisor_form_on_sp_el1(registers: usize);
    fn avisor_form_on_sp_el0(registers: usize);
}

/// Bytes of an instruction and the branch behind it.
const FORM: usize = 8;

/// The instructions, each with a branch behind it to where x17 says.
macro_rules! forms {
    ($($form:literal)*) => {
        concat!($($form, "\n br x17\n"),*)
    };
}

macro_rules! load_registers {
    ($base:literal) => {
        concat!(
            "ldp x2, x3, [",
            $base,
            ", #16]\n ldp x4, x5, [",
            $base,
            ", #32]\n ldp x6, x7, [",
            $base,
            ", #48]\n",
            "ldp x8, x9, [",
            $base,
            ", #64]\n ldp x10, x11, [",
            $base,
            ", #80]\n ldp x12, x13, [",
            $base,
            ", #96]\n",
            "ldp x14, x15, [",
            $base,
            ", #112]\n ldp x0, x1, [",
            $base,
            "]\n",
        )
    };
}

macro_rules! on_stack_pointer {
    ($name:literal, $begin:literal, $end:literal) => {
        concat!(
            $name, ":\n",
            avisor_guest::save_callee_registers!(),
            "mov x19, x0\n mov x20, sp\n ldr x16, [x19, #136]\n ldr x18, [x19, #128]\n",
            load_registers!("x19"),
            "adr x17, 1f\n", $begin, "br x16\n 1:\n", $end,
            "str x18, [x19, #128]\n",
            "stp x0, x1, [x19]\n stp x2, x3, [x19, #16]\n stp x4, x5, [x19, #32]\n stp x6, x7, [x19, #48]\n",
            "stp x8, x9, [x19, #64]\n stp x10, x11, [x19, #80]\n stp x12, x13, [x19, #96]\n stp x14, x15, [x19, #112]\n",
            avisor_guest::restore_callee_registers!(),
            "ret\n",
        )
    };
}

global_asm!(
    ".arch_extension lor",
    ".section .text.avisor_forms, \"ax\"",
    on_stack_pointer!(
        "avisor_form_on_sp_el1",
        "mov sp, x18\n",
        "mov x18, sp\n mov sp, x20\n"
    ),
    on_stack_pointer!(
        "avisor_form_on_sp_el0",
        "msr sp_el0, x18\n msr spsel, #0\n",
        "msr spsel, #1\n mrs x18, sp_el0\n"
    ),
    ".balign 4096",
    // x0: the registers.
    "avisor_forms_el0:",
    "ldr x16, [x0, #136]",
    "ldr x17, [x0, #144]",
    "mov x18, x0",
    load_registers!("x18"),
    "br x16",
    "avisor_forms_el0_end: svc #0",
    ".balign 8",
    "avisor_forms:",
    forms!(
        // Post- and pre-index.
        "ldr w4, [x2], #4" "ldr x4, [x2], #-8" "ldr w4, [x2, #-4]!" "ldr x4, [x2, #8]!"
        "ldrb w4, [x2], #1" "ldrb w4, [x2, #-1]!" "ldrh w4, [x2], #2" "ldrh w4, [x2, #-2]!"
        "ldrsb w4, [x2], #3" "ldrsb x4, [x2, #5]!" "ldrsh w4, [x2], #-6" "ldrsh x4, [x2, #6]!"
        "ldrsw x4, [x2], #255" "ldrsw x4, [x2, #-16]!"
        "str w4, [x2], #4" "str x4, [x2], #-256" "str w4, [x2, #-4]!" "str x4, [x2, #8]!"
        "strb w4, [x2], #1" "strb w4, [x2, #-1]!" "strh w4, [x2], #2" "strh w4, [x2, #-2]!"
        "str wzr, [x2], #4" "str xzr, [x2, #8]!" "ldr wzr, [x2], #4" "ldr xzr, [x2, #-8]!" "strb wzr, [x2], #1"
        // Pairs.
        "ldp w4, w5, [x2]" "ldp x4, x5, [x2, #-16]" "ldp w4, w5, [x2], #8" "ldp x4, x5, [x2, #-16]!"
        "ldp x4, xzr, [x2], #16" "ldp wzr, w5, [x2, #4]" "ldpsw x4, x5, [x2]" "ldpsw x4, x5, [x2], #-8"
        "ldpsw x4, x5, [x2, #8]!" "ldnp w4, w5, [x2, #-8]" "ldnp x4, x5, [x2]"
        "stp w4, w5, [x2]" "stp x4, x5, [x2, #-16]" "stp w4, w5, [x2], #8" "stp x4, x5, [x2, #-16]!"
        "stp x4, xzr, [x2], #16" "stp wzr, w5, [x2, #4]" "stnp w4, w5, [x2, #-8]" "stnp x4, x5, [x2]"
        "stp x4, x4, [x2, #-8]" "ldp x5, x4, [x2], #504" "stp w5, w4, [x2, #-16]!"
        // The stack pointer as base.
        "ldr w4, [sp], #16" "ldr x4, [sp, #-16]!" "ldrsb x4, [sp], #-32" "str w4, [sp], #16" "str x4, [sp, #-16]!"
        "strb w4, [sp], #-16" "ldp x4, x5, [sp], #16" "ldp w4, w5, [sp, #-16]!" "stp x4, x5, [sp], #-16"
        "stp w4, w5, [sp, #-16]!" "ldp w4, w5, [sp, #8]" "stp xzr, x5, [sp]" "ldr xzr, [sp], #16"
        // These have a syndrome, on most CPUs.
        "ldr w4, [x2, #4]" "ldrsb w4, [x2, #-1]" "str x4, [x2, #8]" "ldr w4, [x2, x3]" "ldrsh x4, [x2, w3, sxtw]"
        "str w4, [x2, w6, uxtw #2]" "ldr x4, [sp, x6, lsl #3]"
        "ldar w4, [x2]" "stlrh w4, [x2]" "ldarb w4, [sp]"
    ),
    "avisor_forms_end:",
    ".balign 4096",
);

/// At EL1, in both ways to have a stack pointer.
pub fn at_el1() -> Outcome {
    all(Mode::El1OnSpEl1)?;
    all(Mode::El1OnSpEl0)
}

/// At EL0.
pub fn at_el0() -> Outcome {
    all(Mode::El0)
}

fn all(mode: Mode) -> Outcome {
    let page = PAGE.address();
    let device = PRIORITIES & !0xfff;
    let [code, memory, priorities] = match mode == Mode::El0 && mmu::is_on() {
        true => [
            mmu::map(4, el0_page(), Access::CodeOfEl0),
            mmu::map(5, page, Access::DataOfEl0),
            mmu::map(6, device, Access::DataOfEl0),
        ],
        false => [el0_page(), page, device],
    };
    let places = Places { code, memory };
    let kept: [u32; WORDS] = core::array::from_fn(|i| mmio::read32(PRIORITIES + 4 * i));
    let outcome = (0..forms()).try_for_each(|form| compare(mode, form, &places, priorities));
    write_priorities(kept);
    outcome
}

/// Where the code of EL0 and the data page are for the form's level.
struct Places {
    code: usize,
    memory: usize,
}

fn el0_page() -> usize {
    &raw const avisor_forms_el0 as usize
}

fn forms() -> usize {
    (&raw const avisor_forms_end as usize - &raw const avisor_forms as usize) / FORM
}

fn write_priorities(words: [u32; WORDS]) {
    for (i, word) in words.into_iter().enumerate() {
        // SAFETY: priorities of interrupts that are off.
        unsafe { mmio::write32(PRIORITIES + 4 * i, word) }
    }
}

fn compare(mode: Mode, form: usize, places: &Places, priorities: usize) -> Outcome {
    let contents: [u32; WORDS] = core::array::from_fn(|i| (pattern(i as u64) & KEPT) as u32);
    let mut page = PAGE.get();
    page.window = contents;
    PAGE.set(page);
    let memory = run(mode, form, places, places.memory + 0x420)?;
    let in_memory = PAGE.get().window;

    write_priorities(contents);
    let device = run(mode, form, places, priorities + 0x420)?;
    for (i, want) in in_memory.into_iter().enumerate() {
        let got = mmio::read32(PRIORITIES + 4 * i);
        let what = "what a form stores, 8 words for each: word ";
        equal_at(what, form * 8 + i, want.into(), got.into())?;
    }
    for (i, (want, got)) in memory.x.into_iter().zip(device.x).enumerate() {
        let what = "registers of a form, 16 for each: register ";
        equal_at(what, form * 16 + i, want, got)?;
    }
    equal_at("the stack pointer of form ", form, memory.sp, device.sp)
}

/// What the registers are after a form on the window: base registers from there on.
fn run(mode: Mode, form: usize, places: &Places, window: usize) -> Result<Registers, Failure> {
    let at_el1 = &raw const avisor_forms as usize + form * FORM;
    let at_el0 = |label| places.code + (label - el0_page());
    let middle = (window + MIDDLE) as u64;
    let mut registers = Registers {
        x: core::array::from_fn(|i| pattern(100 + i as u64) & KEPT),
        sp: middle,
        form: at_el1 as u64,
        end: at_el0(&raw const avisor_forms_el0_end as usize) as u64,
    };
    registers.x[2] = middle;
    registers.x[3] = -8_i64 as u64;
    registers.x[6] = 1;
    if mode == Mode::El0 {
        registers.form = at_el0(at_el1) as u64;
    }
    let mut page = PAGE.get();
    page.registers = registers;
    PAGE.set(page);
    match mode {
        Mode::El1OnSpEl1 | Mode::El1OnSpEl0 => {
            let caught = catch(|| {
                // SAFETY: a form changes the registers in PAGE and what is in the window.
                unsafe {
                    match mode {
                        Mode::El1OnSpEl1 => avisor_form_on_sp_el1(PAGE.address()),
                        _ => avisor_form_on_sp_el0(PAGE.address()),
                    }
                }
            });
            let esr = caught.map_or(0, |frame| frame.esr);
            equal_at("ESR_EL1 after form ", form, 0, esr)?;
            registers = PAGE.get().registers;
        }
        Mode::El0 => {
            let begin = at_el0(el0_page());
            let left = el0::run_at(begin, middle as usize, places.memory);
            let frame = left.ok_or(Failure::Says("EL0 did not end"))?;
            equal_at(
                "ESR_EL1 after form ",
                form,
                class::SVC << 26 | IL,
                frame.esr,
            )?;
            registers = PAGE.get().registers;
            registers.x.copy_from_slice(&frame.x[..16]);
            registers.sp = el0::stack_pointer();
        }
    }
    registers.x[2] = registers.x[2].wrapping_sub(middle);
    registers.sp = registers.sp.wrapping_sub(middle);
    Ok(registers)
}
