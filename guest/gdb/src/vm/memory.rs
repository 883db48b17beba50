//! A VM's memory as the debugger shows it: by virtual address, and without the breakpoints that lie in it.

use super::Vm;
use crate::machine::{Id, Machine, Refused};

/// Bytes of a page: no call goes beyond the end of one.
const PAGE: u64 = 4096;

impl<M: Machine> Vm<M> {
    /// Where a virtual address is by the tables of `vcpu`, or of any other where that one does not map it; and how many bytes lie there in one piece.
    pub fn translate(&self, id: Option<Id>, vcpu: usize, va: u64) -> Result<(u64, u64), Refused> {
        let found = self.machine.translate(id, vcpu, va);
        let Err(why @ Refused::NotFound) = found else {
            return found;
        };
        // Another CPU may have its MMU on already.
        (0..self.machine.vcpus())
            .filter(|&other| other != vcpu)
            .find_map(|other| self.machine.translate(id, other, va).ok())
            .ok_or(why)
    }

    /// Reads from a virtual address on. Returns how many bytes there are, up to the first that is not mapped.
    pub fn read(&self, vcpu: usize, va: u64, to: &mut [u8]) -> Result<usize, Refused> {
        let mut done = 0;
        while done < to.len() {
            let piece = self.piece(vcpu, va.wrapping_add(done as u64), to.len() - done);
            let read = piece.and_then(|(at, bytes)| {
                self.read_physical(self.look, at, &mut to[done..done + bytes])
                    .map(|()| bytes)
            });
            match read {
                Ok(bytes) => done += bytes,
                Err(why) if done == 0 => return Err(why),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Writes from a virtual address on. What is not mapped is refused; what comes before it is written then.
    pub fn write(&mut self, vcpu: usize, va: u64, from: &[u8]) -> Result<(), Refused> {
        if self.look.is_some() {
            // A snapshot does not change.
            return Err(Refused::Denied);
        }
        let mut done = 0;
        while done < from.len() {
            let (at, bytes) = self.piece(vcpu, va.wrapping_add(done as u64), from.len() - done)?;
            self.machine.write(at, &from[done..done + bytes])?;
            done += bytes;
        }
        Ok(())
    }

    /// The instruction at a virtual address, now.
    pub fn instruction(&self, vcpu: usize, va: u64) -> Option<u32> {
        let (at, _) = self.translate(None, vcpu, va).ok()?;
        let mut bytes = [0; 4];
        self.read_physical(None, at, &mut bytes).ok()?;
        Some(u32::from_le_bytes(bytes))
    }

    /// The word at a physical address, as it is.
    pub fn word(&self, at: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        self.machine.read(None, at, &mut bytes).ok()?;
        Some(u32::from_le_bytes(bytes))
    }

    /// Reads memory in one page, or in one block, with what breakpoints replaced.
    pub fn read_physical(&self, id: Option<Id>, at: u64, to: &mut [u8]) -> Result<(), Refused> {
        self.machine.read(id, at, to)?;
        self.breakpoints.hide(at, to);
        Ok(())
    }

    /// What of a range of virtual addresses lies in its first page: the physical address, and how many bytes.
    pub(super) fn piece(
        &self,
        vcpu: usize,
        va: u64,
        bytes: usize,
    ) -> Result<(u64, usize), Refused> {
        let (at, there) = match self.physical {
            true => (va, PAGE),
            false => self.translate(self.look, vcpu, va)?,
        };
        let bytes = there.min(PAGE - va % PAGE).min(bytes as u64);
        Ok((at, bytes as usize))
    }
}
