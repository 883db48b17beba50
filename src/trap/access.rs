//! The register side of an emulated access, and stepping over the instruction that made it.

/// General registers x0-x30 of a vCPU.
pub type GeneralRegisters = [u64; 31];

/// Register `index` as an operand: 31 is XZR and reads as 0.
#[inline]
pub fn read_register(x: &GeneralRegisters, index: u8) -> u64 {
    x.get(usize::from(index)).copied().unwrap_or(0)
}

/// Writes register `index` as a destination: 31 is XZR and takes nothing.
#[inline]
pub fn write_register(x: &mut GeneralRegisters, index: u8, value: u64) {
    if let Some(register) = x.get_mut(usize::from(index)) {
        *register = value;
    }
}

/// A plain load or store of one general register, as the syndrome describes it (Arm ARM, ISS encoding for an
/// exception from a Data Abort: SAS, SSE, SRT, SF).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// Bytes: 1, 2, 4 or 8.
    pub size: u8,
    /// The register, 0-31; 31 is XZR.
    pub reg: u8,
    /// LDRSB, LDRSH or LDRSW.
    pub sign_extend: bool,
    /// The destination is an X register; otherwise a W register, whose upper half becomes 0.
    pub sixty_four: bool,
}

impl Access {
    /// Gives the destination register what the load brought. Bits of `raw` above `size` bytes are ignored.
    #[inline]
    pub fn complete_load(self, x: &mut GeneralRegisters, raw: u64) {
        write_register(x, self.reg, self.extended(raw));
    }

    /// What the store puts on the bus: the low `size` bytes of the register, the rest 0.
    #[inline]
    pub fn store_value(self, x: &GeneralRegisters) -> u64 {
        let unused = self.unused_bits();
        read_register(x, self.reg) << unused >> unused
    }

    #[inline]
    fn extended(self, raw: u64) -> u64 {
        let unused = self.unused_bits();
        let raised = raw << unused;
        if !self.sign_extend {
            return raised >> unused;
        }
        let value = (raised as i64 >> unused) as u64;
        match self.sixty_four {
            true => value,
            false => value & 0xffff_ffff,
        }
    }

    /// 64 less the bits of the access.
    #[inline]
    fn unused_bits(self) -> u32 {
        u64::BITS.wrapping_sub(8 * u32::from(self.size)) % u64::BITS
    }
}

/// PSTATE.SS: the software-step state machine is active, not pending.
const SS: u64 = 1 << 21;

/// Moves `pc` past an emulated instruction of `length` bytes (see `Esr::instruction_length`) and gives `pstate` what
/// executing it would have: BTYPE is cleared (no branch, FEAT_BTI), the software-step state machine advances to
/// active-pending (PSTATE.SS), and in AArch32 the IT block goes on (`AArch32.ITAdvance`).
#[inline]
pub fn step_over(pc: &mut u64, pstate: &mut u64, length: u64) {
    const BTYPE: u64 = 3 << 10;
    const AARCH32: u64 = 1 << 4;
    *pc = pc.wrapping_add(length);
    *pstate &= !SS;
    if *pstate & AARCH32 == 0 {
        *pstate &= !BTYPE;
    } else {
        *pstate = advance_it(*pstate);
    }
}

/// Takes back that an HVC was executed, so that it is executed again. Its return address is behind it, and the software-step state machine
/// had advanced (`SSAdvance`: PSTATE.SS is 0).
///
/// While a guest steps itself an instruction begins with PSTATE.SS = 1 only, or the step exception would have come instead of it. While it
/// does not, returning to it clears the bit (`DebugExceptionReturnSS`). So 1 is right for both. BTYPE is 0 at any HVC that was executed in a
/// guarded page, and means nothing elsewhere.
#[inline]
pub fn step_back(pc: &mut u64, pstate: &mut u64) {
    *pc = pc.wrapping_sub(4);
    *pstate |= SS;
}

