//! A VM that a program on Avisor controls, as a machine: one of its snapshots, or as it is now.

use avisor_guest::control::{BYTES_MAX, Registers, State, Target};
use avisor_guest::{Error, Id, RAM_START};

use crate::machine::{Machine, PAGE, Stage1, Vcpu};

/// What is looked at.
pub struct Snapshot {
    target: Target,
    /// None: as it is now.
    id: Option<Id>,
    vcpus: usize,
    bytes: u64,
}

impl Snapshot {
    /// A snapshot of the target; or the target as it is, which is [`Error::Denied`] while it runs.
    pub fn of(target: Target, id: Option<Id>) -> Result<Self, Error> {
        let status = target.status()?;
        match id {
            Some(id) => _ = target.info(id)?,
            None if status.state == State::Running => return Err(Error::Denied),
            None => {}
        }
        Ok(Self {
            target,
            id,
            vcpus: status.vcpus as usize,
            bytes: status.pages * PAGE,
        })
    }
}

impl Machine for Snapshot {
    type Error = Error;

    fn ram(&self) -> (u64, u64) {
        (RAM_START as u64, self.bytes)
    }

    fn vcpus(&self) -> usize {
        self.vcpus
    }

    fn vcpu(&mut self, n: usize) -> Result<Vcpu, Error> {
        self.target.registers(self.id, n as u64).map(vcpu)
    }

    fn read(&mut self, ipa: u64, to: &mut [u8]) -> Result<(), Error> {
        let pieces = to.chunks_mut(BYTES_MAX);
        for (piece, at) in pieces.zip((ipa..).step_by(BYTES_MAX)) {
            self.target.read(self.id, at, piece)?;
        }
        Ok(())
    }
}

/// Registers as Avisor has them.
fn vcpu(registers: Registers) -> Vcpu {
    let [sp_el0, sp_el1, ..] = registers.el1;
    Vcpu {
        is_on: registers.state != 0,
        x: registers.x,
        // SPSel is bit 0 of the mode; EL0 has no choice, and 0 there.
        sp: if registers.pstate & 1 != 0 {
            sp_el1
        } else {
            sp_el0
        },
        pc: registers.pc,
        pstate: registers.pstate,
        q: registers.q,
        fpsr: registers.fpsr,
        fpcr: registers.fpcr,
        stage1: Stage1 {
            sctlr: registers.sctlr,
            tcr: registers.tcr,
            ttbr: [registers.el1[11], registers.el1[12]],
        },
    }
}
