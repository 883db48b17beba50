//! What a vCPU is requested to look at, and that no request stays with one that is not notified of it.

use super::guest::*;
use super::interrupts::{ACTIVE, ISPENDR, ITARGETSR, PENDING, UART_BIT};
use super::interrupts::{enabled, guest_changes, sgi};
use super::smp::*;
use crate::device::UART_BASE;
use crate::vm::quiesce::QUIESCED;
use crate::vm::slot::Request;
use crate::vm::vcpu::RunState::{Ready, Waiting};
use crate::vm::{ExitAction, Interrupt};
use std::sync::atomic::Ordering;

/// Two vCPUs, whose UART interrupts vCPU 0 when something is typed, as an `x` is.
fn typed() -> Smp {
    let mut smp = enabled(2);
    smp.store(0, UART_BASE.0 + 0x30, 0x301);
    smp.store(0, UART_BASE.0 + 0x38, 0x50);
    smp.vm.shared.lock().memory.backend.typed.push_back(b'x');
    smp
}

fn is_read(smp: &Smp) -> bool {
    smp.vm.shared.lock().memory.backend.typed.is_empty()
}

#[test]
fn an_sgi_has_the_other_flush_and_no_more() {
    let mut smp = typed();
    // The console is about to request that vCPU 0 look at its input.
    smp.vm.input.store(true, Ordering::Relaxed);
    sgi(&mut smp, 1, 0, 5);
    smp.take_irq(0);
    assert_eq!(smp.listed(0)[0], [5]);
    assert!(!is_read(&smp), "that is not what the request was for");
    smp.vm.request_input(&mut smp.cores[1]);
    smp.take_irq(0);
    assert_eq!(smp.listed(0)[0], [5, 33]);
    assert_eq!(smp.cores[1].kicked, [0, 0]);
}

#[test]
fn two_requests_are_both_done() {
    for input_first in [false, true] {
        let mut smp = typed();
        if input_first {
            smp.vm.request_input(&mut smp.cores[1]);
        }
        sgi(&mut smp, 1, 0, 5);
        if !input_first {
            smp.vm.request_input(&mut smp.cores[1]);
        }
        // The second may find that the core is notified already.
        let kicks = if input_first { 1 } else { 2 };
        assert_eq!(smp.cores[1].kicked.len(), kicks);
        smp.take_irq(0);
        assert_eq!(smp.listed(0)[0], [5, 33]);
        assert_eq!(smp.vm.vcpus[0].take_request(), Request::Nothing);
    }
}

#[test]
fn a_flush_ends_the_wait_of_one_that_is_loaded() {
    let mut smp = enabled(2);
    assert_eq!(smp.wfi(1), ExitAction::Wait);
    sgi(&mut smp, 0, 1, 3);
    assert_eq!(smp.phases()[1], Waiting);
    assert_eq!(smp.take_irq(1), ExitAction::Resume);
    assert_eq!(smp.phases()[1], Ready);
}

#[test]
fn a_flush_notices_caches_that_are_off() {
    let mut smp = enabled(2);
    // The guest has had them on, which does not trap any more; and then switched them off unseen.
    smp.cores[1].system.watched = 0;
    smp.cores[1].system.sctlr &= !(1 << 2);
    sgi(&mut smp, 0, 1, 3);
    smp.take_irq(1);
    assert_eq!(smp.cores[1].system.watched, 1);
}

#[test]
fn a_flush_that_the_gate_keeps_back_is_done_later() {
    let mut smp = enabled(2);
    sgi(&mut smp, 0, 1, 3);
    smp.vm.gate.close(QUIESCED);
    assert_eq!(smp.take_irq(1), ExitAction::Put);
    smp.save(1);
    smp.vm.gate.open(QUIESCED);
    assert!(smp.load(1));
    assert_eq!(smp.listed(1)[0], [3]);
    assert_eq!(smp.vm.vcpus[1].take_request(), Request::Nothing);
}

/// vCPU 1, which is saved, is loaded; it sends an SGI to vCPU 0, whose core is kicked.
fn is_kicked(smp: &mut Smp) {
    assert!(smp.load(1));
    smp.cores[1].kicked.clear();
    sgi(smp, 1, 0, 9);
    assert_eq!(smp.cores[1].kicked, [0]);
    smp.take_irq(0);
    assert!(smp.listed(0)[0].contains(&9));
}

/// vCPU 0 takes an SPI back from vCPU 1, which may have it as well: its own core is notified by the alarm.
#[test]
fn what_one_is_offered_by_its_own_access_is_no_request_for_ever() {
    let mut smp = enabled(2);
    smp.store(0, ITARGETSR + 32, 0x0303_0303);
    smp.cores[0].interface = [0, 0];
    smp.save(1);
    smp.beside(&[1], |smp| {
        smp.store(0, ISPENDR + 4, UART_BIT);
        while smp.vm.vcpus[1].has_request() {
            std::thread::yield_now();
        }
        smp.cores[0].interface = OPEN;
        smp.load_from(0, ISPENDR + 4);
    });
    assert!(smp.vm.vcpus[0].has_request());
    smp.irq(0, Interrupt::Alarm);
    assert!(!smp.vm.vcpus[0].has_request());
    is_kicked(&mut smp);
}

/// It was saved while it waited and had a request. Now it goes back there by itself.
#[test]
fn who_goes_back_to_a_request_has_none_left() {
    let mut smp = enabled(2);
    assert_eq!(smp.wfi(0), ExitAction::Wait);
    smp.save(0);
    sgi(&mut smp, 1, 0, 3);
    let id = smp.ask(1, CHECKPOINT, &[]);
    assert!(smp.load(0));
    assert_eq!(smp.listed(0)[0], [3]);
    guest_changes(&mut smp.cores[0], 3, |list| list & !PENDING & !ACTIVE);
    smp.save(1);
    assert_eq!(smp.call(0, RESTORE, &[id, 1]), ExitAction::Resume);
    assert_eq!(smp.phases()[0], Ready);
    assert_eq!(smp.listed(0)[0], [3]);
    is_kicked(&mut smp);
}
