//! Interrupts reach vCPUs: from each other, from timers, from the UART; and are in snapshots.

use super::guest::*;
use super::smp::*;
use crate::device::UART_BASE;
use crate::device::gic::{BankedState, VCPUS_MAX};
use crate::fake::{FakeCore, set_count};
use crate::trap::sysreg::TimerRegister;
use crate::vm::quiesce::QUIESCED;
use crate::vm::vcpu::RunState::{Ready, Waiting};
use crate::vm::{Core, ExitAction, Interrupt};

pub const GICD: u64 = 0x0800_0000;
const CTLR: u64 = GICD;
const ISENABLER: u64 = GICD + 0x100;
pub const ISPENDR: u64 = GICD + 0x200;
const ICPENDR: u64 = GICD + 0x280;
pub const ITARGETSR: u64 = GICD + 0x800;
const SGIR: u64 = GICD + 0xf00;
pub const UART_BIT: u64 = 1 << 1;

/// All vCPUs on and loaded, and all interrupts enabled.
pub fn enabled(vcpus: u32) -> Smp {
    let mut smp = Smp::all_on(vcpus);
    for vcpu in 0..vcpus as usize {
        assert!(smp.load(vcpu));
        smp.store(vcpu, ISENABLER, 0xffff_ffff);
        smp.cores[vcpu].interface = OPEN;
    }
    smp.store(0, CTLR, 1);
    smp.store(0, ITARGETSR + 32, 0x0101_0101);
    smp.store(0, ISENABLER + 4, UART_BIT);
    for core in &mut smp.cores {
        core.kicked.clear();
        core.interrupts.clear();
    }
    smp
}

/// vCPU `to` of two gets the SGI.
pub fn sgi(smp: &mut Smp, from: usize, to: usize, intid: u64) {
    smp.store(from, SGIR, 1 << (16 + to) | intid);
}

/// The guest acknowledges, or ends, what is in this list register.
pub fn guest_changes(core: &mut FakeCore, intid: u32, change: impl Fn(u32) -> u32) {
    let list = core
        .lists
        .iter_mut()
        .find(|list| list.0 != 0 && list.intid() == intid);
    let list = list.expect("it is in a list register");
    list.0 = change(list.0);
}

pub const PENDING: u32 = 1 << 28;
pub const ACTIVE: u32 = 1 << 29;

#[test]
fn an_sgi_kicks_the_others_core_and_gets_there() {
    let mut smp = enabled(2);
    sgi(&mut smp, 0, 1, 5);
    assert_eq!(smp.cores[0].kicked, [1]);
    assert_eq!(smp.listed(1), [[], []], "its core must look first");
    assert_eq!(
        smp.take_irq(1),
        ExitAction::Resume,
        "it has the core for itself"
    );
    assert_eq!(smp.listed(1)[0], [5]);
    let list = smp.cores[1].lists.iter().find(|list| list.is_pending());
    assert_eq!(list.unwrap().sender(), 0);

    sgi(&mut smp, 1, 1, 6);
    assert_eq!(smp.listed(1)[0], [5, 6], "to itself, at once");
    assert!(smp.cores[1].kicked.is_empty());

    sgi(&mut smp, 0, 1, 7);
    smp.cores[1].multiplexed = true;
    let scheduler_looks = ExitAction::Interrupt(Interrupt::Kick);
    assert_eq!(smp.take_irq(1), scheduler_looks, "for others, too");
    sgi(&mut smp, 1, 0, 5);
    assert_eq!(smp.take_irq(0), scheduler_looks, "and the boot core's");
}

#[test]
fn the_virtual_timers_interrupt_is_linked_to_the_physical_one() {
    let mut smp = enabled(1);
    smp.cores[0].system.timer_line = 1;
    assert_eq!(smp.irq(0, Interrupt::VirtualTimer), ExitAction::Review);
    assert_eq!(smp.listed(0)[0], [27]);
    let list = smp.cores[0]
        .lists
        .iter()
        .find(|list| list.is_pending())
        .unwrap();
    assert!(list.is_linked() && list.linked_intid() == 27);
    assert!(smp.cores[0].timer_active, "until the guest is done with it");
    // It goes with the vCPU, and comes back with it.
    smp.save(0);
    assert!(!smp.cores[0].timer_active && smp.listed(0) == [[], []]);
    assert!(smp.load(0));
    assert!(smp.cores[0].timer_active);
    assert_eq!(smp.listed(0)[0], [27]);
}

