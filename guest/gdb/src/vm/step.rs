//! One instruction, or what is as good as one: a sequence from a load exclusive to its store.

use alloc::vec::Vec;

use super::Vm;
use super::plan::{Sequence, Stepped};
use crate::exclusive;
use crate::machine::{self, Machine, Refused, Stop};

/// The most instructions from a store exclusive that failed to the next try.
const RETRY: u32 = 16;
/// How often a store exclusive may fail within one step. The first store to a page after a snapshot does: EL2 gives the VM the page in between.
const TRIES: u32 = 8;

impl<M: Machine> Vm<M> {
    /// One instruction of a vCPU, while the others stand. Of a sequence from a load exclusive to its store, all of it, while they run, until the store is
    /// done. A store exclusive by itself has lost its monitor when the vCPU was stopped before it, by a watchpoint perhaps: with it goes the next try.
    pub fn step(
        &mut self,
        vcpu: usize,
        sequence: &mut Option<Sequence>,
    ) -> Result<Stepped, Refused> {
        self.history.leave();
        match sequence.take() {
            None => self.step_anew(vcpu, sequence),
            Some(Sequence::Ends { load, ends, tries }) => {
                self.run_to(vcpu, load, ends, tries, sequence)
            }
            Some(Sequence::Retry {
                behind,
                left,
                tries,
            }) => {
                let pc = self.machine.registers(None, vcpu)?.pc;
                let ends = exclusive::ends(pc, |at| self.instruction(vcpu, at));
                if let Some(ends) = ends.filter(|ends| ends[0] == behind) {
                    return self.run_to(vcpu, pc, ends, tries, sequence);
                }
                let stepped = self.step_one(vcpu)?;
                if matches!(stepped, Stepped::Other(_)) || left == 0 {
                    return Ok(stepped);
                }
                *sequence = Some(Sequence::Retry {
                    behind,
                    left: left - 1,
                    tries,
                });
                Ok(Stepped::NotYet)
            }
        }
    }

    fn step_anew(
        &mut self,
        vcpu: usize,
        sequence: &mut Option<Sequence>,
    ) -> Result<Stepped, Refused> {
        let pc = self.machine.registers(None, vcpu)?.pc;
        if let Some(ends) = exclusive::ends(pc, |at| self.instruction(vcpu, at)) {
            return self.run_to(vcpu, pc, ends, TRIES, sequence);
        }
        match self.step_one(vcpu)? {
            Stepped::Done => self.after_store(vcpu, pc.wrapping_add(4), TRIES, sequence),
            other => Ok(other),
        }
    }

    /// The vCPU may have executed the store exclusive before `behind`: if that failed, it tries again.
    fn after_store(
        &mut self,
        vcpu: usize,
        behind: u64,
        tries: u32,
        sequence: &mut Option<Sequence>,
    ) -> Result<Stepped, Refused> {
        let now = self.machine.registers(None, vcpu)?;
        let store = self.instruction(vcpu, behind.wrapping_sub(4));
        let status = store.and_then(exclusive::status);
        let status = status.and_then(|register| now.x.get(register));
        let failed = now.pc == behind && status.is_some_and(|status| status & 1 != 0);
        if !failed || tries == 0 {
            return Ok(Stepped::Done);
        }
        *sequence = Some(Sequence::Retry {
            behind,
            left: RETRY,
            tries: tries - 1,
        });
        Ok(Stepped::NotYet)
    }

    /// One instruction.
    fn step_one(&mut self, vcpu: usize) -> Result<Stepped, Refused> {
        match self.machine.run(Some(vcpu))? {
            Stop::Debug { vcpu: hit, esr, .. } if machine::class(esr) == machine::STEP => {
                Ok(match hit == vcpu {
                    true => Stepped::Done,
                    false => Stepped::NotYet,
                })
            }
            stop => Ok(self.told(stop)?.map_or(Stepped::NotYet, Stepped::Other)),
        }
    }

    /// All run, until this vCPU, which is in the sequence from `load` on, is at one of these places. The sequence is one step: breakpoints in it, of
    /// either kind, are not there meanwhile. One on the load itself would stop each new try of a store that a watchpoint stopped, and that would never be done.
    fn run_to(
        &mut self,
        vcpu: usize,
        load: u64,
        ends: Vec<u64>,
        tries: u32,
        sequence: &mut Option<Sequence>,
    ) -> Result<Stepped, Refused> {
        self.plant(&ends, &(load..ends[0]))?;
        let stop = self.machine.run(None)?;
        let at_end = match stop {
            Stop::Debug { vcpu: hit, esr, .. } if machine::class(esr) == machine::BRK => {
                let pc = self.machine.registers(None, hit)?.pc;
                ends.contains(&pc).then_some(hit)
            }
            _ => None,
        };
        match at_end {
            Some(hit) if hit == vcpu => {
                self.unplant(false);
                return self.after_store(vcpu, ends[0], tries, sequence);
            }
            Some(hit) => {
                // Another one came by: over it, with nothing in the way. It is there again when all run.
                self.unplant(false);
                self.machine.run(Some(hit))?;
            }
            None => {
                if let Some(told) = self.told(stop)? {
                    return Ok(Stepped::Other(told));
                }
            }
        }
        *sequence = Some(Sequence::Ends { load, ends, tries });
        Ok(Stepped::NotYet)
    }
}
