//! What code that is built with coverage calls: which edges a round takes, and what it compares.
//!
//! `-sanitizer-coverage-trace-pc-guard` of LLVM (Rust, Clang) gives each edge a word of its own in the section `__sancov_guards`, whose place
//! there is the edge's number. `-fsanitize-coverage=trace-pc` of GCC gives only the address that calls. Both may be in one program.
//! `-sanitizer-coverage-trace-compares` and `-fsanitize-coverage=trace-cmp` tell of comparisons.
//!
//! Nothing here is built with coverage itself, or it would call itself.

use core::arch::global_asm;
use core::hint::black_box;
use core::sync::atomic::{AtomicPtr, Ordering};

use super::layout::{Comparison, KEPT, MAP_BYTES, MAP_BYTES_MIN, SITES, Window};
use crate::Shared;

unsafe extern "C" {
    static __avisor_guards_start: u8;
    static __avisor_guards_end: u8;
    static __avisor_trace_pc_start: u8;
    static __avisor_trace_pc_end: u8;
}

/// The window's first byte; null as long as nobody wants coverage.
static WINDOW: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
/// The bytes of the map in use, which are a power of two, less one.
static MASK: Shared<usize> = Shared::new(0);
/// Where GCC's edge came from, mixed.
static PREVIOUS: Shared<usize> = Shared::new(0);

/// From now on coverage goes into `window`. Returns how many bytes of its map are used.
pub fn start(window: Window) -> usize {
    let guards = (&raw const __avisor_guards_end as usize - guards_start()) / 4;
    let [trace_pc_start, trace_pc_end] = [
        &raw const __avisor_trace_pc_start as usize,
        &raw const __avisor_trace_pc_end as usize,
    ];
    // To the compiler two variables have two addresses; to the linker these are two ends of what may be nothing.
    let bytes = match black_box(trace_pc_end) == trace_pc_start {
        true => guards.next_power_of_two().clamp(MAP_BYTES_MIN, MAP_BYTES),
        // GCC's edges have no numbers: they need room.
        false => MAP_BYTES,
    };
    MASK.set(bytes - 1);
    WINDOW.store(window.header().cast(), Ordering::Relaxed);
    bytes
}

/// A round begins.
pub(super) fn begin() {
    PREVIOUS.set(0);
}

fn guards_start() -> usize {
    &raw const __avisor_guards_start as usize
}

#[inline(always)]
fn window() -> Option<Window> {
    let address = WINDOW.load(Ordering::Relaxed);
    // SAFETY: it came out of a window, in `start`.
    (!address.is_null()).then(|| unsafe { Window::at(address) })
}

/// Edge `number` was taken.
#[inline(always)]
fn count(number: usize) {
    let Some(window) = window() else { return };
    // SAFETY: the mask keeps it in the map.
    unsafe { count_up(window.map().add(number & MASK.get())) };
}

/// One more, never 0 again: 256 times is not never.
#[inline(always)]
unsafe fn count_up(byte: *mut u8) -> u8 {
    // SAFETY: the caller's promise.
    unsafe {
        let before = *byte;
        let count = before.wrapping_add(1);
        *byte = count + u8::from(count == 0);
        before
    }
}

/// LLVM: an edge was taken.
// SAFETY: the name that compilers call; a second definition fails to link.
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_trace_pc_guard(guard: *mut u32) {
    count((guard as usize - guards_start()) / 4);
}

/// LLVM: a constructor of each module tells where its guards are, which nobody runs here; the linker script tells it.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_trace_pc_guard_init(_start: *mut u32, _end: *mut u32) {}

/// GCC: the block behind the call at `pc` was entered.
extern "C" fn trace_pc(pc: usize) {
    let here = mixed(pc);
    count(here ^ PREVIOUS.get());
    PREVIOUS.set(here >> 1);
}

/// Addresses of instructions, spread.
#[inline(always)]
fn mixed(pc: usize) -> usize {
    (pc >> 2).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

/// The code that returns to `pc` compared two values, of which `a` may be a constant.
extern "C" fn trace_cmp(a: u64, b: u64, pc: usize, kind: u64) {
    let Some(window) = window() else { return };
    let site = mixed(pc) % SITES;
    let (bytes, constant) = ((kind & 15) as u32, (kind >> 4) as u32);
    // SAFETY: the site, and the place in it, are within their bounds.
    unsafe {
        if (&raw const (*window.header()).wants_comparisons).read_volatile() == 0 {
            return;
        }
        let place = count_up(window.counts().add(site)) as usize % KEPT;
        window
            .comparisons()
            .add(site * KEPT + place)
            .write(Comparison {
                a,
                b,
                bytes,
                constant,
            });
    }
}

/// A `switch` over `value`. `cases` has how many there are, the bits of the value, and the cases.
extern "C" fn trace_switch(value: u64, cases: *const u64, pc: usize) {
    // SAFETY: compilers pass such an array.
    let (cases, bits) = unsafe {
        let count = *cases as usize;
        (
            core::slice::from_raw_parts(cases.add(2), count),
            *cases.add(1),
        )
    };
    // Different sites, so that each is kept; those of a large switch share.
    for (index, &case) in cases.iter().enumerate() {
        trace_cmp(case, value, pc + 4 * index, bits.div_ceil(8) | 16);
    }
}

// Compilers call these like any function, so all registers that a call may change are free. x30 says who calls.
global_asm!(
    r#"
    .macro avisor_trace_cmp name, kind
    .section .text.\name, "ax"
    .global \name
\name:
    mov     x2, x30
    mov     x3, #\kind
    b       {trace_cmp}
    .endm

    // A value may come with anything in the bits above its size.
    .macro avisor_trace_cmp_small name, kind, mask
    .section .text.\name, "ax"
    .global \name
\name:
    and     x0, x0, #\mask
    and     x1, x1, #\mask
    mov     x2, x30
    mov     x3, #\kind
    b       {trace_cmp}
    .endm

    avisor_trace_cmp_small __sanitizer_cov_trace_cmp1, 1, 0xff
    avisor_trace_cmp_small __sanitizer_cov_trace_cmp2, 2, 0xffff
    avisor_trace_cmp_small __sanitizer_cov_trace_cmp4, 4, 0xffffffff
    avisor_trace_cmp       __sanitizer_cov_trace_cmp8, 8
    avisor_trace_cmp_small __sanitizer_cov_trace_const_cmp1, 17, 0xff
    avisor_trace_cmp_small __sanitizer_cov_trace_const_cmp2, 18, 0xffff
    avisor_trace_cmp_small __sanitizer_cov_trace_const_cmp4, 20, 0xffffffff
    avisor_trace_cmp       __sanitizer_cov_trace_const_cmp8, 24

    .section .text.__sanitizer_cov_trace_pc, "ax"
    .global __sanitizer_cov_trace_pc
__sanitizer_cov_trace_pc:
    mov     x0, x30
    b       {trace_pc}

    .section .text.__sanitizer_cov_trace_switch, "ax"
    .global __sanitizer_cov_trace_switch
__sanitizer_cov_trace_switch:
    mov     x2, x30
    b       {trace_switch}
    .text
"#,
    trace_cmp = sym trace_cmp,
    trace_pc = sym trace_pc,
    trace_switch = sym trace_switch,
);
