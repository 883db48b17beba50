//! Sequences from a load exclusive to its store exclusive (Arm DDI 0487, C4.1.94.1 "Load/store exclusive"). An exception return clears the exclusive
//! monitor, so one that is single-stepped stores nothing, and a loop around it never ends: it runs to a breakpoint behind it.

use alloc::vec::Vec;

/// The most instructions of a sequence.
const LONGEST: usize = 16;

/// Load exclusives, with pairs and with acquire; not CASP, which has a place among them.
const fn is_load(instruction: u32) -> bool {
    instruction & 0x3fc0_0000 == 0x0840_0000 && !is_casp(instruction)
}

/// Store exclusives.
const fn is_store(instruction: u32) -> bool {
    instruction & 0x3fc0_0000 == 0x0800_0000 && !is_casp(instruction)
}

const fn is_casp(instruction: u32) -> bool {
    instruction & 0x8020_0000 == 0x0020_0000
}

const fn is_clrex(instruction: u32) -> bool {
    instruction & 0xffff_f0ff == 0xd503_305f
}

/// Where a branch goes to that has its destination in the instruction: B, B.cond, CBZ, CBNZ, TBZ, TBNZ.
fn destination(instruction: u32, pc: u64) -> Option<u64> {
    let signed = |low: u32, bits: u32| {
        let field = i64::from(instruction >> low) << (64 - bits) >> (64 - bits);
        pc.wrapping_add_signed(field * 4)
    };
    if instruction & 0xfc00_0000 == 0x1400_0000 {
        Some(signed(0, 26))
    } else if instruction & 0xff00_0010 == 0x5400_0000 || instruction & 0x7e00_0000 == 0x3400_0000 {
        Some(signed(5, 19))
    } else if instruction & 0x7e00_0000 == 0x3600_0000 {
        Some(signed(5, 14))
    } else {
        None
    }
}

/// Whether control goes where the instruction does not say: BL and branches to registers, exceptions and their returns.
const fn leaves(instruction: u32) -> bool {
    instruction & 0xfc00_0000 == 0x9400_0000
        || instruction & 0xfe00_0000 == 0xd600_0000
        || instruction & 0xff00_0000 == 0xd400_0000
}

/// If this is a store exclusive: the register that says whether it stored, 0, or not, 1.
pub fn status(instruction: u32) -> Option<usize> {
    is_store(instruction).then_some((instruction >> 16) as usize & 31)
}

/// If there is such a sequence at `pc`: all places where it ends, the one behind the store exclusive first.
pub fn ends(pc: u64, mut fetch: impl FnMut(u64) -> Option<u32>) -> Option<Vec<u64>> {
    if !is_load(fetch(pc)?) {
        return None;
    }
    let mut branches = Vec::new();
    for n in 1..LONGEST {
        let at = pc.wrapping_add(4 * n as u64);
        let instruction = fetch(at)?;
        if is_store(instruction) || is_clrex(instruction) {
            let behind = at.wrapping_add(4);
            branches.retain(|to| !(pc..=at).contains(to) && *to != behind);
            branches.insert(0, behind);
            return Some(branches);
        }
        if leaves(instruction) {
            return None;
        }
        branches.extend(destination(instruction, at));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const LDXR: u32 = 0xc85f_7c20;
    const STXR: u32 = 0xc802_7c23;
    const ADD: u32 = 0x9100_0403;
    const NOP: u32 = 0xd503_201f;

    fn found(code: &[u32]) -> Option<Vec<u64>> {
        ends(0x1000, |at| code.get((at as usize - 0x1000) / 4).copied())
    }

    #[test]
    fn an_atomic_addition() {
        // cbnz w2, the start: behind the store, so none of the sequence's business.
        assert_eq!(
            found(&[LDXR, ADD, STXR, 0x35ff_ffa2]),
            Some(alloc::vec![0x100c])
        );
    }

    #[test]
    fn a_comparison_leaves_it_early() {
        // b.ne +12, out of it; and one that stays within.
        let code = [LDXR, 0x5400_0061, 0x5400_0020, STXR];
        assert_eq!(found(&code), Some(alloc::vec![0x1010]));
        let code = [LDXR, 0x5400_0081, STXR, NOP];
        assert_eq!(found(&code), Some(alloc::vec![0x100c, 0x1014]));
    }

    #[test]
    fn what_is_none() {
        assert_eq!(found(&[NOP, STXR]), None);
        assert_eq!(found(&[LDXR; 20]), None, "no end within sixteen");
        assert_eq!(found(&[LDXR, 0xd65f_03c0, STXR]), None, "ret");
        // CASPA has a load exclusive's place.
        assert_eq!(found(&[0x4860_7c82, STXR]), None);
        // LDAR is no exclusive.
        assert_eq!(found(&[0xc8df_fc20, STXR]), None);
    }

    #[test]
    fn the_status() {
        assert_eq!(status(STXR), Some(2));
        assert_eq!(status(LDXR), None);
        // STLR has no status.
        assert_eq!(status(0xc89f_fc20), None);
    }

    #[test]
    fn all_forms() {
        // ldaxrb, ldxrh, ldaxr w, ldxp x, ldaxp w.
        for load in [
            0x085f_fc20,
            0x485f_7c20,
            0x885f_fc20,
            0xc87f_0820,
            0x887f_8820,
        ] {
            assert_eq!(found(&[load, STXR]), Some(alloc::vec![0x1008]), "{load:x}");
        }
        // stlxrb, stxp.
        for store in [0x0802_fc23, 0xc822_1023] {
            assert_eq!(found(&[LDXR, store]), Some(alloc::vec![0x1008]));
        }
    }
}
