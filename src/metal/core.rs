//! The physical core that vCPUs run on, as [`vm`] asks for it.

use super::failure;
use crate::addr::{Ipa, Pa, Va};
use crate::arch::entry::{self, fixup};
use crate::arch::vcpu::exchange::VcpuRegisters;
use crate::arch::vcpu::{
    ExceptionReturn, ExceptionState, Registers, Stage1Access, Stage1Mapping, Stage1Register,
    SystemState, Trap, control, debug, el1, id, walks,
};
use crate::arch::{cpu, percpu, timer};
use crate::board::gic::{self, Gic, VIRTUAL_TIMER};
use crate::device::caught::VcpuDebug;
use crate::device::gic::{CpuInterface, Gich, LRS_MAX, ListRegister, VTIMER_PPI, hcr};
use crate::device::timer::virtual_deadline;
use crate::limits::VMS_MAX;
use crate::trap::inject::PstateFeatures;
use crate::trap::sysreg::SysReg;
use crate::vm::{self, Interrupt, VcpuIdentity};

// The guest's virtual timer has the same PPI as the board's, which its list register is linked to; and the model uses no list register that
// the driver does not have.
const _: () = assert!(VIRTUAL_TIMER == VTIMER_PPI && gic::LRS_MAX == LRS_MAX);

/// The VMID of VM number `vm`. No VM has VMID 0.
fn vmid(vm: usize) -> u8 {
    vm as u8 + 1
}

/// How long a line that is still up may go unnoticed after the guest deactivated its interrupt, in ticks of the counter: 1 ms under QEMU.
const RESAMPLE_DELAY: u64 = 1 << 16;

/// Sets up what the board's GIC has for this core, number `number`. The boot core has called [`gic::open`] before.
pub fn set_up_core(number: usize) {
    if let Err(ignored) = gic::get().init_core(number) {
        failure::fail(format_args!("core {number}: {ignored}"));
    }
}

/// What a core has of debug registers, besides the loaded vCPU's MDSCR_EL1.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparators {
    /// Whatever the board came with.
    Unknown,
    /// Zeros, and debug exceptions go to EL1.
    Plain,
    /// Those of a vCPU that uses some, or whose controller does.
    Used,
}

/// This core.
pub struct BoardCore {
    number: usize,
    gic: &'static Gic,
    /// The physical count at which the alarm goes off, or `u64::MAX`.
    alarm: u64,
    /// What the timer is set to: that, or a review's alarm, which is earlier.
    armed: u64,
    /// For each VM, the number of the vCPU of it that was loaded here last.
    last: [Option<u8>; VMS_MAX],
    /// Several vCPUs are pinned to this core.
    multiplexed: bool,
    /// What of the loaded vCPU makes way for another VM's stage 2.
    lent: Option<walks::Lent>,
    /// What the core has of debug registers.
    comparators: Comparators,
    /// See [`take_listed`](vm::Core::take_listed).
    listed: bool,
}

impl BoardCore {
    /// Core `number`, on which this runs. [`control::set_up`] and [`Gic::init_core`] have been called on it before.
    pub fn new(number: usize, gic: &'static Gic) -> Self {
        Self {
            number,
            gic,
            alarm: u64::MAX,
            armed: u64::MAX,
            last: [None; VMS_MAX],
            multiplexed: true,
            lent: None,
            comparators: Comparators::Unknown,
            listed: true,
        }
    }

    /// Loads all of a vCPU's debug registers.
    #[cold]
    #[inline(never)]
    fn load_all_debug(&mut self, from: &VcpuDebug) {
        debug::load_comparators(|n| from.breakpoint(n), |n| from.watchpoint(n));
        debug::route_to_el2(from.is_caught());
        debug::load_mdscr(from.mdscr());
        self.comparators = match from.is_plain() {
            true => Comparators::Plain,
            false => Comparators::Used,
        };
    }

    /// Sets an alarm that makes the interrupt controller look at the virtual timer's line again. The timer's interrupt is active, and may be
    /// due again when the guest deactivates it, as kernels that are late set their timer to a time in the past. QEMU's GIC does not notice.
    #[inline]
    fn arm_resample(&mut self) {
        vm::Core::set_review_alarm_no_later(self, timer::count() + RESAMPLE_DELAY);
    }

    /// Whether that is so.
    fn needs_resample(&self) -> bool {
        self.gic.lacks_resampling() && self.gic.is_vtimer_irq_active()
    }
}

impl Gich for BoardCore {
    #[inline]
    fn empty_lrs(&mut self) -> u32 {
        self.gic.empty_lrs()
    }

