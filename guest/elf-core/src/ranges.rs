//! Ranges of virtual addresses, and where in RAM they are.

use alloc::vec::Vec;

use crate::machine::{Machine, Stage1};
use crate::tables::{Half, Range, Walk};

/// The most ranges of a core. What a guest maps beyond is left out: first of the lower half, which is walked last.
pub const RANGES_MAX: usize = 6000;

/// All that a machine maps, without overlaps.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Mapped {
    /// By their virtual addresses, in their order.
    pub ranges: Vec<Range>,
    /// Whether something is left out, as there was too much of it.
    pub is_cut: bool,
}

impl Mapped {
    /// What the guest's tables map. The upper half is that of all vCPUs that are on; where two have different things, that of the first. The lower half
    /// is that of the first vCPU that is on: another one may have another program there.
    pub fn of<M: Machine>(machine: &mut M) -> Result<Self, M::Error> {
        let mut on: Vec<Stage1> = Vec::new();
        for n in 0..machine.vcpus() {
            let vcpu = machine.vcpu(n)?;
            if vcpu.is_on {
                on.push(vcpu.stage1);
            }
        }
        let mut mapped = Self::default();
        let mut walk = Walk::default();
        let mut walked: Vec<(u64, u64)> = Vec::new();
        for stage1 in on.iter().filter(|stage1| stage1.is_on()) {
            let key = (stage1.ttbr[1], stage1.tcr);
            if walked.contains(&key) {
                continue;
            }
            walked.push(key);
            let upper = walk.ranges(machine, stage1, Half::Upper, RANGES_MAX)?;
            mapped.ranges = overlaid(&mapped.ranges, &upper);
        }
        if let Some(stage1) = on.first() {
            let lower = walk.ranges(machine, stage1, Half::Lower, RANGES_MAX)?;
            // The lower half comes first in the order, and shares no address with the other one.
            mapped.ranges = overlaid(&lower, &mapped.ranges);
        }
        let more = mapped.ranges.len().saturating_sub(RANGES_MAX);
        mapped.ranges.drain(..more);
        mapped.is_cut = more > 0 || walk.is_cut();
        Ok(mapped)
    }
}

/// Both, with the second only where the first has nothing. Each is in order and has no overlaps.
pub fn overlaid(first: &[Range], second: &[Range]) -> Vec<Range> {
    let mut all = Vec::with_capacity(first.len() + second.len());
    let mut firsts = first.iter().copied().peekable();
    for range in second {
        let mut rest = Some(*range);
        while let Some(left) = rest {
            match firsts.peek().copied() {
                Some(over) if over.last() < left.va => {
                    all.push(over);
                    firsts.next();
                }
                Some(over) if over.va <= left.last() => {
                    if over.va > left.va {
                        let bytes = over.va - left.va;
                        all.push(Range { bytes, ..left });
                    }
                    rest = (over.last() < left.last()).then(|| left.from(over.last() + 1));
                }
                _ => {
                    all.push(left);
                    rest = None;
                }
            }
        }
    }
    all.extend(firsts);
    all
}
