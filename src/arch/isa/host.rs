//! For tests: system registers by the names that `metal` has for them, and what the worst board has no part in.

/// Reads a system register by name.
macro_rules! read_register {
    ($name:expr) => {
        $crate::arch::isa::read($name)
    };
}

/// Writes a system register by name.
macro_rules! write_register {
    ($name:expr, $value:expr) => {
        $crate::arch::isa::write($name, $value)
    };
}

/// What `aarch64-cpu` knows of the registers' fields; the registers themselves are those of the core that the thread stands for.
pub mod registers {
    use crate::arch::isa;
    use core::marker::PhantomData;
    use tock_registers::RegisterLongName;

    pub use aarch64_cpu::registers::*;

    /// A system register.
    pub struct Register<R> {
        name: &'static str,
        fields: PhantomData<R>,
    }

    impl<R: RegisterLongName> Readable for Register<R> {
        type T = u64;
        type R = R;

        fn get(&self) -> u64 {
            isa::read(self.name)
        }
    }

    impl<R: RegisterLongName> Writeable for Register<R> {
        type T = u64;
        type R = R;

        #[track_caller]
        fn set(&self, value: u64) {
            isa::write(self.name, value);
        }
    }

    macro_rules! registers {
        ($($register:ident: $fields:ty = $name:literal,)*) => {$(
            #[doc = $name]
            pub const $register: Register<$fields> = Register {
                name: $name,
                fields: PhantomData,
            };
        )*};
    }

    registers! {
        ACTLR_EL2: () = "actlr_el2",
        CNTFRQ_EL0: () = "cntfrq_el0",
        CNTHCTL_EL2: CNTHCTL_EL2::Register = "cnthctl_el2",
        CNTPCT_EL0: () = "cntpct_el0",
        CNTVOFF_EL2: () = "cntvoff_el2",
        CNTV_CTL_EL0: CNTV_CTL_EL0::Register = "cntv_ctl_el0",
        CPTR_EL2: CPTR_EL2::Register = "cptr_el2",
        ELR_EL1: () = "elr_el1",
        ESR_EL1: ESR_EL1::Register = "esr_el1",
        FAR_EL1: () = "far_el1",
        HCR_EL2: HCR_EL2::Register = "hcr_el2",
        ID_AA64DFR0_EL1: ID_AA64DFR0_EL1::Register = "id_aa64dfr0_el1",
        ID_AA64ISAR1_EL1: ID_AA64ISAR1_EL1::Register = "id_aa64isar1_el1",
        ID_AA64MMFR1_EL1: ID_AA64MMFR1_EL1::Register = "id_aa64mmfr1_el1",
        ID_AA64PFR0_EL1: ID_AA64PFR0_EL1::Register = "id_aa64pfr0_el1",
        MDCR_EL2: MDCR_EL2::Register = "mdcr_el2",
        MIDR_EL1: MIDR_EL1::Register = "midr_el1",
        PAR_EL1: PAR_EL1::Register = "par_el1",
        SCTLR_EL1: SCTLR_EL1::Register = "sctlr_el1",
        SPSR_EL1: SPSR_EL1::Register = "spsr_el1",
        SP_EL0: () = "sp_el0",
        SP_EL1: () = "sp_el1",
        TCR_EL1: TCR_EL1::Register = "tcr_el1",
        TTBR0_EL1: TTBR0_EL1::Register = "ttbr0_el1",
        TTBR1_EL1: TTBR1_EL1::Register = "ttbr1_el1",
        VBAR_EL1: () = "vbar_el1",
        VMPIDR_EL2: VMPIDR_EL2::Register = "vmpidr_el2",
        VTCR_EL2: VTCR_EL2::Register = "vtcr_el2",
        VTTBR_EL2: VTTBR_EL2::Register = "vttbr_el2",
    }
}

/// Another core has its turn.
pub fn wfi() {
    std::thread::yield_now();
}