    #[inline]
    fn list_register(&mut self, n: usize) -> ListRegister {
        ListRegister(self.gic.list_register(n))
    }

    #[inline]
    fn set_list_register(&mut self, n: usize, value: ListRegister) {
        self.listed |= value != ListRegister::EMPTY;
        self.gic.set_list_register(n, value.0);
    }

    #[inline]
    fn hcr(&mut self) -> u32 {
        self.gic.hcr()
    }

    #[inline]
    fn set_hcr(&mut self, hcr: u32) {
        self.listed |= hcr & hcr::OWNED != 0;
        self.gic.set_hcr(hcr);
    }

    #[inline]
    fn vtimer_line(&mut self) -> bool {
        timer::virtual_timer_line()
    }

    fn deactivate_vtimer(&mut self) {
        self.gic.set_vtimer_irq_active(false);
    }

    fn cpu_interface(&mut self) -> CpuInterface {
        vm::Core::cpu_interface_registers(self).into()
    }
}

impl vm::Core for BoardCore {
    type System = SystemState;
    const RESET: SystemState = SystemState::reset();

    #[inline]
    fn number(&self) -> usize {
        self.number
    }

    #[inline]
    fn physical_count() -> u64 {
        timer::count()
    }

    fn frequency() -> u64 {
        timer::frequency()
    }

    fn begin_load(&mut self, vcpu: &VcpuIdentity) {
        fixup::mask_errors();
        percpu::set_current_vcpu(Some((vcpu.name, vcpu.vcpu as u32)));
        let number = vcpu.vcpu as u8;
        let is_another = self.last[vcpu.vm].replace(number) != Some(number);
        walks::load_stage2_context(vcpu.root, vmid(vcpu.vm), number.into(), is_another);
    }

    fn enter_stage2(&mut self, vm: usize, root: Pa) {
        // TLB maintenance by IPA, and that of a whole VM, is for the VMID in VTTBR_EL2.
        walks::set_stage2(root, vmid(vm));
    }

    fn leave_stage2(&mut self) {
        walks::leave_stage2();
    }

    fn borrow_stage2(&mut self, vm: usize, root: Pa) {
        self.lent = Some(walks::borrow_stage2(root, vmid(vm)));
    }

    fn return_stage2(&mut self) {
        if let Some(lent) = self.lent.take() {
            walks::return_stage2(lent);
        }
    }

    #[inline]
    fn run(&mut self, registers: &mut Registers) -> Trap {
        entry::run(registers)
    }

    #[inline]
    fn save_system(&mut self, to: &mut SystemState) {
        to.save();
    }

    fn consume_serror(&mut self) -> bool {
        fixup::synchronize_errors().is_some()
    }

    fn end_put(&mut self) {
        walks::put_context();
        self.gic.set_vtimer_irq_active(false);
        percpu::set_current_vcpu(None);
        fixup::unmask_errors();
    }

    fn begin_replacement(&mut self) {
        walks::begin_replacement();
    }

    #[inline]
    fn load_system(&mut self, from: &SystemState) {
        from.load();
    }

    #[inline]
    fn load_debug(&mut self, from: &VcpuDebug) {
        // Nearly no guest uses any: then they are loaded once, all zero.
        match from.is_plain() && self.comparators == Comparators::Plain {
            true => debug::load_mdscr(from.own_mdscr()),
            false => self.load_all_debug(from),
        }
    }

    #[inline]
    fn set_virtual_offset(&mut self, offset: u64) {
        timer::set_virtual_offset(offset);
    }

    fn export(system: &SystemState, to: &mut VcpuRegisters) {
        system.export(to);
    }

    fn import(system: &mut SystemState, from: &VcpuRegisters) {
        system.import(from);
    }

    fn virtual_deadline(system: &SystemState) -> Option<u64> {
        virtual_deadline(system.el1.cntv_ctl, system.el1.cntv_cval)
    }

    fn exception_state(&mut self) -> ExceptionState {
        el1::exception_state()
    }

    fn set_exception_state(&mut self, state: &ExceptionState) {
        el1::set_exception_state(state);
    }

    fn exception_return(&mut self) -> ExceptionReturn {
        el1::exception_return()
    }

    fn saved_exception_return(system: &SystemState) -> ExceptionReturn {
        ExceptionReturn {
            elr: system.el1.elr,
            spsr: system.el1.spsr,
            vbar: system.el1.vbar,
        }
    }

    fn set_saved_pstate(&mut self, spsr: u64) {
        el1::set_saved_pstate(spsr);
    }

    fn set_saved_pstate_of(system: &mut SystemState, spsr: u64) {
        system.el1.spsr = spsr;
    }