/// ITSTATE is PSTATE bits 15:10 (IT\[7:2\]) and 26:25 (IT\[1:0\]). Its top three bits are the condition, the other five
/// shift left, and the block is over when the low three of them were 0.
fn advance_it(pstate: u64) -> u64 {
    const IT: u64 = 0x3f << 10 | 3 << 25;
    let it = (pstate >> 10 & 0x3f) << 2 | pstate >> 25 & 3;
    let it = if it & 7 == 0 {
        0
    } else {
        it & 0xe0 | it << 1 & 0x1f
    };
    pstate & !IT | (it >> 2) << 10 | (it & 3) << 25
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_extend_as_their_instruction_says() {
        for (size, sign_extend, sixty_four, raw, expected) in [
            (1, false, false, 0xffff_ff80, 0x80),
            (1, true, false, 0x80, 0xffff_ff80),
            (1, true, true, 0x80, 0xffff_ffff_ffff_ff80),
            (2, true, true, 0x7fff, 0x7fff),
            (2, true, false, 0x8000, 0xffff_8000),
            (4, false, false, 0xffff_ffff_8000_0000, 0x8000_0000),
            (4, true, true, 0x8000_0000, 0xffff_ffff_8000_0000),
            (8, false, true, u64::MAX, u64::MAX),
        ] {
            let mut x = [0xdead; 31];
            Access {
                size,
                reg: 7,
                sign_extend,
                sixty_four,
            }
            .complete_load(&mut x, raw);
            assert_eq!(x[7], expected, "{size} {sign_extend} {sixty_four} {raw:#x}");
            assert!(x[..7].iter().chain(&x[8..]).all(|&v| v == 0xdead));
        }
    }

    #[test]
    fn register_31_is_zero() {
        let mut x = [u64::MAX; 31];
        let access = Access {
            size: 4,
            reg: 31,
            sign_extend: false,
            sixty_four: false,
        };
        assert_eq!(access.store_value(&x), 0);
        access.complete_load(&mut x, 5);
        assert_eq!(x, [u64::MAX; 31]);
        assert_eq!(
            Access {
                size: 1,
                reg: 30,
                ..access
            }
            .store_value(&x),
            0xff
        );
        assert_eq!(
            Access {
                size: 8,
                reg: 0,
                ..access
            }
            .store_value(&x),
            u64::MAX
        );
    }

    #[test]
    fn stepping_over() {
        let (mut pc, mut pstate) = (0x1000, 0x8000_0005 | 1 << 21 | 3 << 10);
        step_over(&mut pc, &mut pstate, 4);
        assert_eq!((pc, pstate), (0x1004, 0x8000_0005));
    }

    #[test]
    fn stepping_back_takes_back_what_an_hvc_did() {
        const PSTATE: u64 = 0x8000_0005 | 1 << 21;
        let (mut pc, mut pstate) = (0x1000, PSTATE);
        // As HVC does: the return address, and SSAdvance.
        step_over(&mut pc, &mut pstate, 4);
        assert_eq!((pc, pstate), (0x1004, 0x8000_0005));
        step_back(&mut pc, &mut pstate);
        assert_eq!((pc, pstate), (0x1000, PSTATE));
        let mut pc = 0;
        step_back(&mut pc, &mut pstate);
        assert_eq!(pc, u64::MAX - 3);
    }

    #[test]
    fn an_it_block_goes_on_and_ends() {
        // T32 at EL0 in ITTT EQ: ITSTATE 0b000_00010 has one more shift than 0b000_00100 and so on.
        let with_it = |it: u64| 0x30 | (it >> 2) << 10 | (it & 3) << 25;
        let (mut pc, mut pstate) = (0x1000, with_it(0b0000_0010));
        for expected in [0b0000_0100, 0b0000_1000, 0, 0] {
            step_over(&mut pc, &mut pstate, 2);
            assert_eq!(pstate, with_it(expected), "{expected:#b}");
        }
        let (mut pc, mut pstate) = (0x1000, with_it(0b1011_1100));
        step_over(&mut pc, &mut pstate, 4);
        assert_eq!((pc, pstate), (0x1004, with_it(0b1011_1000)));
    }
}
