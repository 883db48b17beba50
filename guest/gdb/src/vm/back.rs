//! Backwards: to the stop before, which is a snapshot and exact; and to the instruction before, which is exact where a snapshot has it, and is run
//! again otherwise, from the snapshot before to this one. Whether the run was the same shows at its end, where all is compared.

use alloc::boxed::Box;

use super::plan::{Plan, Replay, Stepped, Told, Why};
use super::{RAM, Vm};
use crate::history::Way;
use crate::machine::{Id, Machine, Refused, Registers, system};

/// The most instructions that are run again.
pub const MOST: u64 = 50_000;
/// Bytes of a page.
const PAGE: usize = 4096;
/// CNTV_CTL_EL0.ISTATUS, which time sets.
const ISTATUS: u64 = 1 << 2;

/// What of the registers must be the same.
fn same(mut one: Registers, mut other: Registers) -> bool {
    for registers in [&mut one, &mut other] {
        registers.system[system::CNTV_CTL_EL0] &= !ISTATUS;
        // On, or waiting: a step ends a wait.
        registers.state = registers.state.min(1);
    }
    one == other
}

impl<M: Machine> Vm<M> {
    /// Where it stands as a snapshot, and whether that was taken for this question.
    fn stand_as_snapshot(&mut self) -> Result<(Id, bool), Refused> {
        match self.history.here() {
            Some(id) => Ok((id, false)),
            None => Ok((self.history.checkpoint(&mut self.machine, Way::Run)?, true)),
        }
    }

    /// To the stop before.
    pub fn back(&mut self) -> Result<Told, Refused> {
        let Some((here, before)) = self.stop_before()? else {
            return Ok(Told::plain(Why::Begin));
        };
        self.restore(before)?;
        if let Some(taken) = here {
            let _ = self.machine.delete(taken);
        }
        self.current = self.on_or_first(self.current);
        Ok(Told::plain(Why::Trap))
    }

    /// The stop before, and the snapshot that was taken to learn that.
    fn stop_before(&mut self) -> Result<Option<(Option<Id>, Id)>, Refused> {
        let (here, is_new) = match self.stand_as_snapshot() {
            Ok(found) => found,
            // It is off: no snapshot has that. The newest one that it comes from is where it was last.
            Err(Refused::Denied) => return Ok(self.newest().map(|id| (None, id))),
            Err(why) => return Err(why),
        };
        let before = self.history.before(&self.machine, here);
        if before.is_none() && is_new {
            self.history.leave();
            let _ = self.machine.delete(here);
        }
        Ok(before.map(|before| (is_new.then_some(here), before)))
    }

    /// The newest snapshot of those that the VM comes from.
    fn newest(&mut self) -> Option<Id> {
        let line = self.history.line(&self.machine, None);
        let is_there = |id: &Id| self.machine.next(*id) == Ok(*id);
        line.into_iter().find(is_there)
    }

    fn on_or_first(&self, vcpu: usize) -> usize {
        let registers = self.machine.registers(None, vcpu);
        match registers.is_ok_and(|registers| registers.state != 0) {
            true => vcpu,
            false => self.first_on(),
        }
    }

    /// To the instruction before: at once (what is told), or by a run that begins.
    pub fn back_step(&mut self, vcpu: usize) -> Result<Option<Told>, Refused> {
        let Some((new, before)) = self.stop_before()? else {
            return Ok(Some(Told::plain(Why::Begin)));
        };
        let to = self.history.here();
        self.current = vcpu;
        self.restore(before)?;
        if let Some(new) = new {
            // Stops are not kept. This one is needed for a while, and the one where it stands is not deleted.
            self.history.keep(&mut self.machine, new);
        }
        // One that is off stands nowhere: the snapshot is what comes before.
        let Some(to) = to.filter(|&to| self.history.way(to) != Way::Step(vcpu)) else {
            return Ok(Some(Told::plain(Why::Trap)));
        };
        let replay = Replay {
            vcpu,
            from: before,
            to,
            taken: 0,
            wanted: self.machine.registers(Some(to), vcpu)?,
            before: self.machine.registers(None, vcpu)?,
            found: None,
            sequence: None,
        };
        if replay.before.state == 0 {
            return Ok(Some(
                self.give_up(replay, "this CPU was off at the stop before"),
            ));
        }
        self.plan = Plan::Replay(Box::new(replay));
        Ok(None)
    }

