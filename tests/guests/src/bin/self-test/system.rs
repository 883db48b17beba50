//! The EL1 system registers that belong to a snapshot, each with two values.

use core::arch::asm;

use avisor_guest::println;

use crate::mmu;
use avisor_guest::check::{Failure, Outcome};

/// A register and what to fill it with.
struct Register {
    name: &'static str,
    exists: fn() -> bool,
    read: fn() -> u64,
    write: fn(u64),
    values: Values,
}

enum Values {
    /// What to checkpoint, what to overwrite it with.
    Two(u64, u64),
    /// What it has; then the same with these bits flipped, which change nothing that the program notices.
    Flip(u64),
    /// The first while the MMU is off, the second with the MMU on.
    ByMmu((u64, u64), u64),
}

use Values::{ByMmu, Flip, Two};

macro_rules! registers {
    ($($name:ident $(($label:literal, if $exists:expr))?: $values:expr,)*) => {
        static REGISTERS: &[Register] = &[$(Register {
            name: concat!(stringify!($name) $(, " = ", $label)?),
            exists: || true $(&& $exists())?,
            read: || {
                let value: u64;
                // SAFETY: reads a system register; no program state depends on it.
                unsafe { asm!(concat!("mrs {}, ", stringify!($name)), out(reg) value, options(nostack)) }
                value
            },
            write: |value| {
                // SAFETY: the values in this table are such that the program goes on: see each.
                unsafe { asm!(concat!("msr ", stringify!($name), ", {}"), "isb", in(reg) value, options(nostack)) }
            },
            values: $values,
        },)*];
        /// How many there are.
        pub const COUNT: usize = [$(stringify!($name)),*].len();
    };
}

registers! {
    // nTWE and UCI: EL0's business.
    SCTLR_EL1: Flip(1 << 18 | 1 << 26),
    // FPEN. With the second value, EL0 may not use the SIMD registers; EL1 always may.
    CPACR_EL1: Two(3 << 20, 1 << 20),
    // With the MMU on: the ASID, while all translations are global.
    TTBR0_EL1: ByMmu((0x1234_0000_4567_8000, 0xabcd_0000_7654_3000), 0x0055 << 48),
    // With the MMU on: switched off by EPD1.
    TTBR1_EL1: Two(0x4321_0000_4444_0000, 0x00ff_0000_5555_0000),
    // With the MMU on: T1SZ, without use because of EPD1.
    TCR_EL1: ByMmu((0x0000_0005_b519_3519, 0x0000_0002_8010_0010), 3 << 16),
    // With the MMU on: an attribute that no entry uses.
    MAIR_EL1: ByMmu((0x00ff_4404_0c08_bb0f, 0xff00_bb44_0804_440c), 0xff << 56),
    AMAIR_EL1: Two(0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210),
    ESR_EL1: Two(0x5600_1234, 0x9200_0047),
    FAR_EL1: Two(0x0000_1122_3344_5566, 0xffff_8877_6655_4433),
    ELR_EL1: Two(0x0000_0000_4010_2030, 0xffff_ff80_0000_1234),
    SPSR_EL1: Two(0x6000_03c5, 0x9000_0000),
    AFSR0_EL1: Two(0x1111_2222, 0x3333_4444),
    AFSR1_EL1: Two(0x5555_6666, 0x7777_8888),
    CONTEXTIDR_EL1: Two(0x1357_9bdf, 0x0246_8ace),
    TPIDR_EL0: Two(0x0101_0101_a5a5_a5a5, 0x1010_1010_5a5a_5a5a),
    TPIDRRO_EL0: Two(0x0202_0202_a5a5_a5a5, 0x2020_2020_5a5a_5a5a),
    TPIDR_EL1: Two(0x0303_0303_a5a5_a5a5, 0x3030_3030_5a5a_5a5a),
    // EL0's access to timers and counters.
    CNTKCTL_EL1: Two(0x303, 0x002),
    // An address of a successful, and one of a failed translation.
    PAR_EL1: Two(0xff00_0000_4321_0b80, 0x0000_0000_0000_0813),
    // The level 2 cache; the level 1 instruction cache.
    CSSELR_EL1: Two(2, 1),
    // TDCC; KDE. Neither enables a debug exception.
    MDSCR_EL1: Two(1 << 12, 1 << 13),
    // E, bit 0 of the control registers, stays 0.
    DBGBVR0_EL1: Two(0x0000_1234_5678_9abc, 0x0000_4321_0000_1110),
    DBGBCR0_EL1: Two(0x1e4, 0x0c2),
    DBGBVR5_EL1: Two(0x0000_1111_5678_9abc, 0x0000_2222_0000_1110),
    DBGWVR0_EL1: Two(0x0000_1234_5678_9ab8, 0x0000_4321_0000_1118),
    DBGWCR0_EL1: Two(0x1ff4, 0x0a0a),
    DBGWVR3_EL1: Two(0x0000_1111_5678_9ab8, 0x0000_2222_0000_1118),
    // Enabled with its interrupt masked, and far from firing; disabled, and nearer.
    CNTV_CVAL_EL0: Two(0x7fff_ffff_1234_5678, 0x6fff_ffff_8765_4321),
    CNTV_CTL_EL0: Two(3, 2),
    CNTP_CVAL_EL0: Two(0x7fff_eeee_1234_5678, 0x6fff_eeee_8765_4321),
    CNTP_CTL_EL0: Two(3, 2),
    S3_0_C2_C1_0 ("APIAKeyLo_EL1", if has_pointer_authentication): Two(0x1122_3344_5566_7788, 0x8877_6655_4433_2211),
    S3_0_C2_C1_1 ("APIAKeyHi_EL1", if has_pointer_authentication): Two(0x1222_3344_5566_7788, 0x8777_6655_4433_2211),
    S3_0_C2_C1_2 ("APIBKeyLo_EL1", if has_pointer_authentication): Two(0x1322_3344_5566_7788, 0x8677_6655_4433_2211),
    S3_0_C2_C2_0 ("APDAKeyLo_EL1", if has_pointer_authentication): Two(0x1422_3344_5566_7788, 0x8577_6655_4433_2211),
    S3_0_C2_C2_3 ("APDBKeyHi_EL1", if has_pointer_authentication): Two(0x1522_3344_5566_7788, 0x8477_6655_4433_2211),
    S3_0_C2_C3_1 ("APGAKeyHi_EL1", if has_pointer_authentication): Two(0x1622_3344_5566_7788, 0x8377_6655_4433_2211),
    // The last one, as no exception can be handled with these.
    VBAR_EL1: Two(0x4567_8800, 0x7654_3000),
}

