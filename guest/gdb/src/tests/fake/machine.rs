//! The fake as the debugger sees it.

use super::*;

impl Machine for Fake {
    fn vcpus(&self) -> usize {
        self.0.borrow().cpus.len()
    }

    fn pages(&self) -> u64 {
        (SIZE / 4096) as u64
    }

    fn state(&self) -> State {
        let inner = self.0.borrow();
        match (inner.is_off, inner.is_running) {
            (true, _) => State::Off,
            (_, true) => State::Running,
            _ => State::Stopped,
        }
    }

    fn run(&mut self, step: Option<usize>) -> Result<Stop, Refused> {
        let inner = &mut *self.0.borrow_mut();
        if let Some(news) = inner.news.pop_front() {
            return Ok(news);
        }
        if inner.is_off {
            return Ok(Stop::Off);
        }
        let Some(vcpu) = step else {
            inner.is_running = true;
            return Ok(inner.some());
        };
        if inner.cpus[vcpu].state == 0 {
            return Err(Refused::Invalid);
        }
        // The exception's return clears the monitor.
        inner.monitors[vcpu] = None;
        let stop = inner.execute(vcpu, true);
        inner.monitors[vcpu] = None;
        Ok(stop.expect("a step always stops"))
    }

    fn start(&mut self) -> Result<Stop, Refused> {
        let inner = &mut *self.0.borrow_mut();
        if let Some(news) = inner.news.pop_front() {
            return Ok(news);
        }
        inner.is_running = true;
        Ok(Stop::Interrupted)
    }

    fn stop(&mut self) -> Result<(), Refused> {
        let inner = &mut *self.0.borrow_mut();
        if inner.is_running {
            // It ran until now.
            if let stop @ (Stop::Event(_) | Stop::Reset | Stop::Off | Stop::Debug { .. }) =
                inner.some()
            {
                inner.news.push_back(stop);
            }
        }
        inner.is_running = false;
        Ok(())
    }

    fn catch(&mut self, brk: Option<u16>) -> Result<(usize, usize), Refused> {
        self.0.borrow_mut().brk = brk;
        Ok((2, 2))
    }

    fn comparator(&mut self, n: usize, what: Option<(Kind, u64, u64)>) -> Result<(), Refused> {
        let comparators = &mut self.0.borrow_mut().comparators;
        match what {
            Some(what) => _ = comparators.insert(n, what),
            None => _ = comparators.remove(&n),
        }
        Ok(())
    }

    fn translate(&self, _: Option<Id>, _: usize, va: u64) -> Result<(u64, u64), Refused> {
        let at = place(va).ok_or(Refused::NotFound)? as u64;
        Ok((RAM + at, 4096 - at % 4096))
    }

    fn read(&self, id: Option<Id>, address: u64, to: &mut [u8]) -> Result<(), Refused> {
        let inner = self.0.borrow();
        let range = at(address, to.len())?;
        let memory = match id {
            Some(id) => &inner.snapshots.get(&id).ok_or(Refused::NotFound)?.memory,
            None => &inner.memory,
        };
        to.copy_from_slice(&memory[range]);
        Ok(())
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Refused> {
        let range = at(address, from.len())?;
        self.0.borrow_mut().write(range.start, from);
        Ok(())
    }

    fn registers(&self, id: Option<Id>, vcpu: usize) -> Result<Registers, Refused> {
        let inner = self.0.borrow();
        let cpus = match id {
            Some(id) => &inner.snapshots.get(&id).ok_or(Refused::NotFound)?.cpus,
            None => &inner.cpus,
        };
        cpus.get(vcpu).cloned().ok_or(Refused::Invalid)
    }

    fn set_registers(&mut self, vcpu: usize, registers: &Registers) -> Result<(), Refused> {
        let inner = &mut *self.0.borrow_mut();
        let cpu = inner.cpus.get_mut(vcpu).ok_or(Refused::Invalid)?;
        if cpu.state == 0 {
            return Err(Refused::Denied);
        }
        *cpu = registers.clone();
        // Without an MMU, addresses are what they are.
        if registers.system[system::SCTLR_EL1] & 1 == 0 && registers.pc < KERNEL {
            cpu.pc = registers.pc - RAM + KERNEL;
        }
        Ok(())
    }

    fn differs(&self, one: Option<Id>, other: Option<Id>, from: u64) -> Result<u64, Refused> {
        let inner = self.0.borrow();
        inner.compared.set(inner.compared.get() + 1);
        let frames = |id: Option<Id>| match id {
            Some(id) => inner.snapshots.get(&id).map(|snapshot| &snapshot.frames),
            None => Some(&inner.frames),
        };
        let (one, other) = frames(one).zip(frames(other)).ok_or(Refused::NotFound)?;
        let mut pages = from..self.pages();
        Ok(pages
            .find(|&page| one[page as usize] != other[page as usize])
            .unwrap_or(self.pages()))
    }

    fn checkpoint(&mut self) -> Result<Id, Refused> {
        let inner = &mut *self.0.borrow_mut();
        if inner.is_off {
            return Err(Refused::Denied);
        }
        Ok(inner.checkpoint())
    }

    fn restore(&mut self, id: Id) -> Result<(), Refused> {
        let inner = &mut *self.0.borrow_mut();
        let snapshot = inner.snapshots.get(&id).ok_or(Refused::NotFound)?.clone();
        inner.memory = snapshot.memory;
        inner.frames = snapshot.frames;
        inner.clean.fill(true);
        inner.cpus = snapshot.cpus;
        inner.base = Some(id);
        inner.is_off = false;
        inner.news.clear();
        Ok(())
    }

    fn delete(&mut self, id: Id) -> Result<(), Refused> {
        let gone = self.0.borrow_mut().snapshots.remove(&id);
        gone.map(drop).ok_or(Refused::NotFound)
    }

    fn info(&self, id: Id) -> Result<Info, Refused> {
        let inner = self.0.borrow();
        inner.asked.set(inner.asked.get() + 1);
        let snapshot = inner.snapshots.get(&id).ok_or(Refused::NotFound)?;
        Ok(Info {
            parent: snapshot.parent,
            own_pages: 1,
            counter: 1_500_000 * (id + 1),
        })
    }

    fn next(&self, id: Id) -> Result<Id, Refused> {
        let inner = self.0.borrow();
        inner.asked.set(inner.asked.get() + 1);
        let next = inner.snapshots.range(id..).next();
        next.map(|(&id, _)| id).ok_or(Refused::NotFound)
    }

    fn line(&self, id: Option<Id>) -> Result<[Option<Id>; 4], Refused> {
        let inner = self.0.borrow();
        inner.asked.set(inner.asked.get() + 1);
        let first = match id {
            Some(id) => inner.snapshots.range(id..).next().map(|(&id, _)| id),
            None => inner.base,
        };
        let mut line = [Some(first.ok_or(Refused::NotFound)?), None, None, None];
        for place in 1..line.len() {
            let before = line[place - 1].and_then(|id| inner.snapshots.get(&id));
            line[place] = before.and_then(|snapshot| snapshot.parent);
        }
        Ok(line)
    }

    fn frequency(&self) -> u64 {
        1_000_000
    }
}
