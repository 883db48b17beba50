//! The VMs, and what gdbstub asks of them: each packet of the client becomes one of these calls.

mod files;
mod monitor;
mod points;

use alloc::string::String;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::num::NonZeroUsize;

use gdbstub::arch::Arch;
use gdbstub::common::{Signal, Tid};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadRangeStepping, MultiThreadRangeSteppingOps, MultiThreadResume,
    MultiThreadResumeOps, MultiThreadSchedulerLocking, MultiThreadSchedulerLockingOps,
    MultiThreadSingleStep, MultiThreadSingleStepOps,
};
use gdbstub::target::ext::base::reverse_exec::{
    ReverseCont, ReverseContOps, ReverseStep, ReverseStepOps,
};
use gdbstub::target::ext::base::single_register_access::{
    SingleRegisterAccess, SingleRegisterAccessOps,
};
use gdbstub::target::ext::breakpoints::BreakpointsOps;
use gdbstub::target::ext::host_io::HostIoOps;
use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, MonitorCmdOps};
use gdbstub::target::ext::target_description_xml_override::{
    TargetDescriptionXmlOverride, TargetDescriptionXmlOverrideOps,
};
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{Target, TargetError, TargetResult};

use crate::arch::{AArch64, Number, number_of};
use crate::machine::{Machine, Refused, Registers};
use crate::registers::{description, size};
use crate::vm::Vm;
use crate::vm::plan::Plan;

/// EFAULT: what a client shows as "cannot access memory".
const EFAULT: u8 = 14;
/// EINVAL.
const EINVAL: u8 = 22;

/// All that is debugged.
pub struct Debugger<M> {
    /// The VMs, in the order of `controls`. There is one at least.
    pub vms: Vec<Vm<M>>,
    /// The one that the client sees.
    pub seen: usize,
    file: Option<files::OpenCore>,
    description: String,
    /// What the packet that is being read wants.
    wish: Plan,
}

/// A thread of the client is a vCPU.
pub fn tid(vcpu: usize) -> Tid {
    // Never zero.
    NonZeroUsize::new(vcpu + 1).unwrap_or(Tid::MIN)
}

fn error(why: Refused) -> TargetError<Infallible> {
    TargetError::Errno(match why {
        Refused::NotFound => EFAULT,
        _ => EINVAL,
    })
}

impl<M: Machine> Debugger<M> {
    /// None of the VMs has a client.
    pub fn new(vms: Vec<Vm<M>>) -> Self {
        Self {
            vms,
            seen: 0,
            file: None,
            description: description(),
            wish: Plan::RUN,
        }
    }

    /// The VM that the client sees.
    pub fn vm(&mut self) -> &mut Vm<M> {
        &mut self.vms[self.seen]
    }

    fn vcpu(&mut self, tid: Tid) -> TargetResult<usize, Self> {
        let vcpu = tid.get() - 1;
        let is_there = vcpu < self.vm().machine.vcpus();
        is_there.then_some(vcpu).ok_or(TargetError::Errno(EINVAL))
    }

    /// The same where gdbstub has no word for a thread that is not there: then the one that the client was told of.
    fn vcpu_or_current(&mut self, tid: Tid) -> usize {
        self.vcpu(tid).unwrap_or(self.vm().current)
    }
}

impl<M: Machine> Target for Debugger<M> {
    type Arch = AArch64;
    type Error = Infallible;

    fn base_ops(&mut self) -> BaseOps<'_, Self::Arch, Self::Error> {
        BaseOps::MultiThread(self)
    }

    fn use_lldb_register_info(&self) -> bool {
        // The description says more.
        false
    }

    fn use_fork_stop_reason(&self) -> bool {
        false
    }

    fn use_vfork_stop_reason(&self) -> bool {
        false
    }

    fn use_vforkdone_stop_reason(&self) -> bool {
        false
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_host_io(&mut self) -> Option<HostIoOps<'_, Self>> {
        Some(self)
    }

    fn support_monitor_cmd(&mut self) -> Option<MonitorCmdOps<'_, Self>> {
        Some(self)
    }

    fn support_target_description_xml_override(
        &mut self,
    ) -> Option<TargetDescriptionXmlOverrideOps<'_, Self>> {
        Some(self)
    }
}

