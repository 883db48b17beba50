//! Files that a client fetches over the line, by gdb's `remote get`: `snapshot-N.core` and `now.core` are ELF cores, made as they are read.

use alloc::vec::Vec;
use core::convert::Infallible;

use avisor_elf_core::machine::{PAGE, Stage1};
use avisor_elf_core::{Core, Vcpu};
use gdbstub::target::ext::host_io::{
    HostIo, HostIoClose, HostIoCloseOps, HostIoErrno, HostIoError, HostIoOpen, HostIoOpenFlags,
    HostIoOpenMode, HostIoOpenOps, HostIoPread, HostIoPreadOps, HostIoResult,
};

use super::Debugger;
use crate::machine::{Id, Machine, Refused, Registers, system};
use crate::registers::number;
use crate::vm::{RAM, Vm};

/// The most bytes of one READ.
const READ: usize = 1 << 16;
/// The one file that may be open at a time.
const FILE: u32 = 1;

/// A core that is being fetched.
pub struct OpenCore {
    vm: usize,
    id: Option<Id>,
    core: Core,
}

/// A VM, or a snapshot of it, as what a core is made of.
struct Stands<'a, M> {
    vm: &'a Vm<M>,
    id: Option<Id>,
}

impl<M: Machine> avisor_elf_core::Machine for Stands<'_, M> {
    type Error = Refused;

    fn ram(&self) -> (u64, u64) {
        (RAM, self.vm.machine.pages() * PAGE)
    }

    fn vcpus(&self) -> usize {
        self.vm.machine.vcpus()
    }

    fn vcpu(&mut self, n: usize) -> Result<Vcpu, Refused> {
        Ok(vcpu(&self.vm.machine.registers(self.id, n)?))
    }

    fn read(&mut self, ipa: u64, to: &mut [u8]) -> Result<(), Refused> {
        let pieces = to.chunks_mut(READ).zip((ipa..).step_by(READ));
        for (piece, at) in pieces {
            self.vm.read_physical(self.id, at, piece)?;
        }
        Ok(())
    }
}

fn vcpu(registers: &Registers) -> Vcpu {
    Vcpu {
        is_on: registers.state != 0,
        x: registers.x,
        sp: registers.get(number::SP).unwrap_or_default() as u64,
        pc: registers.pc,
        pstate: registers.pstate,
        q: registers.q,
        fpsr: registers.fpsr,
        fpcr: registers.fpcr,
        stage1: Stage1 {
            sctlr: registers.system[system::SCTLR_EL1],
            tcr: registers.system[system::TCR_EL1],
            ttbr: [
                registers.system[system::TTBR0_EL1],
                registers.system[system::TTBR1_EL1],
            ],
        },
    }
}

/// The snapshot whose core a file's name is.
fn snapshot_of(name: &[u8]) -> Option<Option<Id>> {
    let name = core::str::from_utf8(name).ok()?;
    let name = name.strip_suffix(".core")?;
    match name {
        "now" => Some(None),
        name => name.strip_prefix("snapshot-")?.parse().ok().map(Some),
    }
}

fn errno(why: Refused) -> HostIoError<Infallible> {
    HostIoError::Errno(match why {
        Refused::NotFound => HostIoErrno::ENOENT,
        _ => HostIoErrno::EIO,
    })
}

impl<M: Machine> HostIo for Debugger<M> {
    fn support_open(&mut self) -> Option<HostIoOpenOps<'_, Self>> {
        Some(self)
    }

    fn support_close(&mut self) -> Option<HostIoCloseOps<'_, Self>> {
        Some(self)
    }

    fn support_pread(&mut self) -> Option<HostIoPreadOps<'_, Self>> {
        Some(self)
    }
}

impl<M: Machine> HostIoOpen for Debugger<M> {
    fn open(
        &mut self,
        filename: &[u8],
        flags: HostIoOpenFlags,
        _mode: HostIoOpenMode,
    ) -> HostIoResult<u32, Self> {
        let id = snapshot_of(filename).ok_or(errno(Refused::NotFound))?;
        if flags.intersects(HostIoOpenFlags::O_WRONLY | HostIoOpenFlags::O_RDWR) {
            return Err(HostIoError::Errno(HostIoErrno::EROFS));
        }
        let vm = self.vm();
        if let Some(id) = id {
            vm.machine.info(id).map_err(errno)?;
        }
        let core = Core::new(&mut Stands { vm, id }).map_err(errno)?;
        // One that nobody closed is forgotten.
        self.file = Some(OpenCore {
            vm: self.seen,
            id,
            core,
        });
        Ok(FILE)
    }
}

impl<M: Machine> HostIoClose for Debugger<M> {
    fn close(&mut self, fd: u32) -> HostIoResult<(), Self> {
        let open = self.file.take().filter(|_| fd == FILE);
        open.map(drop).ok_or(HostIoError::Errno(HostIoErrno::EBADF))
    }
}

impl<M: Machine> HostIoPread for Debugger<M> {
    fn pread(
        &mut self,
        fd: u32,
        count: usize,
        offset: u64,
        buf: &mut [u8],
    ) -> HostIoResult<usize, Self> {
        let open = self.file.as_ref().filter(|_| fd == FILE);
        let open = open.ok_or(HostIoError::Errno(HostIoErrno::EBADF))?;
        let vm = &self.vms[open.vm];
        let count = count.min(buf.len());
        let mut bytes: Vec<u8> = alloc::vec![0; count];
        let mut machine = Stands { vm, id: open.id };
        let read = open.core.read(&mut machine, offset, &mut bytes);
        let read = read.map_err(errno)?;
        buf[..read].copy_from_slice(&bytes[..read]);
        Ok(read)
    }
}
