//! The trap of an access that stage 2 refused, as the CPU reports it (Arm ARM DDI 0487, ESR_EL2, FAR_EL2, HPFAR_EL2).

use crate::addr::{Ipa, PAGE_SIZE};
use crate::arch::vcpu::{Trap, TrapKind};
use crate::trap::Access;

/// DFSC/IFSC: translation fault at level 3.
pub const TRANSLATION: u8 = 0x07;
/// Access flag fault at level 3.
pub const ACCESS_FLAG: u8 = 0x0b;
/// Permission fault at level 3.
pub const PERMISSION: u8 = 0x0f;
/// Synchronous external abort.
pub const EXTERNAL: u8 = 0x10;
/// Alignment fault.
pub const ALIGNMENT: u8 = 0x21;
/// TLB conflict abort.
pub const TLB_CONFLICT: u8 = 0x30;

/// An abort. The defaults are those of a load that the syndrome does not describe, from where nothing is mapped.
#[derive(Clone, Copy, Debug)]
pub struct Abort {
    /// An instruction abort.
    pub fetch: bool,
    /// DFSC or IFSC.
    pub status: u8,
    /// FAR_EL2.
    pub far: u64,
    /// FnV: FAR_EL2 is not valid.
    pub far_not_valid: bool,
    /// HPFAR_EL2 says this.
    pub ipa: Ipa,
    /// WnR.
    pub write: bool,
    /// S1PTW.
    pub s1ptw: bool,
    /// CM.
    pub cache_op: bool,
    /// ISV, SAS, SSE, SRT and SF.
    pub access: Option<Access>,
    /// The instruction has 16 bits.
    pub narrow: bool,
}

impl Abort {
    /// A load from `ipa`, which is its virtual address too.
    pub const fn load(ipa: u64) -> Self {
        Self {
            fetch: false,
            status: TRANSLATION,
            far: ipa,
            far_not_valid: false,
            ipa: Ipa(ipa),
            write: false,
            s1ptw: false,
            cache_op: false,
            access: None,
            narrow: false,
        }
    }

    /// A store.
    pub const fn store(ipa: u64) -> Self {
        Self {
            write: true,
            ..Self::load(ipa)
        }
    }

    /// An instruction fetch.
    pub const fn fetch(ipa: u64) -> Self {
        Self {
            fetch: true,
            ..Self::load(ipa)
        }
    }

    /// As the registers have it.
    pub fn trap(self) -> Trap {
        let bit = |set: bool, place: u32| u64::from(set) << place;
        let class = if self.fetch { 0x20 } else { 0x24 };
        let access = self.access.map_or(0, |access| {
            1 << 24
                | u64::from(access.size.trailing_zeros()) << 22
                | bit(access.sign_extend, 21)
                | u64::from(access.reg) << 16
                | bit(access.sixty_four, 15)
        });
        let esr = class << 26
            | bit(!self.narrow, 25)
            | access
            | bit(self.far_not_valid, 10)
            | bit(self.cache_op, 8)
            | bit(self.s1ptw, 7)
            | bit(self.write, 6)
            | u64::from(self.status);
        Trap {
            kind: TrapKind::Sync,
            esr,
            far: self.far,
            hpfar: (self.ipa.0 / PAGE_SIZE) << 4,
        }
    }
}