    fn pstate_features(&mut self) -> PstateFeatures {
        PstateFeatures::from_id_registers(
            id::read_id_register(0, 7, 1),
            id::read_id_register(0, 4, 1),
        )
    }

    fn pend_serror(&mut self) {
        control::pend_serror();
    }

    fn write_stage1_register(&mut self, register: Stage1Register, value: u64) {
        el1::write_stage1_register(register, value);
    }

    fn untrap_stage1_registers(&mut self) {
        control::untrap_stage1_registers();
    }

    fn trap_stage1_registers(&mut self) {
        control::trap_stage1_registers();
    }

    fn traps_stage1_registers(&mut self) -> bool {
        control::traps_stage1_registers()
    }

    #[inline]
    fn sctlr(&mut self) -> u64 {
        el1::sctlr()
    }

    #[inline]
    fn tcr(&mut self) -> u64 {
        el1::tcr()
    }

    fn translate_stage1(&mut self, va: Va, access: Stage1Access) -> Option<Ipa> {
        fixup::translate(va, access).map(|mapping| mapping.ipa)
    }

    fn stage1_mapping(&mut self, va: Va, access: Stage1Access) -> Option<Stage1Mapping> {
        fixup::translate(va, access)
    }

    #[inline]
    fn saved_sctlr_and_tcr(system: &SystemState) -> (u64, u64) {
        (system.sctlr, system.tcr)
    }

    fn trap_stage1_registers_of(system: &mut SystemState) {
        system.trap_stage1_registers();
    }

    fn stack_pointer(&mut self, el1: bool) -> u64 {
        el1::stack_pointer(el1)
    }

    fn set_stack_pointer(&mut self, el1: bool, value: u64) {
        el1::set_stack_pointer(el1, value);
    }

    fn id_register(&mut self, reg: SysReg) -> u64 {
        id::read_id_register(reg.op1().into(), reg.crm().into(), reg.op2().into())
    }

    #[inline]
    fn take_listed(&mut self) -> bool {
        core::mem::take(&mut self.listed)
    }

    #[inline]
    fn cpu_interface_registers(&mut self) -> [u32; 2] {
        [self.gic.vmcr(), self.gic.apr()]
    }

    #[inline]
    fn set_cpu_interface_registers(&mut self, [vmcr, apr]: [u32; 2]) {
        self.gic.set_vmcr(vmcr);
        self.gic.set_apr(apr);
    }

    fn set_vtimer_irq_active(&mut self, active: bool) {
        self.gic.set_vtimer_irq_active(active);
        if active && self.gic.lacks_resampling() {
            self.arm_resample();
        }
    }

    #[inline]
    fn acknowledge(&mut self) -> Interrupt {
        match self.gic.acknowledge() {
            gic::KICK => {
                failure::halt_if_stopped();
                Interrupt::Kick
            }
            gic::VIRTUAL_TIMER => {
                if self.gic.lacks_resampling() {
                    self.arm_resample();
                }
                Interrupt::VirtualTimer
            }
            gic::ALARM => {
                [self.alarm, self.armed] = [u64::MAX; 2];
                if self.needs_resample() {
                    self.arm_resample();
                }
                Interrupt::Alarm
            }
            gic::MAINTENANCE => Interrupt::Maintenance,
            gic::FIRST_SPECIAL.. => Interrupt::None,
            id if id == self.gic.console_intid() => Interrupt::Console,
            id if id == self.gic.second_intid() => Interrupt::Second,
            id => {
                self.gic.refuse(id);
                Interrupt::None
            }
        }
    }

    #[inline]
    fn kick(&mut self, core: usize) {
        self.gic.kick(core);
    }

    // In many places.
    #[inline(never)]
    fn set_alarm_no_later(&mut self, at: u64) {
        self.alarm = self.alarm.min(at);
        self.set_review_alarm_no_later(at);
    }

    #[inline]
    fn set_review_alarm_no_later(&mut self, at: u64) {
        // One that is later is set anew by the review that comes before.
        if at < self.armed {
            self.armed = at;
            timer::set_alarm(Some(at));
        }
    }

    fn drop_review_alarm(&mut self) {
        if self.armed < self.alarm && !self.needs_resample() {
            self.armed = self.alarm;
            timer::set_alarm((self.alarm != u64::MAX).then_some(self.alarm));
        }
    }

    fn idle(&mut self) {
        cpu::idle();
    }

    fn set_multiplexed(&mut self, multiplexed: bool) {
        self.multiplexed = multiplexed;
        control::trap_wfe(multiplexed);
    }

    #[inline]
    fn is_multiplexed(&self) -> bool {
        self.multiplexed
    }
}