#[test]
fn an_interrupt_while_the_vm_is_stopped_is_not_lost() {
    for interrupt in [
        Interrupt::VirtualTimer,
        Interrupt::Kick,
        Interrupt::Alarm,
        Interrupt::Maintenance,
    ] {
        let mut smp = enabled(2);
        smp.cores[1].system.timer_line = 1;
        let now = smp.vm.virtual_count();
        smp.set_timer(1, TimerRegister::Compare, now);
        let shared = smp.vm.shared.lock();
        smp.vm.gate.close(QUIESCED);
        smp.vm.vcpus[1].request();
        assert_eq!(smp.irq(1, interrupt), ExitAction::Put, "{interrupt:?}");
        assert!(!smp.cores[1].timer_active, "it comes again");
        assert_eq!(smp.listed(1), [[], []]);
        assert!(smp.vm.vcpus[1].has_request());
        smp.vm.gate.open(QUIESCED);
        drop(shared);
    }
}

#[test]
fn wfi_waits_unless_something_is_pending() {
    let mut smp = enabled(2);
    let pc = smp.registers(1).pc;
    assert_eq!(smp.wfi(1), ExitAction::Wait);
    assert_eq!(smp.registers(1).pc, pc + 4);
    assert_eq!(smp.phases(), [Ready, Waiting]);
    let again = |smp: &mut Smp| {
        let (running, core) = smp.on(1);
        running.run(&[], core)
    };
    assert_eq!(again(&mut smp), ExitAction::Wait, "it executes nothing");
    sgi(&mut smp, 0, 1, 3);
    smp.take_irq(1);
    smp.cores[1]
        .script
        .push_back(std::boxed::Box::new(|_| sync(0x01, 1)));
    assert_eq!(again(&mut smp), ExitAction::Yield, "WFE: it goes on");
    assert_eq!(smp.phases(), [Ready, Ready]);

    // In a list register, pending: no WFI waits. Active: it does.
    assert_eq!(smp.wfi(1), ExitAction::Resume);
    guest_changes(&mut smp.cores[1], 3, |list| list & !PENDING | ACTIVE);
    assert_eq!(smp.wfi(1), ExitAction::Wait);

    // What is enabled and was not told yet counts, too.
    let mut smp = enabled(2);
    sgi(&mut smp, 0, 1, 3);
    assert_eq!(smp.wfi(1), ExitAction::Resume);
}

#[test]
fn a_vcpu_that_waits_and_is_not_loaded_is_kicked() {
    let mut smp = enabled(2);
    assert_eq!(smp.wfi(1), ExitAction::Wait);
    smp.save(1);
    assert!(!smp.vm.is_runnable(1));
    sgi(&mut smp, 0, 1, 3);
    assert!(smp.vm.is_runnable(1));
    assert_eq!(smp.cores[0].kicked, [1]);
    assert!(smp.load(1));
    assert_eq!(smp.listed(1)[0], [3]);
    // It is taken off again before it went on: its wait is over all the same.
    smp.save(1);
    assert_eq!(smp.phases()[1], Ready);
    assert!(smp.vm.is_runnable(1));
}

#[test]
fn a_snapshot_of_one_that_waits_and_was_called_wakes_it() {
    let mut smp = enabled(2);
    assert_eq!(smp.wfi(1), ExitAction::Wait);
    smp.save(1);
    sgi(&mut smp, 0, 1, 3);
    let id = smp.ask(0, CHECKPOINT, &[]);
    assert!(smp.load(1));
    guest_changes(&mut smp.cores[1], 3, |_| 0);
    assert_eq!(smp.wfi(1), ExitAction::Wait);
    smp.save(1);
    assert_eq!(smp.phases()[1], Waiting);
    assert!(!smp.vm.is_runnable(1));
    assert_eq!(smp.call(0, RESTORE, &[id, 1]), ExitAction::Resume);
    assert!(smp.vm.is_runnable(1));
    assert!(smp.load(1));
    assert_eq!(smp.listed(1)[0], [3]);
}