impl<M: Machine> MultiThreadBase for Debugger<M> {
    fn read_registers(&mut self, regs: &mut Registers, tid: Tid) -> TargetResult<(), Self> {
        let vcpu = self.vcpu(tid)?;
        *regs = self.vm().registers(vcpu).map_err(error)?;
        Ok(())
    }

    fn write_registers(&mut self, regs: &Registers, tid: Tid) -> TargetResult<(), Self> {
        let vcpu = self.vcpu(tid)?;
        let change = |registers: &mut Registers| {
            // PSTATE first, which says which sp is meant.
            let mut numbers = (0..crate::registers::number::SYSTEM).collect::<Vec<_>>();
            numbers.sort_by_key(|&number| number != crate::registers::number::CPSR);
            let mut from = regs.clone();
            from.pstate = regs.pstate;
            numbers
                .into_iter()
                .try_for_each(|number| registers.set(number, from.get(number)?))
        };
        self.vm().change_registers(vcpu, change).map_err(error)
    }

    fn support_single_register_access(&mut self) -> Option<SingleRegisterAccessOps<'_, Tid, Self>> {
        Some(self)
    }

    fn read_addrs(
        &mut self,
        start_addr: u64,
        data: &mut [u8],
        tid: Tid,
    ) -> TargetResult<usize, Self> {
        let vcpu = self.vcpu(tid)?;
        self.vm().read(vcpu, start_addr, data).map_err(error)
    }

    fn write_addrs(&mut self, start_addr: u64, data: &[u8], tid: Tid) -> TargetResult<(), Self> {
        let vcpu = self.vcpu(tid)?;
        self.vm().write(vcpu, start_addr, data).map_err(error)
    }

    fn list_active_threads(
        &mut self,
        thread_is_active: &mut dyn FnMut(Tid),
    ) -> Result<(), Infallible> {
        // The first one is what a client that comes is told of.
        let vm = self.vm();
        let (current, vcpus) = (vm.current, vm.machine.vcpus());
        thread_is_active(tid(current));
        let others = (0..vcpus).filter(|&vcpu| vcpu != current);
        others.for_each(|vcpu| thread_is_active(tid(vcpu)));
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl<M: Machine> SingleRegisterAccess<Tid> for Debugger<M> {
    fn read_register(
        &mut self,
        tid: Tid,
        reg: Number,
        buf: &mut [u8],
    ) -> TargetResult<usize, Self> {
        let vcpu = self.vcpu(tid)?;
        let registers = self.vm().registers(vcpu).map_err(error)?;
        let (value, bytes) = (registers.get(reg.0), size(reg.0));
        let (Some(value), Some(bytes)) = (value, bytes) else {
            return Err(TargetError::Errno(EINVAL));
        };
        let to = buf.get_mut(..bytes).ok_or(TargetError::Errno(EINVAL))?;
        to.copy_from_slice(&value.to_le_bytes()[..bytes]);
        Ok(bytes)
    }

    fn write_register(&mut self, tid: Tid, reg: Number, val: &[u8]) -> TargetResult<(), Self> {
        let vcpu = self.vcpu(tid)?;
        let change = |registers: &mut Registers| registers.set(reg.0, number_of(val));
        self.vm().change_registers(vcpu, change).map_err(error)
    }
}

impl<M: Machine> ThreadExtraInfo for Debugger<M> {
    fn thread_extra_info(&self, tid: Tid, buf: &mut [u8]) -> Result<usize, Infallible> {
        let text = self.vms[self.seen].describe(tid.get() - 1);
        let bytes = text.len().min(buf.len());
        buf[..bytes].copy_from_slice(&text.as_bytes()[..bytes]);
        Ok(bytes)
    }
}

impl<M: Machine> MultiThreadResume for Debugger<M> {
    fn resume(&mut self) -> Result<(), Infallible> {
        let wish = core::mem::replace(&mut self.wish, Plan::RUN);
        self.vm().plan = wish;
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<(), Infallible> {
        self.wish = Plan::RUN;
        Ok(())
    }

    fn set_resume_action_continue(
        &mut self,
        tid: Tid,
        _: Option<Signal>,
    ) -> Result<(), Infallible> {
        // One alone goes on by single steps; if others do, too, there will be no lock, and all run.
        if self.wish == Plan::RUN {
            self.vm().current = self.vcpu_or_current(tid);
        }
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_range_step(&mut self) -> Option<MultiThreadRangeSteppingOps<'_, Self>> {
        Some(self)
    }

    fn support_reverse_step(&mut self) -> Option<ReverseStepOps<'_, Tid, Self>> {
        Some(self)
    }

    fn support_reverse_cont(&mut self) -> Option<ReverseContOps<'_, Tid, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
}

impl<M: Machine> MultiThreadSingleStep for Debugger<M> {
    fn set_resume_action_step(&mut self, tid: Tid, _: Option<Signal>) -> Result<(), Infallible> {
        self.wish = Plan::step(self.vcpu_or_current(tid), 0, 0);
        Ok(())
    }
}

impl<M: Machine> MultiThreadRangeStepping for Debugger<M> {
    fn set_resume_action_range_step(
        &mut self,
        tid: Tid,
        start: u64,
        end: u64,
    ) -> Result<(), Infallible> {
        self.wish = Plan::step(self.vcpu_or_current(tid), start, end);
        Ok(())
    }
}

impl<M: Machine> MultiThreadSchedulerLocking for Debugger<M> {
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), Infallible> {
        if self.wish == Plan::RUN {
            // One vCPU goes on alone: by steps, which end at a breakpoint only.
            self.wish = Plan::step(self.vm().current, 0, u64::MAX);
        }
        Ok(())
    }
}

