//! The syndrome of an access that stage 2 refused (Arm ARM DDI 0487, `ESR_EL2`, ISS encodings for an exception from an
//! Instruction Abort and from a Data Abort; `HPFAR_EL2`).

use super::access::Access;
use super::esr::Esr;
use crate::addr::{Ipa, Va};

/// What kind of fault stage 2 reported (DFSC/IFSC without its level).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// Nothing is mapped there.
    Translation,
    /// The mapping forbids this access.
    Permission,
    /// The mapping has its access flag clear.
    AccessFlag,
    /// The address is wider than stage 2's input or output.
    AddressSize,
    /// Synchronous external abort or parity/ECC error, on the access or on a table walk.
    External,
    /// Misaligned.
    Alignment,
    /// Two TLB entries for one address: broken break-before-make, by the guest or by us.
    TlbConflict,
    /// Lockdown, unsupported exclusive or atomic, tag check, granule protection, level -1.
    Other,
}

/// A guest's access that stage 2 refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryFault {
    /// The guest's virtual address, to the byte. `None` where the CPU says that it does not know (FnV).
    pub far: Option<Va>,
    /// The page (4 KiB) of the guest-physical address, where the architecture promises it (see the function `page_ipa`).
    /// With `s1ptw` it is the page of the guest's descriptor, not of the access. `None`: ask AT S1E1R.
    pub page_ipa: Option<Ipa>,
    /// What was wrong.
    pub kind: FaultKind,
    /// Stage 2's level, 0 to 3; 0 for kinds that have none.
    pub level: u8,
    /// The guest was fetching an instruction.
    pub fetch: bool,
    /// The access needs write permission.
    ///
    /// - Cache maintenance by address counts as a write (ESR_EL2.WnR is 1 then): look at `cache_op`.
    /// - An atomic that both reads and writes counts as a read if a read would have faulted.
    /// - On the guest's own table walk WnR says what the *instruction* was doing. The walk itself only reads,
    ///   unless it updates an access flag or dirty state in the descriptor; stage 2 of a VM never forbids reading
    ///   what it maps, so there a permission fault is that update and a write, everything else a read.
    pub write: bool,
    /// ESR_EL2.WnR as it is: what the instruction was doing, whatever its table walk did.
    pub wnr: bool,
    /// The access was the guest's own stage 1 table walk.
    pub s1ptw: bool,
    /// DC or IC by address, or AT. (DC ZVA is none: it is a store.)
    pub cache_op: bool,
    /// Size and register of a plain load or store (ESR_EL2.ISV). `None` for pairs, SIMD, exclusives, atomics,
    /// write-back forms, fetches and table walks: what those do is in the [instruction](super::instruction).
    pub access: Option<Access>,
}

impl MemoryFault {
    #[inline]
    pub(super) const fn decode(esr: Esr, far: u64, hpfar: u64, fetch: bool) -> Self {
        let kind = FaultKind::decode(esr.fault_status());
        let s1ptw = esr.bit(7);
        let wnr = !fetch && esr.bit(6);
        let write = if s1ptw {
            matches!(kind, FaultKind::Permission)
        } else {
            wnr
        };
        let far_valid = !matches!(kind, FaultKind::External) || !esr.far_not_valid();
        Self {
            far: if far_valid { Some(Va(far)) } else { None },
            page_ipa: page_ipa(kind, s1ptw, hpfar),
            kind,
            level: kind.level(esr.fault_status()),
            fetch,
            write,
            wnr,
            s1ptw,
            cache_op: !fetch && esr.bit(8),
            access: if !fetch && esr.bit(24) {
                Some(Access::decode(esr))
            } else {
                None
            },
        }
    }
}

impl Access {
    #[inline]
    const fn decode(esr: Esr) -> Self {
        Self {
            size: 1 << esr.field(22, 2),
            reg: esr.field(16, 5),
            sign_extend: esr.bit(21),
            sixty_four: esr.bit(15),
        }
    }
}

/// The page in HPFAR_EL2.FIPA, if it means anything: for translation, access flag and address size faults, and for
/// permission faults on a stage 1 walk. After any other permission fault the register is UNKNOWN.
#[inline]
const fn page_ipa(kind: FaultKind, s1ptw: bool, hpfar: u64) -> Option<Ipa> {
    /// FIPA, bits 47:4 (43:4 before 56-bit addresses, the rest RES0), holds bits 55:12 of the address.
    const FIPA: u64 = 0x0000_ffff_ffff_fff0;
    let promised = match kind {
        FaultKind::Translation | FaultKind::AccessFlag | FaultKind::AddressSize => true,
        FaultKind::Permission => s1ptw,
        _ => false,
    };
    if promised {
        Some(Ipa((hpfar & FIPA) << 8))
    } else {
        None
    }
}

