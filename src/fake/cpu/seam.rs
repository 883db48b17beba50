//! What `vm` asks a core for, as this one has it.

use super::super::system::System;
use super::{COUNT, FakeCore, Patience, SCTLR};
use crate::addr::{Ipa, Pa, Va};
use crate::arch::entry::fixup;
use crate::arch::sync::Ordering;
use crate::arch::vcpu::exchange::VcpuRegisters;
use crate::arch::vcpu::{
    ExceptionReturn, ExceptionState, Registers, Stage1Access, Stage1Mapping, Stage1Register, Trap,
    el1, walks,
};
use crate::device::caught::VcpuDebug;
use crate::device::gic::{ListRegister, hcr};
use crate::trap::inject::PstateFeatures;
use crate::trap::sysreg::SysReg;
use crate::vm::{Core, Interrupt, VcpuIdentity};
use std::time::Instant;

/// As the image has it.
fn vmid(vm: usize) -> u8 {
    vm as u8 + 1
}

impl Core for FakeCore {
    type System = System;
    const RESET: System = System::RESET;

    fn number(&self) -> usize {
        self.number
    }

    fn physical_count() -> u64 {
        COUNT.get()
    }

    fn frequency() -> u64 {
        1_000_000
    }

    fn begin_load(&mut self, vcpu: &VcpuIdentity) {
        assert!(!self.facing && !self.error, "nothing of another is left");
        self.acts();
        let is_another = self.last[vcpu.vm].replace(vcpu.vcpu) != Some(vcpu.vcpu);
        walks::load_stage2_context(vcpu.root, vmid(vcpu.vm), vcpu.vcpu as u32, is_another);
        self.vcpu = Some(*vcpu);
    }

    fn enter_stage2(&mut self, vm: usize, root: Pa) {
        self.acts();
        walks::set_stage2(root, vmid(vm));
        assert!(self.vcpu.is_none() && !self.facing);
        self.facing = true;
        self.faced = Some(vm);
    }

    fn leave_stage2(&mut self) {
        walks::leave_stage2();
        self.facing = false;
    }

    fn borrow_stage2(&mut self, vm: usize, root: Pa) {
        let loaded = self.vcpu.expect("a vCPU is loaded");
        assert!(loaded.vm != vm && !self.facing && self.lent.is_none());
        self.acts();
        self.lent = Some(walks::borrow_stage2(root, vmid(vm)));
        self.facing = true;
        self.faced = Some(vm);
    }

    fn return_stage2(&mut self) {
        walks::return_stage2(self.lent.take().expect("it was borrowed"));
        self.facing = false;
    }

    fn run(&mut self, registers: &mut Registers) -> Trap {
        assert!(!self.facing, "it is in its own stage 2");
        let vcpu = self.vcpu.expect("a vCPU is loaded");
        self.acts();
        loop {
            if let Some(trap) = self.enter_step_state(registers) {
                return trap;
            }
            let Some(mut execute) = self.executes.take() else {
                break;
            };
            let trap = execute(self, registers);
            self.executes = Some(execute);
            if let Some(trap) = trap {
                return trap;
            }
        }
        self.ran.push((vcpu.vm, vcpu.vcpu));
        match (self.script.pop_front(), &mut self.program) {
            (Some(step), _) => step(registers),
            (None, Some(program)) => program(registers),
            (None, None) => self.compute(),
        }
    }

    fn save_system(&mut self, to: &mut System) {
        *to = self.system;
    }

    fn consume_serror(&mut self) -> bool {
        fixup::synchronize_errors();
        std::mem::take(&mut self.error)
    }

    fn end_put(&mut self) {
        walks::put_context();
        self.vcpu = None;
        self.is_stopped = true;
        self.timer_active = false;
        self.system.timer_line = 0;
    }

    fn begin_replacement(&mut self) {
        walks::begin_replacement();
        self.is_stopped = true;
    }

    fn load_system(&mut self, from: &System) {
        assert!(
            std::mem::take(&mut self.is_stopped),
            "no translation starts from registers half of which are another's"
        );
        self.system = *from;
        SCTLR.set(from.sctlr);
        from.for_walks().load();
        // There are ISBs among it.
        self.debug_seen = self.debug;
    }

    fn export(system: &System, to: &mut VcpuRegisters) {
        for (place, value) in system.exchanged() {
            to.el1[place] = value;
        }
        (to.sctlr, to.tcr) = (system.sctlr, system.tcr);
    }

    fn import(system: &mut System, from: &VcpuRegisters) {
        let mut places = system.exchanged().map(|(place, _)| from.el1[place]);
        let mut next = move || {
            let value = places[0];
            places.rotate_left(1);
            value
        };
        *system = System {
            sp_el0: next(),
            sp_el1: next(),
            elr: next(),
            spsr: next(),
            esr: next(),
            far: next(),
            vbar: next(),
            ttbr: next(),
            tpidr_el1: next(),
            timer_deadline: next(),
            sctlr: from.sctlr,
            tcr: from.tcr,
            watched: 1,
            ..*system
        };
    }

    fn load_debug(&mut self, from: &VcpuDebug) {
        self.debug = *from;
    }

    fn set_virtual_offset(&mut self, offset: u64) {
        assert!(self.is_stopped, "no timer is compared with another's count");
        self.offsets.push(offset);
    }

    fn virtual_deadline(system: &System) -> Option<u64> {
        (system.timer_deadline != 0).then_some(system.timer_deadline)
    }

    fn exception_state(&mut self) -> ExceptionState {
        ExceptionState {
            vbar: self.system.vbar,
            sctlr: self.system.sctlr,
            far: self.system.far,
            ..ExceptionState::default()
        }
    }

