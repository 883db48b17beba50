//! The VMs: those that this one controls.

use core::sync::atomic::{Ordering, fence};

use avisor_gdb::machine::{Id, Info, Kind, Machine, Refused, Registers, State, Stop};
use avisor_guest::control::{self, HARDWARE, Target, Watch};
use avisor_guest::gic::{self, To};
use avisor_guest::{Error, timer};

/// The number of the first watchpoint, for the library.
const WATCHPOINTS: usize = 16;
/// The SGI by which this VM interrupts its own RUN.
const MYSELF: u32 = 1;

/// One of them.
pub struct Controlled {
    target: Target,
    vcpus: usize,
    pages: u64,
}

fn refused(error: Error) -> Refused {
    match error {
        Error::NotSupported => Refused::NotSupported,
        Error::InvalidParameter => Refused::Invalid,
        Error::NotFound => Refused::NotFound,
        Error::NoMemory => Refused::NoMemory,
        Error::Denied => Refused::Denied,
        Error::Other(_) => Refused::Other,
    }
}

fn id(id: Option<Id>) -> Option<avisor_guest::Id> {
    id.map(avisor_guest::Id)
}

impl Controlled {
    /// The one at this place in `controls`.
    pub fn find(place: u64) -> Option<Self> {
        let target = Target(place);
        let status = target.status().ok()?;
        Some(Self {
            target,
            vcpus: status.vcpus as usize,
            pages: status.pages,
        })
    }
}

impl Machine for Controlled {
    fn vcpus(&self) -> usize {
        self.vcpus
    }

    fn pages(&self) -> u64 {
        self.pages
    }

    fn state(&self) -> State {
        match self.target.status().map(|status| status.state) {
            Ok(control::State::Stopped) => State::Stopped,
            Ok(control::State::Running) => State::Running,
            _ => State::Off,
        }
    }

    fn run(&mut self, step: Option<usize>) -> Result<Stop, Refused> {
        // The two may be on two cores: what was written here before is seen there, and what was written there is seen here.
        fence(Ordering::SeqCst);
        let stop = match step {
            None => self.target.run(None),
            Some(vcpu) => self.target.step(vcpu as u64, None),
        };
        fence(Ordering::SeqCst);
        Ok(match stop.map_err(refused)? {
            control::Stop::Event { code, a, b } => Stop::Event([code, a, b]),
            control::Stop::Reset => Stop::Reset,
            control::Stop::Off => Stop::Off,
            control::Stop::Interrupted => Stop::Interrupted,
            control::Stop::Debug { cpu, esr, far } => Stop::Debug {
                vcpu: cpu as usize,
                esr,
                far,
            },
            // No time was given, and nobody else calls STOP.
            control::Stop::Limit => Stop::Other(3),
            control::Stop::Stopped => Stop::Other(4),
            control::Stop::Other(why) => Stop::Other(why),
        })
    }

    fn start(&mut self) -> Result<Stop, Refused> {
        // With an interrupt pending, RUN does not wait.
        gic::send(To::Myself, MYSELF);
        self.run(None)
    }

    fn stop(&mut self) -> Result<(), Refused> {
        self.target.stop().map_err(refused)
    }

    fn catch(&mut self, brk: Option<u16>) -> Result<(usize, usize), Refused> {
        let what = brk.map_or(0, |brk| HARDWARE | control::brk(brk));
        let has = self.target.catch(what).map_err(refused)?;
        Ok((has.breakpoints as usize, has.watchpoints as usize))
    }