impl FaultKind {
    /// From DFSC or IFSC, 6 bits. Level -1 exists with 52-bit input only, which Avisor's stage 2 does not use.
    #[inline]
    const fn decode(status: u8) -> Self {
        match status {
            0x00..=0x03 => Self::AddressSize,
            0x04..=0x07 => Self::Translation,
            0x08..=0x0b => Self::AccessFlag,
            0x0c..=0x0f => Self::Permission,
            // 0x10 external, 0x14-0x17 on a walk; 0x18 parity or ECC, 0x1c-0x1f on a walk; 0x13, 0x1b level -1.
            0x10 | 0x13..=0x18 | 0x1b..=0x1f => Self::External,
            0x21 => Self::Alignment,
            0x30 => Self::TlbConflict,
            _ => Self::Other,
        }
    }

    #[inline]
    const fn level(self, status: u8) -> u8 {
        match self {
            Self::AddressSize | Self::Translation | Self::AccessFlag | Self::Permission => {
                status & 3
            }
            Self::External if status & 4 != 0 => status & 3,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(class: u8, iss: u64) -> MemoryFault {
        let esr = Esr(u64::from(class) << 26 | 1 << 25 | iss);
        MemoryFault::decode(
            esr,
            0xffff_0000_1234_5678,
            0x9_0000,
            class == Esr::EC_INSTRUCTION_ABORT_LOWER,
        )
    }

    #[test]
    fn a_store_that_a_read_only_page_refused() {
        // str w5, [..]: ISV, SAS 2, SRT 5, WnR, permission fault level 3.
        let fault = fault(0x24, 1 << 24 | 2 << 22 | 5 << 16 | 1 << 6 | 0x0f);
        let access = Access {
            size: 4,
            reg: 5,
            sign_extend: false,
            sixty_four: false,
        };
        let expected = MemoryFault {
            far: Some(Va(0xffff_0000_1234_5678)),
            page_ipa: None,
            kind: FaultKind::Permission,
            level: 3,
            fetch: false,
            write: true,
            wnr: true,
            s1ptw: false,
            cache_op: false,
            access: Some(access),
        };
        assert_eq!(fault, expected);
    }

    #[test]
    fn the_page_is_used_only_where_it_is_promised() {
        let page = Some(Ipa(0x0900_0000));
        for (status, plain, walk) in [
            (0x00, page, page),
            (0x07, page, page),
            (0x0a, page, page),
            (0x0f, None, page),
            (0x10, None, None),
            (0x16, None, None),
            (0x21, None, None),
            (0x30, None, None),
        ] {
            assert_eq!(fault(0x24, status).page_ipa, plain, "{status:#x}");
            assert_eq!(
                fault(0x24, status | 1 << 7).page_ipa,
                walk,
                "{status:#x} on a walk"
            );
        }
    }

    #[test]
    fn what_needs_write_permission() {
        let (wnr, s1ptw, cm) = (1 << 6, 1 << 7, 1 << 8);
        assert!(fault(0x24, wnr | 0x0f).write);
        assert!(!fault(0x24, 0x0f).write);
        assert!(
            !fault(0x24, wnr | s1ptw | 0x07).write,
            "the walk reads although the instruction stores"
        );
        assert!(
            fault(0x24, s1ptw | 0x0f).write,
            "the walk sets an access flag although the instruction loads"
        );
        assert!(fault(0x20, s1ptw | 0x0f).write, "or fetches");
        let dc = fault(0x24, wnr | cm | 0x0f);
        assert!(dc.write && dc.cache_op && dc.access.is_none());
        let fetch = fault(0x20, wnr | cm | 0x0f);
        assert!(fetch.fetch && !fetch.write && !fetch.cache_op);
    }

    #[test]
    fn kinds_and_levels() {
        for (status, kind, level) in [
            (0x03, FaultKind::AddressSize, 3),
            (0x05, FaultKind::Translation, 1),
            (0x0b, FaultKind::AccessFlag, 3),
            (0x0e, FaultKind::Permission, 2),
            (0x10, FaultKind::External, 0),
            (0x16, FaultKind::External, 2),
            (0x18, FaultKind::External, 0),
            (0x1f, FaultKind::External, 3),
            (0x21, FaultKind::Alignment, 0),
            (0x2b, FaultKind::Other, 0),
            (0x30, FaultKind::TlbConflict, 0),
            (0x35, FaultKind::Other, 0),
        ] {
            let fault = fault(0x24, status);
            assert_eq!((fault.kind, fault.level), (kind, level), "{status:#x}");
        }
        assert_eq!(fault(0x24, 1 << 10 | 0x10).far, None, "FnV");
    }
}