    fn set_exception_state(&mut self, state: &ExceptionState) {
        self.system = System {
            elr: state.elr,
            spsr: state.spsr,
            esr: state.esr,
            far: state.far,
            ..self.system
        };
    }

    fn exception_return(&mut self) -> ExceptionReturn {
        Self::saved_exception_return(&self.system)
    }

    fn saved_exception_return(system: &System) -> ExceptionReturn {
        ExceptionReturn {
            elr: system.elr,
            spsr: system.spsr,
            vbar: system.vbar,
        }
    }

    fn set_saved_pstate(&mut self, spsr: u64) {
        self.system.spsr = spsr;
    }

    fn set_saved_pstate_of(system: &mut System, spsr: u64) {
        system.spsr = spsr;
    }

    fn pstate_features(&mut self) -> PstateFeatures {
        PstateFeatures::default()
    }

    fn pend_serror(&mut self) {
        self.system.serror = 1;
    }

    fn write_stage1_register(&mut self, register: Stage1Register, value: u64) {
        match register {
            Stage1Register::Ttbr0 => self.system.ttbr = value,
            Stage1Register::Tcr => self.system.tcr = value,
            _ => {}
        }
        if self.system.has_table() {
            el1::write_stage1_register(register, value);
        }
        match register {
            Stage1Register::Sctlr => {
                self.system.sctlr = value;
                SCTLR.set(value);
            }
            Stage1Register::Esr => self.system.esr = value,
            Stage1Register::Far => self.system.far = value,
            _ => {}
        }
    }

    fn untrap_stage1_registers(&mut self) {
        self.system.watched = 0;
    }

    fn trap_stage1_registers(&mut self) {
        self.system.watched = 1;
    }

    fn traps_stage1_registers(&mut self) -> bool {
        self.system.watched != 0
    }

    fn sctlr(&mut self) -> u64 {
        self.system.sctlr
    }

    fn tcr(&mut self) -> u64 {
        self.system.tcr
    }

    fn translate_stage1(&mut self, va: Va, access: Stage1Access) -> Option<Ipa> {
        match self.system.has_table() {
            true => fixup::translate(va, access).map(|mapping| mapping.ipa),
            false => (self.stage1)(va, access),
        }
    }

    fn stage1_mapping(&mut self, va: Va, access: Stage1Access) -> Option<Stage1Mapping> {
        if self.system.has_table() {
            return fixup::translate(va, access);
        }
        let write_back = self.write_back;
        (self.stage1)(va, access).map(|ipa| Stage1Mapping { ipa, write_back })
    }

    fn saved_sctlr_and_tcr(system: &System) -> (u64, u64) {
        (system.sctlr, system.tcr)
    }

    fn trap_stage1_registers_of(system: &mut System) {
        system.watched = 1;
    }

    fn stack_pointer(&mut self, el1: bool) -> u64 {
        match el1 {
            true => self.system.sp_el1,
            false => self.system.sp_el0,
        }
    }

    fn set_stack_pointer(&mut self, el1: bool, value: u64) {
        match el1 {
            true => self.system.sp_el1 = value,
            false => self.system.sp_el0 = value,
        }
    }

    fn id_register(&mut self, reg: SysReg) -> u64 {
        (self.id_register)(reg)
    }

    fn take_listed(&mut self) -> bool {
        self.lists.iter().any(|list| *list != ListRegister::EMPTY) || self.control & hcr::OWNED != 0
    }

    fn cpu_interface_registers(&mut self) -> [u32; 2] {
        self.interface
    }

    fn set_cpu_interface_registers(&mut self, state: [u32; 2]) {
        self.interface = state;
    }

    fn set_vtimer_irq_active(&mut self, active: bool) {
        self.timer_active = active;
    }

    fn acknowledge(&mut self) -> Interrupt {
        super::set_count(Self::physical_count() + self.latency);
        let interrupt = match self.interrupts.pop_front() {
            Some(interrupt) => interrupt,
            None if self.kicks[self.number].swap(false, Ordering::Acquire) => Interrupt::Kick,
            None if self.next_alarm() <= Self::physical_count() => Interrupt::Alarm,
            None => Interrupt::None,
        };
        match interrupt {
            Interrupt::VirtualTimer => self.timer_active = true,
            Interrupt::Alarm => [self.alarm, self.review_alarm] = [u64::MAX; 2],
            _ => {}
        }
        interrupt
    }

    fn kick(&mut self, core: usize) {
        self.kicked.push(core);
        if let Some(happens) = &mut self.on_kick {
            happens(core);
        }
        // No store: loom would not know that the core, having taken an older kick, must see this one.
        self.kicks[core].swap(true, Ordering::Release);
    }

    fn set_alarm_no_later(&mut self, at: u64) {
        self.alarm = self.alarm.min(at);
    }

    fn set_review_alarm_no_later(&mut self, at: u64) {
        self.review_alarm = self.review_alarm.min(at);
    }

    fn drop_review_alarm(&mut self) {
        self.review_alarm = u64::MAX;
    }

    fn idle(&mut self) {
        self.slept.push(self.next_alarm());
        if self.is_interrupted() {
            return;
        }
        if let Some(dream) = self.dreams.pop_front() {
            return dream(self);
        }
        match self.patience {
            Patience::Alarm => {
                assert_ne!(self.next_alarm(), u64::MAX, "it sleeps for ever");
                self.await_alarm();
            }
            Patience::Kick => {
                let start = Instant::now();
                while !self.is_interrupted() {
                    self.yield_now(start);
                }
            }
            Patience::None => {}
        }
    }

    fn set_multiplexed(&mut self, multiplexed: bool) {
        self.multiplexed = multiplexed;
    }

    fn is_multiplexed(&self) -> bool {
        self.multiplexed
    }
}
