//! The syndrome of an access that stage 2 refused (Arm ARM DDI 0487, `ESR_EL2`, ISS encodings for an exception from an
//! Instruction Abort and from a Data Abort; `HPFAR_EL2`).

use super::access::Access;
use super::esr::Esr;
use crate::addr::{Ipa, PAGE_SIZE, Va};

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

/// A guest's access that stage 2 refused: the three registers, each part of which is decoded where it is asked for. Most accesses need few.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryFault {
    esr: Esr,
    far: u64,
    hpfar: u64,
}

impl MemoryFault {
    /// ISV: the syndrome describes the access.
    const ISV: u64 = 1 << 24;
    /// CM: the access was cache maintenance or address translation.
    const CM: u64 = 1 << 8;
    /// S1PTW: the access was the guest's own table walk.
    const S1PTW: u64 = 1 << 7;
    /// WnR: the instruction stores.
    const WNR: u64 = 1 << 6;

    /// ESR_EL2, FAR_EL2 and HPFAR_EL2 of an instruction abort or a data abort.
    #[inline]
    pub const fn new(esr: Esr, far: u64, hpfar: u64) -> Self {
        Self { esr, far, hpfar }
    }

    /// ESR_EL2.
    #[inline]
    pub const fn esr(&self) -> Esr {
        self.esr
    }

    const fn has(&self, bit: u64) -> bool {
        self.esr.0 & bit != 0
    }

    /// The guest's virtual address, to the byte. `None` where the CPU says that it does not know (FnV).
    #[inline]
    pub const fn far(&self) -> Option<Va> {
        if matches!(self.kind(), FaultKind::External) && self.esr.far_not_valid() {
            None
        } else {
            Some(Va(self.far))
        }
    }

    /// The page (4 KiB) of the guest-physical address in HPFAR_EL2.FIPA, where that means anything: for translation, access flag and address size
    /// faults, and for permission faults on a stage 1 walk. After any other permission fault the register is UNKNOWN. On a stage 1 walk it is the
    /// page of the guest's descriptor, not of the access. `None`: ask AT S1E1R.
    #[inline]
    pub const fn page_ipa(&self) -> Option<Ipa> {
        /// FIPA, bits 47:4 (43:4 before 56-bit addresses, the rest RES0), holds bits 55:12 of the address.
        const FIPA: u64 = 0x0000_ffff_ffff_fff0;
        let promised = match self.kind() {
            FaultKind::Translation | FaultKind::AccessFlag | FaultKind::AddressSize => true,
            FaultKind::Permission => self.s1ptw(),
            _ => false,
        };
        if promised {
            Some(Ipa((self.hpfar & FIPA) << 8))
        } else {
            None
        }
    }

    /// What was wrong.
    #[inline]
    pub const fn kind(&self) -> FaultKind {
        FaultKind::decode(self.esr.fault_status())
    }

    /// Stage 2's level, 0 to 3; 0 for kinds that have none.
    pub const fn level(&self) -> u8 {
        self.kind().level(self.esr.fault_status())
    }

    /// The guest was fetching an instruction.
    #[inline]
    pub const fn fetch(&self) -> bool {
        self.esr.class() == Esr::EC_INSTRUCTION_ABORT_LOWER
    }

    /// The access needs write permission.
    ///
    /// - Cache maintenance by address counts as a write (ESR_EL2.WnR is 1 then): look at `cache_op`.
    /// - An atomic that both reads and writes counts as a read if a read would have faulted.
    /// - On the guest's own table walk WnR says what the *instruction* was doing. The walk itself only reads,
    ///   unless it updates an access flag or dirty state in the descriptor; stage 2 of a VM never forbids reading
    ///   what it maps, so there a permission fault is that update and a write, everything else a read.
    #[inline]
    pub const fn write(&self) -> bool {
        match self.s1ptw() {
            true => matches!(self.kind(), FaultKind::Permission),
            false => self.wnr(),
        }
    }

    /// ESR_EL2.WnR as it is: what the instruction was doing, whatever its table walk did.
    #[inline]
    pub const fn wnr(&self) -> bool {
        self.has(Self::WNR) && !self.fetch()
    }

    /// The access was the guest's own stage 1 table walk.
    #[inline]
    pub const fn s1ptw(&self) -> bool {
        self.has(Self::S1PTW)
    }

    /// DC or IC by address, or AT. (DC ZVA is none: it is a store.)
    #[inline]
    pub const fn cache_op(&self) -> bool {
        self.has(Self::CM) && !self.fetch()
    }

    /// A plain load or store of one general register, at `far`, in `page_ipa`. `None` for pairs, SIMD, exclusives, atomics, write-back forms, fetches,
    /// table walks and cache maintenance: what those do is in the [instruction](super::instruction).
    #[inline]
    pub const fn access(&self) -> Option<PlainAccess> {
        const DESCRIBED: u64 = (Esr::EC_DATA_ABORT_LOWER as u64) << 26 | MemoryFault::ISV;
        if self.esr.0 & (0x3f << 26 | Self::ISV | Self::CM | Self::S1PTW) == DESCRIBED {
            Some(PlainAccess {
                register: Access::decode(self.esr),
                page_offset: self.far & (PAGE_SIZE - 1),
                write: self.has(Self::WNR),
            })
        } else {
            None
        }
    }
}

/// An access that the syndrome describes (ESR_EL2.ISV).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlainAccess {
    /// Size and register.
    pub register: Access,
    /// Bytes from the start of its page on.
    pub page_offset: u64,
    /// It stores.
    pub write: bool,
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
        MemoryFault::new(esr, 0xffff_0000_1234_5678, 0x9_0000)
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
        let access = PlainAccess {
            register: access,
            page_offset: 0x678,
            write: true,
        };
        assert_eq!(fault.far(), Some(Va(0xffff_0000_1234_5678)));
        assert_eq!(fault.page_ipa(), None);
        assert_eq!((fault.kind(), fault.level()), (FaultKind::Permission, 3));
        assert!(fault.write() && fault.wnr());
        assert!(!fault.fetch() && !fault.s1ptw() && !fault.cache_op());
        assert_eq!(fault.access(), Some(access));
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
            assert_eq!(fault(0x24, status).page_ipa(), plain, "{status:#x}");
            assert_eq!(
                fault(0x24, status | 1 << 7).page_ipa(),
                walk,
                "{status:#x} on a walk"
            );
        }
    }

    #[test]
    fn what_needs_write_permission() {
        let (wnr, s1ptw, cm) = (1 << 6, 1 << 7, 1 << 8);
        assert!(fault(0x24, wnr | 0x0f).write());
        assert!(!fault(0x24, 0x0f).write());
        assert!(
            !fault(0x24, wnr | s1ptw | 0x07).write(),
            "the walk reads although the instruction stores"
        );
        assert!(
            fault(0x24, s1ptw | 0x0f).write(),
            "the walk sets an access flag although the instruction loads"
        );
        assert!(fault(0x20, s1ptw | 0x0f).write(), "or fetches");
        let dc = fault(0x24, wnr | cm | 0x0f);
        assert!(dc.write() && dc.cache_op() && dc.access().is_none());
        let fetch = fault(0x20, wnr | cm | 0x0f);
        assert!(fetch.fetch() && !fetch.write() && !fetch.cache_op());
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
            assert_eq!((fault.kind(), fault.level()), (kind, level), "{status:#x}");
        }
        assert_eq!(fault(0x24, 1 << 10 | 0x10).far(), None, "FnV");
    }
}