#[test]
fn what_is_typed_reaches_the_guest_as_an_interrupt() {
    let mut smp = enabled(2);
    // UARTEN, RXE, TXE; the receive interrupts.
    smp.store(0, UART_BASE.0 + 0x30, 0x301);
    smp.store(0, UART_BASE.0 + 0x38, 0x50);
    assert_eq!(smp.listed(0), [[], []]);
    smp.vm.shared.lock().memory.backend.typed.push_back(b'x');
    // From another core: vCPU 0's is told.
    smp.vm.request_input(&mut smp.cores[1]);
    assert_eq!(smp.cores[1].kicked, [0]);
    smp.take_irq(0);
    assert_eq!(smp.listed(0)[0], [33]);
    guest_changes(&mut smp.cores[0], 33, |list| list & !PENDING | ACTIVE);
    assert_eq!(smp.load_from(0, UART_BASE.0), u64::from(b'x'));
    guest_changes(&mut smp.cores[0], 33, |list| list & !ACTIVE);
    assert_eq!(smp.irq(0, Interrupt::Maintenance), ExitAction::Resume);
    assert_eq!(smp.listed(0), [[], []], "its line is down");
}

#[test]
fn what_is_typed_while_a_vcpu_goes_back_is_not_lost() {
    let mut smp = enabled(1);
    smp.store(0, UART_BASE.0 + 0x30, 0x301);
    let now = smp.timer(0, TimerRegister::Count);
    smp.set_timer(0, TimerRegister::Compare, now + 1000);
    smp.set_timer(0, TimerRegister::Control, 1);
    let id = smp.ask(0, CHECKPOINT, &[]);
    smp.vm.shared.lock().memory.backend.typed.push_back(b'x');
    smp.vm.request_input(&mut smp.cores[0]);
    assert_eq!(smp.call(0, RESTORE, &[id, 1]), ExitAction::Resume);
    let shared = smp.vm.shared.lock();
    assert!(shared.memory.backend.typed.is_empty(), "the UART has it");
}

#[test]
fn the_physical_timer_is_emulated_with_an_alarm() {
    let mut smp = enabled(1);
    let (count, now) = (
        FakeCore::physical_count(),
        smp.timer(0, TimerRegister::Count),
    );
    assert_eq!(now, smp.vm.virtual_count());
    smp.set_timer(0, TimerRegister::Compare, now + 1000);
    assert_eq!(smp.cores[0].alarm, u64::MAX, "it is off");
    smp.set_timer(0, TimerRegister::Control, 1);
    assert_eq!(smp.cores[0].alarm, count + 1000);
    set_count(count + 999);
    assert_eq!(
        smp.irq(0, Interrupt::Alarm),
        ExitAction::Interrupt(Interrupt::Alarm)
    );
    assert_eq!(smp.listed(0), [[], []]);
    assert_eq!(smp.cores[0].alarm, count + 1000, "too early: once more");
    set_count(count + 1000);
    smp.irq(0, Interrupt::Alarm);
    assert_eq!(smp.listed(0)[0], [30]);
    assert_eq!(smp.timer(0, TimerRegister::Control), 5);
    // The guest masks it while the interrupt waits: it is withdrawn.
    smp.set_timer(0, TimerRegister::Control, 3);
    assert_eq!(smp.listed(0), [[], []]);
}

