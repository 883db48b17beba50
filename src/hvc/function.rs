//! The SMC Calling Convention: names, arguments, results (Arm DEN0028).

use super::error;
use crate::trap::access::GeneralRegisters;

/// An SMCCC function identifier, w0 of the caller. The upper half of x0 is not part of it (DEN0028, "Function
/// identifiers").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FunctionId(pub u32);

/// Who owns a range of fast calls (bits 29:24).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// 0: Arm architecture calls.
    Architecture,
    /// 4: standard secure services, PSCI among them.
    StandardSecure,
    /// 6: vendor-specific hypervisor services: ours.
    VendorHypervisor,
    /// The rest: no service here.
    Other,
}

impl FunctionId {
    const FAST: u32 = 1 << 31;
    /// Bits 23:16 must be zero in a fast call. Bit 16 is a hint that no SVE state is live, from SMCCC 1.3 on; Avisor
    /// says 1.2.
    const RESERVED: u32 = 0xff << 16;

    /// The name's last byte. To compare it takes one instruction, where the whole name takes three.
    #[inline]
    pub const fn last_byte(self) -> u8 {
        self.0 as u8
    }

    /// The owner of a well-formed fast call; `None` for yielding calls, which only a Trusted OS has.
    #[inline]
    pub const fn owner(self) -> Option<Owner> {
        if self.0 & Self::FAST == 0 || self.0 & Self::RESERVED != 0 {
            return None;
        }
        Some(match self.0 >> 24 & 0x3f {
            0 => Owner::Architecture,
            4 => Owner::StandardSecure,
            6 => Owner::VendorHypervisor,
            _ => Owner::Other,
        })
    }
}

/// What a call gives back in x0 and, where it has more to say, in x1-x3. The other registers keep what they hold:
/// SMCCC demands that of x4-x30 and permits it for the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Results {
    values: [u64; 4],
    /// 1 to 4: how many of them the call defines.
    count: usize,
}

impl Results {
    /// 0 in x0.
    pub const SUCCESS: Self = Self::of([0]);
    /// NOT_SUPPORTED in x0.
    pub const NOT_SUPPORTED: Self = Self::error(error::NOT_SUPPORTED);

    /// x0 up to x`N-1`; `N` is 1 to 4.
    #[inline]
    pub const fn of<const N: usize>(results: [u64; N]) -> Self {
        const { assert!(N >= 1 && N <= 4) };
        let mut values = [0; 4];
        let mut i = 0;
        while i < N {
            values[i] = results[i];
            i += 1;
        }
        Self { values, count: N }
    }

    /// An error code, negative, in x0: all 64 bits of it, which are right for a caller that looks at w0 too.
    #[inline]
    pub const fn error(code: i64) -> Self {
        Self::of([code as u64])
    }

    /// Gives the caller its results.
    #[inline]
    pub fn write_to(self, x: &mut GeneralRegisters) {
        for (index, value) in self.values.into_iter().enumerate() {
            if index < self.count {
                x[index] = value;
            }
        }
    }

    /// The results, x0 first.
    #[cfg(test)]
    pub fn as_slice(&self) -> &[u64] {
        &self.values[..self.count.min(self.values.len())]
    }
}
