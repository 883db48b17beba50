//! What each physical core has for itself, reached through TPIDR_EL2.

use core::cell::UnsafeCell;
use core::mem::{MaybeUninit, offset_of};
use core::ptr;

use super::memory::page;
use crate::addr::PAGE_SIZE;
use crate::arch::isa::registers::{Readable, TPIDR_EL2, TTBR0_EL2};
use crate::arch::vcpu::Registers;
pub use crate::limits::CORES_MAX;

const MAIN_SIZE: usize = 64 << 10;
const EMERGENCY_SIZE: usize = 8 << 10;

/// The stacks of one core, from low to high addresses. A guard page is not mapped: a stack that overflows faults there.
#[repr(C, align(4096))]
pub(super) struct Stacks {
    pub(super) emergency_guard: MaybeUninit<[u8; PAGE_SIZE as usize]>,
    /// Where EL2's own faults are reported, since the main stack's overflow may be the fault.
    emergency: MaybeUninit<[u8; EMERGENCY_SIZE]>,
    pub(super) main_guard: MaybeUninit<[u8; PAGE_SIZE as usize]>,
    main: MaybeUninit<[u8; MAIN_SIZE]>,
    pub(super) end: [u8; 0],
}

/// Memory that only assembly and the stack pointers of the cores touch.
#[repr(transparent)]
pub(super) struct StackMemory(UnsafeCell<MaybeUninit<[Stacks; CORES_MAX]>>);

// SAFETY: no Rust code reads or writes through it; each core's stack pointer stays in its own element.
unsafe impl Sync for StackMemory {}

// SAFETY: the section is NOLOAD memory at the image's end, for which linker.ld provides; nothing expects it zeroed.
#[unsafe(link_section = ".stacks")]
pub(super) static STACKS: StackMemory = StackMemory(UnsafeCell::new(MaybeUninit::uninit()));

/// Physical addresses of all guard pages.
pub(super) fn guard_pages() -> impl Iterator<Item = u64> {
    let stacks = STACKS.0.get() as u64;
    (0..CORES_MAX).flat_map(move |core| {
        let base = stacks + (core * size_of::<Stacks>()) as u64;
        [
            base + offset_of!(Stacks, emergency_guard) as u64,
            base + offset_of!(Stacks, main_guard) as u64,
        ]
    })
}

/// One core's own data, on lines of its own. `repr(C)`: the vectors and the boot stub use it.
#[repr(C, align(64))]
pub struct Cpu {
    /// Top of the stack on which EL2's own faults are reported.
    pub(super) emergency: u64,
    /// Registers of the guest that runs here, or ran last; null before the first.
    pub(super) registers: *mut Registers,
    /// Which vCPU that is, for fault reports.
    pub(super) vcpu: Option<(&'static str, u32)>,
    /// A fatal report is being made: a further fault on the way ends it.
    pub(super) failing: bool,
    /// What the core is called by everybody here: 0 is the boot core.
    number: usize,
    /// For its start: the core that this element is for ([`cpu::affinity`](super::cpu::affinity)).
    pub(super) affinity: u64,
    /// For its start: the top of its stack.
    pub(super) stack: u64,
    /// For its start: TTBR0_EL2.
    pub(super) tables: u64,
}

#[repr(transparent)]
pub(super) struct Cpus(UnsafeCell<[Cpu; CORES_MAX]>);

// SAFETY: a core touches only its own element, which `Cpu::this` gets from TPIDR_EL2.
unsafe impl Sync for Cpus {}

pub(super) static CPUS: Cpus = Cpus(UnsafeCell::new([const { Cpu::NEW }; CORES_MAX]));

impl Cpu {
    const NEW: Self = Self {
        emergency: 0,
        registers: ptr::null_mut(),
        vcpu: None,
        failing: false,
        number: 0,
        affinity: u64::MAX,
        stack: 0,
        tables: 0,
    };

    /// This core's element.
    pub(super) fn this() -> *mut Cpu {
        TPIDR_EL2.get() as *mut Cpu
    }
}

/// Notes for fault reports which vCPU this core has loaded from now on: the VM's name and the vCPU's number.
pub fn set_current_vcpu(vcpu: Option<(&'static str, u32)>) {
    // SAFETY: the boot stub pointed TPIDR_EL2 at this core's element of CPUS; no reference to it is alive, because only
    // this module, `switch` and `fault` touch it, each for single loads and stores.
    unsafe { (*Cpu::this()).vcpu = vcpu };
}

/// This core's number: 0 is the boot core.
#[inline]
pub fn number() -> usize {
    // SAFETY: as above.
    unsafe { (*Cpu::this()).number }
}

/// Makes element `slot` ready for the core with affinity `affinity`, which reads it with its caches off when it comes in through
/// the boot stub's `secondary`, with `slot` for a number. No core has come to that element yet.
pub fn prepare(slot: usize, affinity: u64) {
    assert!(slot < CORES_MAX);
    let stacks = STACKS.0.get() as u64 + (slot * size_of::<Stacks>()) as u64;
    let cpu = CPUS.0.get() as u64 + (slot * size_of::<Cpu>()) as u64;
    let new = Cpu {
        emergency: stacks + offset_of!(Stacks, main_guard) as u64,
        stack: stacks + offset_of!(Stacks, end) as u64,
        tables: TTBR0_EL2.get(),
        affinity,
        number: slot,
        ..Cpu::NEW
    };
    // SAFETY: the element exists, and nobody uses it before its core has come.
    unsafe { (cpu as *mut Cpu).write(new) };
    page::clean_and_invalidate(cpu..cpu + size_of::<Cpu>() as u64);
}

/// This core is called `number` from here on.
pub fn set_number(number: usize) {
    // SAFETY: as above.
    unsafe { (*Cpu::this()).number = number };
}
