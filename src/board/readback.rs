//! Registers that were written and are read back: where a write has no effect, the hardware says nothing by itself.

use core::fmt;

/// A register of the interrupt controller that does not hold what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ignored {
    /// Its name in IHI 0048B.
    pub register: &'static str,
    /// What was written, of the bits that count.
    pub wrote: u32,
    /// What these bits read as.
    pub reads: u32,
}

/// Compares what `register` `reads` as with what was written, in the bits of `mask`.
pub fn check(register: &'static str, mask: u32, wrote: u32, reads: u32) -> Result<(), Ignored> {
    let (wrote, reads) = (wrote & mask, reads & mask);
    if wrote == reads {
        return Ok(());
    }
    Err(Ignored {
        register,
        wrote,
        reads,
    })
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            register,
            wrote,
            reads,
        } = self;
        write!(
            f,
            "the GIC ignores writes of EL2 ({register} reads {reads:#x}, {wrote:#x} was written): the firmware must put all interrupts into \
             Group 1, on all cores (Raspberry Pi: enable_gic=1 in config.txt)"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn only_the_bits_that_count_are_compared() {
        assert_eq!(check("R", 0xf0, 0xa5, 0xaf), Ok(()));
        assert_eq!(check("R", 0, 1, 2), Ok(()));
        // In Group 0 a Non-secure read finds zero.
        let ignored = check("GICD_ISENABLER0", 0x0e00_0001, 0x0e00_0001, 0).unwrap_err();
        assert_eq!((ignored.wrote, ignored.reads), (0x0e00_0001, 0));
        assert!(check("R", 0x0e00_0001, 0x0e00_0001, 0x0e00_0000).is_err());
        let line = ignored.to_string();
        for part in ["GICD_ISENABLER0 reads 0x0, 0xe000001", "enable_gic=1"] {
            assert!(line.contains(part), "{line}");
        }
        assert!(!line.contains('\n'));
    }
}
