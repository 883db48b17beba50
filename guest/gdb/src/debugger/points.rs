//! Breakpoints and watchpoints that the client sets.

use gdbstub::target::TargetResult;
use gdbstub::target::ext::breakpoints::{
    Breakpoints, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint,
    SwBreakpointOps, WatchKind,
};

use super::{Debugger, error};
use crate::machine::{Kind, Machine};

impl<M: Machine> Breakpoints for Debugger<M> {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

impl<M: Machine> SwBreakpoint for Debugger<M> {
    fn add_sw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        self.vm().add_breakpoint(addr).map_err(error)?;
        Ok(true)
    }

    fn remove_sw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.vm().remove_breakpoint(addr))
    }
}

impl<M: Machine> Debugger<M> {
    fn set(&mut self, what: (Kind, u64, u64)) -> TargetResult<bool, Self> {
        let vm = self.vm();
        Ok(vm.comparators.add(&mut vm.machine, what).is_ok())
    }

    fn unset(&mut self, what: (Kind, u64, u64)) -> TargetResult<bool, Self> {
        let vm = self.vm();
        Ok(vm.comparators.remove(&mut vm.machine, what).is_ok())
    }
}

impl<M: Machine> HwBreakpoint for Debugger<M> {
    fn add_hw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        self.set((Kind::Execute, addr, 4))
    }

    fn remove_hw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        self.unset((Kind::Execute, addr, 4))
    }
}

fn kind_of(kind: WatchKind) -> Kind {
    match kind {
        WatchKind::Write => Kind::Store,
        WatchKind::Read => Kind::Load,
        WatchKind::ReadWrite => Kind::Access,
    }
}

impl<M: Machine> HwWatchpoint for Debugger<M> {
    fn add_hw_watchpoint(
        &mut self,
        addr: u64,
        len: u64,
        kind: WatchKind,
    ) -> TargetResult<bool, Self> {
        self.set((kind_of(kind), addr, len))
    }

    fn remove_hw_watchpoint(
        &mut self,
        addr: u64,
        len: u64,
        kind: WatchKind,
    ) -> TargetResult<bool, Self> {
        self.unset((kind_of(kind), addr, len))
    }
}