impl<M: Machine> ReverseCont<Tid> for Debugger<M> {
    fn reverse_cont(&mut self) -> Result<(), Infallible> {
        self.vm().plan = Plan::Back;
        Ok(())
    }
}

impl<M: Machine> ReverseStep<Tid> for Debugger<M> {
    fn reverse_step(&mut self, tid: Tid) -> Result<(), Infallible> {
        self.vm().plan = Plan::BackStep(self.vcpu_or_current(tid));
        Ok(())
    }
}

impl<M: Machine> MonitorCmd for Debugger<M> {
    fn handle_monitor_cmd(
        &mut self,
        cmd: &[u8],
        mut out: ConsoleOutput<'_>,
    ) -> Result<(), Infallible> {
        let line = String::from_utf8_lossy(cmd);
        self.monitor(&line, &mut |text| {
            out.write_raw(text.as_bytes());
            out.flush();
        });
        Ok(())
    }
}

impl<M: Machine> TargetDescriptionXmlOverride for Debugger<M> {
    fn target_description_xml(
        &self,
        annex: &[u8],
        offset: u64,
        length: usize,
        buf: &mut [u8],
    ) -> TargetResult<usize, Self> {
        if annex != b"target.xml" {
            return Err(TargetError::Errno(2));
        }
        let text = self.description.as_bytes();
        let from = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(text.len());
        let bytes = length.min(buf.len()).min(text.len() - from);
        buf[..bytes].copy_from_slice(&text[from..from + bytes]);
        Ok(bytes)
    }
}

/// The size of a register of `Arch`'s.
const _: () = assert!(size_of::<<AArch64 as Arch>::Usize>() == 8);