/// A value for each register.
pub type All = [u64; COUNT];

/// What to load, and what to overwrite it with: as the registers keep it, with reserved bits gone.
pub struct Plan {
    pub want: All,
    pub scramble: All,
}

/// Finds out which values the registers keep, and leaves them as they were.
pub fn plan() -> Plan {
    let ours = read();
    let chosen: [(u64, u64); COUNT] = core::array::from_fn(|n| match REGISTERS[n].values {
        Two(want, scramble) => (want, scramble),
        ByMmu(two, _) if !mmu::is_on() => two,
        Flip(bits) | ByMmu(_, bits) => (ours[n], ours[n] ^ bits),
    });
    let kept = |values: &All| {
        write(values);
        read()
    };
    let plan = Plan {
        scramble: kept(&chosen.map(|(_, scramble)| scramble)),
        want: kept(&chosen.map(|(want, _)| want)),
    };
    write(&ours);
    plan
}

/// Writes all registers.
pub fn write(values: &All) {
    for (register, value) in REGISTERS.iter().zip(values) {
        if (register.exists)() {
            (register.write)(*value);
        }
    }
}

/// Reads all registers; 0 for one that does not exist.
pub fn read() -> All {
    core::array::from_fn(|n| {
        let register = &REGISTERS[n];
        if (register.exists)() {
            (register.read)()
        } else {
            0
        }
    })
}

/// Prints each register that differs.
pub fn compare(want: &All, got: &All) -> Outcome {
    let mut different = false;
    for ((register, want), got) in REGISTERS.iter().zip(want).zip(got) {
        if want != got {
            println!(
                "self-test:   {}: want {want:#x}, got {got:#x}",
                register.name
            );
            different = true;
        }
    }
    if different {
        return Err(Failure::Says("system registers differ, see above"));
    }
    Ok(())
}

/// Registers that keep no value here show nothing; those that every CPU has must not be among them.
pub fn check_plan(plan: &Plan) -> Outcome {
    for (n, register) in REGISTERS.iter().enumerate() {
        let may_be_constant = !(register.exists)()
            || ["AMAIR_EL1", "AFSR0_EL1", "AFSR1_EL1"].contains(&register.name);
        if plan.want[n] == plan.scramble[n] && !may_be_constant {
            println!("self-test:   {} stays {:#x}", register.name, plan.want[n]);
            return Err(Failure::Says(
                "a register does not keep what is written to it",
            ));
        }
    }
    Ok(())
}

/// Pointer authentication by any algorithm: API or APA of ID_AA64ISAR1_EL1, or APA3 of ID_AA64ISAR2_EL1.
fn has_pointer_authentication() -> bool {
    let (isar1, isar2): (u64, u64);
    // SAFETY: reads identification registers; the second is ID_AA64ISAR2_EL1, which reads as 0 where it is not known.
    unsafe {
        asm!("mrs {}, id_aa64isar1_el1", "mrs {}, S3_0_C0_C6_2", out(reg) isar1, out(reg) isar2, options(nostack));
    }
    isar1 & 0xff0 != 0 || isar2 & 0xf000 != 0
}

/// Lets EL1 and EL0 use the SIMD registers.
pub fn enable_simd() {
    // SAFETY: CPACR_EL1.FPEN; the compiler does not use these registers.
    unsafe { asm!("msr cpacr_el1, {}", "isb", in(reg) 3_u64 << 20, options(nostack)) }
}
