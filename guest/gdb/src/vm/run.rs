//! How a VM runs for the client: until something happens, by single instructions, or from a snapshot to another one.

use super::Vm;
use super::breakpoints::BRK;
use super::plan::{Plan, Stepped, Told, Why};
use crate::exception;
use crate::history::Way;
use crate::machine::{self, Machine, Refused, Stop};

impl<M: Machine> Vm<M> {
    /// Goes on with what it does: until it is interrupted (`None`: call this again), or something happens that the client is told.
    pub fn advance(&mut self) -> Option<Told> {
        let plan = core::mem::replace(&mut self.plan, Plan::Stand);
        self.look = None;
        let done = match plan {
            Plan::Stand => return None,
            Plan::Run { begun } => self.run(begun),
            Plan::Step { .. } => self.step_on(plan),
            Plan::Back => self.back().map(Some),
            Plan::BackStep(vcpu) => self.back_step(vcpu),
            Plan::Replay(replay) => self.replay(replay),
        };
        done.unwrap_or_else(|why| {
            let text = alloc::format!("{}: {why}\n", self.name);
            self.has_stopped(Way::Run);
            Some(Told::with(Why::Trap, text))
        })
    }

    /// The client wants it to stop.
    pub fn interrupt(&mut self) -> Told {
        // One that is off stands anyway.
        let _ = self.machine.stop();
        let told = match core::mem::replace(&mut self.plan, Plan::Stand) {
            Plan::Replay(replay) => self.give_up(*replay, "it was interrupted"),
            Plan::Step { vcpu, .. } => {
                self.current = vcpu;
                Told::plain(Why::Interrupt)
            }
            _ => Told::plain(Why::Interrupt),
        };
        self.has_stopped(Way::Run);
        told
    }

    /// It stands now, and stays so until the client wants something else.
    pub fn has_stopped(&mut self, way: Way) {
        self.stand();
        self.history.stop(&mut self.machine, way);
    }

    fn run(&mut self, begun: bool) -> Result<Option<Told>, Refused> {
        if !begun {
            self.history.leave();
            self.plant(&[], &(0..0))?;
        }
        let stop = self.machine.run(None)?;
        let told = self.told(stop)?;
        match told {
            None => self.plan = Plan::Run { begun: true },
            Some(_) => self.has_stopped(Way::Run),
        }
        Ok(told)
    }

    fn step_on(&mut self, plan: Plan) -> Result<Option<Told>, Refused> {
        let Plan::Step {
            vcpu,
            from,
            to,
            mut taken,
            mut sequence,
        } = plan
        else {
            return Ok(None);
        };
        self.current = vcpu;
        if self.machine.registers(None, vcpu)?.state == 0 {
            let text = alloc::format!("CPU {vcpu} is off\n");
            return Ok(Some(Told::with(Why::Trap, text)));
        }
        let told = match self.step(vcpu, &mut sequence)? {
            Stepped::NotYet => None,
            Stepped::Other(told) => {
                self.has_stopped(Way::Run);
                return Ok(Some(told));
            }
            Stepped::Done => {
                taken += 1;
                let pc = self.machine.registers(None, vcpu)?.pc;
                if self.breakpoints.has(pc) {
                    Some(Told::plain(Why::Breakpoint))
                } else if (from..to).contains(&pc) {
                    None
                } else {
                    Some(Told::plain(Why::Trap))
                }
            }
        };
        match told {
            None => {
                self.plan = Plan::Step {
                    vcpu,
                    from,
                    to,
                    taken,
                    sequence,
                }
            }
            Some(_) => self.has_stopped(match taken {
                1 => Way::Step(vcpu),
                _ => Way::Run,
            }),
        }
        Ok(told)
    }

    /// What the client is told of a stop; `None`: nothing, it goes on.
    pub fn told(&mut self, stop: Stop) -> Result<Option<Told>, Refused> {
        Ok(Some(match stop {
            Stop::Interrupted => return Ok(None),
            Stop::Event([code, a, b]) => Told::with(
                Why::Event,
                alloc::format!("{}: EVENT({code:#x}, {a:#x}, {b:#x})\n", self.name),
            ),
            Stop::Reset => {
                self.current = 0;
                // Its memory is that of its image, or of a snapshot.
                self.unplant(true);
                Told::with(Why::Trap, alloc::format!("{} was reset\n", self.name))
            }
            Stop::Off => Told::with(
                Why::Trap,
                alloc::format!(
                    "{} is off; reverse-continue goes back to the stop before\n",
                    self.name
                ),
            ),
            Stop::Other(why) => Told::with(
                Why::Trap,
                alloc::format!("{} stopped, reason {why}\n", self.name),
            ),
            Stop::Debug { vcpu, esr, far } => return self.told_of_exception(vcpu, esr, far),
        }))
    }

    fn told_of_exception(
        &mut self,
        vcpu: usize,
        esr: u64,
        far: u64,
    ) -> Result<Option<Told>, Refused> {
        let why = match machine::class(esr) {
            machine::BRK => {
                let pc = self.machine.registers(None, vcpu)?.pc;
                if !self.is_own_brk(vcpu, pc) {
                    return self.hand_over(vcpu, pc, esr);
                }
                if !self.breakpoints.has_at(self.translate(None, vcpu, pc)?.0) {
                    // One that the client has taken back, in memory that a restore of the guest's own brought.
                    self.unplant(true);
                    self.plant(&[], &(0..0))?;
                    return Ok(None);
                }
                Why::Breakpoint
            }
            machine::BREAKPOINT => Why::HardwareBreakpoint,
            machine::WATCHPOINT => match self.comparators.watched(far) {
                Some((kind, at, _)) => Why::Watchpoint(kind, at),
                None => Why::Trap,
            },
            _ => Why::Trap,
        };
        self.current = vcpu;
        Ok(Some(Told::plain(why)))
    }

    /// A BRK of the guest's own, with the debugger's immediate: the guest has its exception.
    fn hand_over(&mut self, vcpu: usize, pc: u64, esr: u64) -> Result<Option<Told>, Refused> {
        let instruction = self.translate(None, vcpu, pc).ok();
        let instruction = instruction.and_then(|(at, _)| self.word(at));
        if instruction == Some(BRK) {
            let mut registers = self.machine.registers(None, vcpu)?;
            exception::enter(&mut registers, esr);
            self.machine.set_registers(vcpu, &registers)?;
        }
        // If there is none any more, it was taken back before the stop was told: the instruction is executed.
        Ok(None)
    }
}
