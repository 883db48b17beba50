//! Entry into the image: `boot.S`, and the Rust that it calls before `main`. That runs with the MMU off, on Device
//! memory, where an exclusive access is not promised to work: no lock, no log.

use core::arch::global_asm;
use core::mem::offset_of;

use super::entry::{fixup, switch};
use super::memory::{mmu, page};
use super::vcpu::control;
use super::{assembly, cpu, percpu};

pub mod image;

global_asm!(
    include_str!("boot.S"),
    HCR_START = const control::HCR_START,
    CPTR_RES1 = const control::CPTR_RES1,
    MAIR = const mmu::MAIR,
    TCR = const mmu::TCR,
    SCTLR = const mmu::SCTLR,
    MAIN_TOP = const offset_of!(percpu::Stacks, end),
    EMERGENCY_TOP = const offset_of!(percpu::Stacks, main_guard),
    CPU_EMERGENCY = const offset_of!(percpu::Cpu, emergency),
    CPU_AFFINITY = const offset_of!(percpu::Cpu, affinity),
    CPU_STACK = const offset_of!(percpu::Cpu, stack),
    CPU_TABLES = const offset_of!(percpu::Cpu, tables),
    CPU_SIZE = const size_of::<percpu::Cpu>(),
    CORES = const percpu::CORES_MAX,
    AFFINITY = const cpu::AFFINITY,
    cpus = sym percpu::CPUS,
    stacks = sym percpu::STACKS,
    vectors = sym switch::avisor_vectors,
    mend_cpu = sym assembly::avisor_mend_cpu,
    map_image = sym image::map_image,
    wrong_level = sym wrong_level,
    main = sym enter_main,
    secondary_main = sym enter_secondary,
);

unsafe extern "C" {
    static park: u8;
    static secondary: u8;
}

/// Where a core goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// To sleep in the image, for good.
    Park,
    /// Through the boot stub to the function that [`entry!`](crate::entry) has for other cores, if [`percpu::prepare`] has something for it.
    Secondary,
}

impl Destination {
    /// The address at which a core is to begin, MMU and caches off.
    pub fn entry(self) -> u64 {
        match self {
            Self::Park => &raw const park as u64,
            Self::Secondary => &raw const secondary as u64,
        }
    }
}

/// Sends a core that waits in a spin table (it polls `release`, MMU and caches off) to `destination`.
pub fn release_core(release: u64, destination: Destination) -> Result<(), mmu::MapError> {
    mmu::with_page(release, || {
        if fixup::probe(release).is_none() {
            return Err(mmu::MapError::NotFree);
        }
        // SAFETY: the device tree names `release` as the word that the core waits for, in reserved memory, as the caller checked, that
        // is mapped during this call and answers; both destinations need nothing of what the core had.
        unsafe { (release as *mut u64).write_volatile(destination.entry()) };
        // The core reads memory, not our cache. It is there before the event: this ends with a DSB for the full system.
        page::clean_and_invalidate(release..release + 8);
        aarch64_cpu::asm::sev();
        Ok(())
    })?
}

unsafe extern "Rust" {
    /// Defined by [`entry!`](crate::entry).
    safe fn avisor_main(tree: u64) -> !;
    safe fn avisor_secondary() -> !;
    safe fn avisor_wrong_level(tree: u64, level: u64) -> !;
}

/// Names what the boot stub and the vectors call, none of which returns:
///
/// - `main(tree: u64)`: the boot core, once MMU and caches are on, with the physical address of the device tree as the firmware gave it;
/// - `secondary()`: another core, MMU and caches on, set up for guests ([`control::set_up`]);
/// - `wrong_level(tree: u64, level: u64)`: the image was entered at exception level `level`, which is not 2, MMU off;
/// - `failed(why: Option<core::fmt::Arguments>)`: EL2's own mistake; without words if it failed while it told of one.
#[macro_export]
macro_rules! entry {
    (main: $main:path, secondary: $secondary:path, wrong_level: $wrong_level:path, failed: $failed:path $(,)?) => {
        #[allow(unsafe_code)]
        const _: () = {
            // SAFETY: the one definition of the name that `arch::boot` or `arch::entry` declares, with its type; so are the others.
            #[unsafe(no_mangle)]
            fn avisor_main(tree: u64) -> ! {
                $main(tree)
            }

            // SAFETY: as above.
            #[unsafe(no_mangle)]
            fn avisor_secondary() -> ! {
                $secondary()
            }

            // SAFETY: as above.
            #[unsafe(no_mangle)]
            fn avisor_wrong_level(tree: u64, level: u64) -> ! {
                $wrong_level(tree, level)
            }

            // SAFETY: as above.
            #[unsafe(no_mangle)]
            fn avisor_failed(why: Option<core::fmt::Arguments>) -> ! {
                $failed(why)
            }
        };
    };
}

extern "C" fn enter_main(tree: u64) -> ! {
    avisor_main(tree)
}

/// Another core than the boot core, MMU and caches on.
extern "C" fn enter_secondary() -> ! {
    control::set_up();
    avisor_secondary()
}

/// At EL1 or EL3.
extern "C" fn wrong_level(tree: u64, level: u64) -> ! {
    image::clean_tree(tree);
    avisor_wrong_level(tree, level)
}