#[test]
fn what_is_in_anothers_list_registers_is_seen_and_changed() {
    let mut smp = enabled(2);
    smp.store(0, ITARGETSR + 32, 0x0202_0202);
    smp.save(1);
    let in_list = |smp: &mut Smp| {
        smp.store(0, ISPENDR + 4, UART_BIT);
        while smp.vm.vcpus[1].has_request() {
            std::thread::yield_now();
        }
    };
    smp.beside(&[1], |smp| {
        in_list(smp);
        assert_eq!(smp.load_from(0, ISPENDR + 4), UART_BIT);
        smp.store(0, ICPENDR + 4, UART_BIT);
        assert_eq!(smp.load_from(0, ISPENDR + 4), 0);
        // Again, and then it becomes vCPU 0's.
        in_list(smp);
        smp.store(0, ITARGETSR + 32, 0x0101_0101);
    });
    assert_eq!(smp.listed(0)[0], [33]);
    assert!(smp.load(1));
    assert_eq!(smp.listed(1), [[], []]);
}

#[test]
fn what_waits_for_a_vcpu_that_goes_off_is_there_when_it_is_on_again() {
    for moved in [false, true] {
        let mut smp = enabled(2);
        sgi(&mut smp, 0, 1, 4);
        smp.store(0, ITARGETSR + 32, 0x0202_0202);
        smp.store(0, ISPENDR + 4, UART_BIT);
        smp.take_irq(1);
        assert_eq!(smp.listed(1)[0], [4, 33]);
        assert_eq!(smp.call(1, CPU_OFF, &[]), ExitAction::Put);
        smp.save(1);
        // The guest may move the UART's to another one.
        if moved {
            smp.store(0, ITARGETSR + 32, 0x0101_0101);
            assert_eq!(smp.listed(0)[0], [33]);
        }
        assert_eq!(smp.ask(0, CPU_ON, &[1, ENTRY, 0]), 0);
        assert!(smp.load(1));
        let expected: &[u32] = if moved { &[4] } else { &[4, 33] };
        assert_eq!(smp.listed(1)[0], expected);
    }
}

/// All that the model holds, with everything saved.
fn model(smp: &Smp) -> (std::string::String, [BankedState; VCPUS_MAX]) {
    let mut shared = smp.vm.shared.lock();
    for (i, slot) in smp.vm.vcpus.iter().enumerate() {
        shared.gic.sync(i, &mut slot.try_lock().unwrap().lrs);
    }
    (std::format!("{:?}", shared.gic.shared), shared.gic.private)
}

#[test]
fn a_snapshot_has_what_is_in_list_registers() {
    let mut smp = enabled(2);
    for vcpu in [0, 1] {
        for intid in [1, 2] {
            sgi(&mut smp, 1 - vcpu, vcpu, intid);
        }
        smp.take_irq(vcpu);
        guest_changes(&mut smp.cores[vcpu], 1, |list| list & !PENDING | ACTIVE);
        smp.cores[vcpu].interface = [77 + vcpu as u32, 88];
    }
    smp.cores[1].system.timer_line = 1;
    smp.irq(1, Interrupt::VirtualTimer);
    smp.save(1);
    let before = [smp.listed(0), [[2, 27].into(), [1].into()]];
    assert_eq!(before[0], [[2], [1]]);
    let id = smp.ask(0, CHECKPOINT, &[]);
    assert_eq!(smp.listed(0), before[0], "they are filled again");
    smp.save(0);
    let expected = model(&smp);
    // All of that ends; something else comes.
    for vcpu in [0, 1] {
        assert!(smp.load(vcpu));
        for intid in [1, 2] {
            guest_changes(&mut smp.cores[vcpu], intid, |_| 0);
        }
        smp.cores[vcpu].interface = [0; 2];
    }
    sgi(&mut smp, 1, 0, 9);
    smp.take_irq(0);
    smp.save(1);
    smp.store(0, CTLR, 0);
    assert_eq!(smp.call(0, RESTORE, &[id, 1]), ExitAction::Resume);
    assert!(smp.load(1));
    for vcpu in [0, 1] {
        assert_eq!(smp.listed(vcpu), before[vcpu]);
        assert_eq!(smp.cores[vcpu].interface, [77 + vcpu as u32, 88]);
    }
    assert!(smp.cores[1].timer_active && !smp.cores[0].timer_active);
    smp.save(0);
    smp.save(1);
    assert!(model(&smp) == expected);
}