    fn comparator(&mut self, n: usize, what: Option<(Kind, u64, u64)>) -> Result<(), Refused> {
        let watchpoint = n.checked_sub(WATCHPOINTS).map(|n| n as u64);
        let watch = |kind| match kind {
            Kind::Load => Watch::Loads,
            Kind::Store => Watch::Stores,
            Kind::Access | Kind::Execute => Watch::Both,
        };
        let done = match (what, watchpoint) {
            (None, None) => self.target.clear_breakpoint(n as u64),
            (None, Some(n)) => self.target.clear_watchpoint(n),
            (Some((_, address, _)), None) => self.target.set_breakpoint(n as u64, address),
            (Some((kind, address, bytes)), Some(n)) => {
                self.target.set_watchpoint(n, watch(kind), address, bytes)
            }
        };
        done.map_err(refused)
    }

    fn translate(&self, of: Option<Id>, vcpu: usize, va: u64) -> Result<(u64, u64), Refused> {
        let place = self.target.translate(id(of), vcpu as u64, va);
        let place = place.map_err(refused)?;
        Ok((place.address, place.bytes))
    }

    fn read(&self, of: Option<Id>, address: u64, to: &mut [u8]) -> Result<(), Refused> {
        self.target.read(id(of), address, to).map_err(refused)
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Refused> {
        self.target.write(address, from).map_err(refused)
    }

    fn registers(&self, of: Option<Id>, vcpu: usize) -> Result<Registers, Refused> {
        let got = self.target.registers(id(of), vcpu as u64);
        let got = got.map_err(refused)?;
        let mut registers = Registers {
            state: got.state,
            x: got.x,
            pc: got.pc,
            pstate: got.pstate,
            q: got.q,
            fpcr: got.fpcr,
            fpsr: got.fpsr,
            ..Registers::default()
        };
        let system = got.el1.into_iter().chain([got.sctlr, got.tcr]);
        let system = system.chain(got.keys);
        let places = registers.system.iter_mut();
        places.zip(system).for_each(|(place, value)| *place = value);
        Ok(registers)
    }

    fn set_registers(&mut self, vcpu: usize, registers: &Registers) -> Result<(), Refused> {
        let mut to = control::Registers {
            state: registers.state,
            x: registers.x,
            pc: registers.pc,
            pstate: registers.pstate,
            q: registers.q,
            fpcr: registers.fpcr,
            fpsr: registers.fpsr,
            ..control::Registers::ZERO
        };
        let control::Registers {
            el1,
            sctlr,
            tcr,
            keys,
            ..
        } = &mut to;
        let places = el1.iter_mut().chain([sctlr, tcr]).chain(keys);
        let values = registers.system;
        places.zip(values).for_each(|(place, value)| *place = value);
        let set = self.target.set_registers(vcpu as u64, &to);
        set.map_err(refused)
    }

    fn differs(&self, one: Option<Id>, other: Option<Id>, from: u64) -> Result<u64, Refused> {
        self.target
            .differs(id(one), id(other), from)
            .map_err(refused)
    }

    fn checkpoint(&mut self) -> Result<Id, Refused> {
        self.target.checkpoint().map(|id| id.0).map_err(refused)
    }

    fn restore(&mut self, id: Id) -> Result<(), Refused> {
        let done = self.target.restore(avisor_guest::Id(id));
        done.map(drop).map_err(refused)
    }

    fn delete(&mut self, id: Id) -> Result<(), Refused> {
        self.target.delete(avisor_guest::Id(id)).map_err(refused)
    }

    fn info(&self, id: Id) -> Result<Info, Refused> {
        let info = self.target.info(avisor_guest::Id(id)).map_err(refused)?;
        Ok(Info {
            parent: info.parent.map(|id| id.0),
            own_pages: info.own_pages,
            counter: info.virtual_counter,
        })
    }

    fn next(&self, id: Id) -> Result<Id, Refused> {
        let next = self.target.next(avisor_guest::Id(id));
        next.map(|id| id.0).map_err(refused)
    }

    fn line(&self, of: Option<Id>) -> Result<[Option<Id>; 4], Refused> {
        let line = self.target.line(id(of)).map_err(refused)?;
        Ok(line.map(|id| id.map(|id| id.0)))
    }

    fn frequency(&self) -> u64 {
        timer::frequency()
    }
}
