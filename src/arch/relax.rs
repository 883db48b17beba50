//! What a core does between two looks at what another core will change.

use core::arch::asm;

/// Waits for another core by YIELD. Where several cores take turns, as in an emulator that counts instructions, the next one has its
/// turn; `core::hint::spin_loop` is an ISB, after which this one would go on looking.
pub struct Relax;

impl spin::RelaxStrategy for Relax {
    #[inline]
    fn relax() {
        // SAFETY: a hint, which changes neither registers nor memory.
        unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
    }
}
