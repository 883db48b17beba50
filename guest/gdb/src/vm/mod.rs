//! A VM that is debugged: what the client has set, and where it stands.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`plan`] | what it does for the client |
//! | `run` | it runs: until something happens, by steps |
//! | `step` | one of these |
//! | `back` | it goes back |
//! | `memory` | its memory, by virtual address |
//! | [`breakpoints`] | software breakpoints |
//! | [`when`] | when its memory changed |

mod back;
pub mod breakpoints;
mod memory;
pub mod plan;
mod run;
mod step;
pub mod when;

use alloc::string::String;

use breakpoints::{Breakpoints, IMMEDIATE};
use plan::Plan;

use crate::comparators::Comparators;
use crate::history::{History, Way};
use crate::machine::{Id, Machine, Refused, Registers, State, Stop, system};

/// PSCI: SYSTEM_RESET (Arm DEN0022, 5.1.9).
const SYSTEM_RESET: u64 = 0x8400_0009;
/// `hvc #0`.
const HVC: u32 = 0xd400_0002;
/// SCTLR_EL1 with all off: the bits that are 1 (RES1 without extensions).
const SCTLR_OFF: u64 = 0x30d0_0800;
/// PSTATE: EL1 on SP_EL1, all masked.
const EL1H_MASKED: u64 = 0x3c5;
/// How many stops a VM may have had that nobody was told of, at once.
const NEWS: usize = 4;
/// How often a reset is waited for.
const TRIES: usize = 1000;
/// Where RAM begins.
pub const RAM: u64 = 0x4000_0000;

/// A VM.
pub struct Vm<M> {
    /// Its name in the configuration.
    pub name: String,
    /// Its calls.
    pub machine: M,
    /// The vCPU that stopped last.
    pub current: usize,
    /// Addresses of the client are physical ones.
    pub physical: bool,
    /// The client looks at this snapshot.
    pub look: Option<Id>,
    /// Software breakpoints.
    pub breakpoints: Breakpoints,
    /// Hardware breakpoints and watchpoints.
    pub comparators: Comparators,
    /// Its stops.
    pub history: History,
    /// What it does, if it runs for the client.
    pub plan: Plan,
    /// Nobody debugs it: it runs.
    pub is_free: bool,
}

impl<M: Machine> Vm<M> {
    /// A VM that nobody debugs. One that was not started waits for a client.
    pub fn new(name: &str, machine: M) -> Self {
        Self {
            is_free: machine.state() != State::Stopped,
            name: name.into(),
            machine,
            current: 0,
            physical: false,
            look: None,
            breakpoints: Breakpoints::default(),
            comparators: Comparators::default(),
            history: History::default(),
            plan: Plan::Stand,
        }
    }

    /// The registers of a vCPU, now or in the snapshot that is looked at.
    pub fn registers(&self, vcpu: usize) -> Result<Registers, Refused> {
        self.machine.registers(self.look, vcpu)
    }

    /// Changes the registers of a vCPU.
    pub fn change_registers(
        &mut self,
        vcpu: usize,
        change: impl FnOnce(&mut Registers) -> Option<()>,
    ) -> Result<(), Refused> {
        if self.look.is_some() {
            return Err(Refused::Denied);
        }
        let mut registers = self.machine.registers(None, vcpu)?;
        change(&mut registers).ok_or(Refused::Invalid)?;
        self.machine.set_registers(vcpu, &registers)
    }

    /// A client comes: stops it, and has what the client sets stop it. Without the calls for that a debugger still looks and changes.
    pub fn attach(&mut self) -> Result<(), Refused> {
        self.machine.stop()?;
        let has = self.machine.catch(Some(IMMEDIATE));
        self.comparators = Comparators::new(has.unwrap_or((0, 0)));
        self.plan = Plan::Stand;
        self.physical = false;
        self.look = None;
        // It ran since it was looked at last.
        self.history.leave();
        self.current = self.first_on();
        self.history.stop(&mut self.machine, Way::Run);
        Ok(())
    }

    /// The first vCPU that is on.
    pub fn first_on(&self) -> usize {
        let is_on = |&vcpu: &usize| {
            let registers = self.machine.registers(None, vcpu);
            registers.is_ok_and(|registers| registers.state != 0)
        };
        (0..self.machine.vcpus()).find(is_on).unwrap_or(0)
    }

    /// The client goes, or is gone: nothing of it stays.
    pub fn detach(&mut self) {
        if self.plan != Plan::Stand {
            // One that is off stands anyway.
            let _ = self.machine.stop();
        }
        self.stand();
        self.forget_breakpoints();
        self.comparators.clear(&mut self.machine);
        // There is nothing to give back where there is no such call.
        let _ = self.machine.catch(None);
        self.look = None;
    }

    /// If nobody debugs it: has it run, whatever it stopped for.
    pub fn tend(&mut self) {
        for _ in 0..NEWS {
            if !self.is_free || self.machine.state() != State::Stopped {
                return;
            }
            // What it has to tell, nobody wants to know.
            let _ = self.machine.start();
        }
    }

    /// It stands: its memory is its own.
    pub fn stand(&mut self) {
        self.plan = Plan::Stand;
        self.unplant(false);
    }

    /// Goes back to a snapshot.
    pub fn restore(&mut self, id: Id) -> Result<(), Refused> {
        self.machine.restore(id)?;
        // It may have been taken while breakpoints were in it.
        self.unplant(true);
        self.history.arrive(id);
        self.look = None;
        Ok(())
    }

    /// Resets it: its first vCPU asks for that.
    pub fn reset(&mut self) -> Result<(), Refused> {
        self.machine.stop()?;
        self.stand();
        self.machine.write(RAM, &HVC.to_le_bytes())?;
        let vcpu = self.first_on();
        let mut registers = self.machine.registers(None, vcpu)?;
        registers.pc = RAM;
        registers.pstate = EL1H_MASKED;
        registers.x[0] = SYSTEM_RESET;
        registers.system[system::SCTLR_EL1] = SCTLR_OFF;
        self.machine.set_registers(vcpu, &registers)?;
        self.history.leave();
        // What it had to tell before may come first, and input may interrupt it.
        for _ in 0..TRIES {
            match self.machine.run(None)? {
                Stop::Reset => return Ok(()),
                Stop::Off => return Err(Refused::Denied),
                _ => {}
            }
        }
        Err(Refused::Other)
    }

    /// What a user reads of a vCPU.
    pub fn describe(&self, vcpu: usize) -> String {
        let Ok(registers) = self.registers(vcpu) else {
            return alloc::format!("{}: CPU {vcpu}", self.name);
        };
        let how = match registers.state {
            0 => "off",
            2 => "waits for an interrupt",
            _ => "on",
        };
        let level = registers.pstate >> 2 & 3;
        match registers.state {
            0 => alloc::format!("{}: CPU {vcpu}, off", self.name),
            _ => alloc::format!("{}: CPU {vcpu}, EL{level}, {how}", self.name),
        }
    }

    /// Whether it is off.
    pub fn is_off(&self) -> bool {
        self.machine.state() == State::Off
    }
}

/// The VMs' names, in the order of `controls`, on the debugger's command line: `vms=one,two`.
pub fn names(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split_ascii_whitespace();
    words
        .filter_map(|word| word.strip_prefix("vms="))
        .flat_map(|names| names.split(','))
}