    /// Goes on with a run that is run again.
    pub fn replay(&mut self, mut replay: Box<Replay>) -> Result<Option<Told>, Refused> {
        let vcpu = replay.vcpu;
        match self.step(vcpu, &mut replay.sequence)? {
            Stepped::Other(_) => {
                return Ok(Some(self.give_up(*replay, "it took another way this time")));
            }
            Stepped::NotYet => {}
            Stepped::Done => {
                replay.taken += 1;
                let now = self.machine.registers(None, vcpu)?;
                if let Some(told) = self.look_at(&mut replay, now)? {
                    return Ok(Some(told));
                }
            }
        }
        self.plan = Plan::Replay(replay);
        Ok(None)
    }

    fn look_at(&mut self, replay: &mut Replay, now: Registers) -> Result<Option<Told>, Refused> {
        let give_up = |vm: &mut Self, replay: &Replay, why| {
            let told = vm.give_up(replay.clone(), why);
            Ok(Some(told))
        };
        if let Some(found) = replay.found {
            if replay.taken < found {
                return Ok(None);
            }
            return match same(now, replay.before.clone()) {
                true => Ok(Some(self.arrive_before(replay.vcpu))),
                false => give_up(self, replay, "it took another way this time"),
            };
        }
        if same(now.clone(), replay.wanted.clone()) && self.is_at(replay.to)? {
            // All is as it was there: what was before the last instruction is what was before it then.
            self.restore(replay.from)?;
            if replay.taken == 1 {
                self.current = replay.vcpu;
                return Ok(Some(Told::plain(Why::Trap)));
            }
            replay.found = Some(replay.taken - 1);
            replay.taken = 0;
            return Ok(None);
        }
        if replay.taken >= MOST {
            let why = "it did not come there again within 50000 instructions";
            return give_up(self, replay, why);
        }
        replay.before = now;
        Ok(None)
    }

    fn arrive_before(&mut self, vcpu: usize) -> Told {
        self.current = vcpu;
        self.has_stopped(Way::Run);
        Told::plain(Why::Trap)
    }

    /// The stop at which it began is where it stays.
    pub fn give_up(&mut self, replay: Replay, why: &str) -> Told {
        self.stand();
        let back = self.restore(replay.to);
        self.current = replay.vcpu;
        let (from, to) = (replay.from, replay.to);
        let stays = match back {
            Ok(()) => alloc::format!("this is #{to} as before; reverse-continue goes to #{from}"),
            Err(why) => alloc::format!("and the way back to #{to} failed: {why}"),
        };
        let text = alloc::format!("ran again from #{from} towards #{to}: {why}; {stays}\n");
        Told::with(Why::Trap, text)
    }

    /// Whether all that the guest can see is as in a snapshot: registers, and memory by what is in it.
    fn is_at(&self, id: Id) -> Result<bool, Refused> {
        for vcpu in 0..self.machine.vcpus() {
            let there = self.machine.registers(Some(id), vcpu)?;
            if !same(self.machine.registers(None, vcpu)?, there) {
                return Ok(false);
            }
        }
        let (mut there, mut now) = (alloc::vec![0; PAGE], alloc::vec![0; PAGE]);
        let pages = self.machine.pages();
        let mut page = self.machine.differs(Some(id), None, 0)?;
        while page < pages {
            // Another frame need not have something else in it.
            let at = RAM + page * PAGE as u64;
            self.read_physical(Some(id), at, &mut there)?;
            self.read_physical(None, at, &mut now)?;
            if there != now {
                return Ok(false);
            }
            page = self.machine.differs(Some(id), None, page + 1)?;
        }
        Ok(true)
    }
}
