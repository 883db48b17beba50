//! One instruction, or what is as good as one: a sequence from a load exclusive to its store.

use alloc::vec::Vec;

use super::Vm;
use super::plan::{Sequence, Stepped};
use crate::exclusive;
use crate::machine::{self, Machine, Refused, Stop};

/// The most instructions from a store exclusive that failed to the next try.
const RETRY: u32 = 16;

impl<M: Machine> Vm<M> {
    /// One instruction of a vCPU, while the others stand. Of a sequence from a load exclusive to its store, all of it, while they run. A store
    /// exclusive by itself has lost its monitor when the vCPU was stopped before it, by a watchpoint perhaps: with it goes the next try.
    pub fn step(
        &mut self,
        vcpu: usize,
        sequence: &mut Option<Sequence>,
    ) -> Result<Stepped, Refused> {
        self.history.leave();
        match sequence.take() {
            None => self.step_anew(vcpu, sequence),
            Some(Sequence::Ends(ends)) => self.run_to(vcpu, ends, sequence),
            Some(Sequence::Retry { behind, left }) => {
                let pc = self.machine.registers(None, vcpu)?.pc;
                let ends = exclusive::ends(pc, |at| self.instruction(vcpu, at));
                if let Some(ends) = ends.filter(|ends| ends[0] == behind) {
                    return self.run_to(vcpu, ends, sequence);
                }
                let stepped = self.step_one(vcpu)?;
                if matches!(stepped, Stepped::Other(_)) || left == 0 {
                    return Ok(stepped);
                }
                *sequence = Some(Sequence::Retry {
                    behind,
                    left: left - 1,
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
            return self.run_to(vcpu, ends, sequence);
        }
        let instruction = self.instruction(vcpu, pc);
        let status = instruction.and_then(exclusive::status);
        let stepped = self.step_one(vcpu)?;
        let (Stepped::Done, Some(status)) = (&stepped, status) else {
            return Ok(stepped);
        };
        let behind = pc.wrapping_add(4);
        let now = self.machine.registers(None, vcpu)?;
        let failed = now.pc == behind && now.x.get(status).is_some_and(|&x| x & 1 != 0);
        if failed {
            *sequence = Some(Sequence::Retry {
                behind,
                left: RETRY,
            });
            return Ok(Stepped::NotYet);
        }
        Ok(stepped)
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

    /// All run, until this vCPU is at one of these places.
    fn run_to(
        &mut self,
        vcpu: usize,
        ends: Vec<u64>,
        sequence: &mut Option<Sequence>,
    ) -> Result<Stepped, Refused> {
        self.plant(&ends)?;
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
                return Ok(Stepped::Done);
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
        *sequence = Some(Sequence::Ends(ends));
        Ok(Stepped::NotYet)
    }
}
