//! What a controller reads and writes of its target, and what it may not.

use super::control::{
    CHECKPOINT_OF, DENIED, Does, END, EVENT, RESTORE_OF, RUN_IT, core, pair, play,
};
use super::guest::*;
use super::scheduling::vms;
use crate::addr::{Ipa, PAGE_SIZE};
use crate::arch::vcpu::exchange::VcpuRegisters;
use crate::fake::FakeBoard;
use crate::hvc::ids;
use crate::snapshot::Reach;
use crate::vm::Vm;
use crate::vm::vcpu::RunState;
use Does::{Calls, Reaches};
use std::vec;
use std::vec::Vec;
use zerocopy::{FromBytes, IntoBytes};

pub const READ: u64 = ids::READ.0 as u64;
pub const WRITE: u64 = ids::WRITE.0 as u64;
pub const REGISTERS: u64 = ids::REGISTERS.0 as u64;
pub const SET_REGISTERS: u64 = ids::SET_REGISTERS.0 as u64;
const DIFFERS: u64 = ids::DIFFERS.0 as u64;

pub const INVALID: u64 = -3i64 as u64;
pub const NOW: u64 = u64::MAX;
/// Where images are.
pub const TEXT: u64 = RAM + 0x8_0000;
const BYTES: u64 = size_of::<VcpuRegisters>() as u64;
const PAGES: u64 = RAM_SIZE / PAGE_SIZE;

/// What is in a VM's RAM.
pub fn contents(vm: &Vm<FakeBoard>, ipa: u64, count: u64) -> Vec<u8> {
    let shared = vm.shared.lock();
    let byte = |ipa| match shared.memory.stage2.translate(Ipa(ipa)) {
        Some(pa) => shared.memory.backend.memory.read(pa),
        None => 0,
    };
    (ipa..ipa + count).map(byte).collect()
}

/// The registers that REGISTERS wrote there.
pub fn registers_at(vm: &Vm<FakeBoard>, ipa: u64) -> VcpuRegisters {
    VcpuRegisters::read_from_bytes(&contents(vm, ipa, BYTES)).unwrap()
}

/// Puts something there.
pub fn put(vm: &Vm<FakeBoard>, ipa: u64, bytes: &[u8]) {
    for (ipa, byte) in (ipa..).zip(bytes) {
        let mut shared = vm.shared.lock();
        let page = shared.memory.stage2.page_at(Ipa(ipa)).unwrap();
        let shared = &mut *shared;
        while !shared.fault_in(page, true, Reach::Around) {}
        let pa = shared.memory.stage2.translate(Ipa(ipa)).unwrap();
        shared.memory.backend.memory.write(pa, &[*byte]);
    }
}

/// The results of a controller's calls.
pub fn results(vms: &[Vm<FakeBoard>], calls: &[Does]) -> Vec<u64> {
    let steps = [calls, &[END]].concat();
    let played = play(vms, &mut core(), &steps);
    assert!(played.iter().all(|(vm, _)| *vm == 0));
    played[1..].iter().map(|(_, x)| x[0]).collect()
}

#[test]
fn bytes_go_across_pages_however_they_lie() {
    for (from, there, back, count) in [
        (TEXT, DATA + 0xffc, DATA + 0x1ffd, 9),
        (TEXT + 1, DATA, DATA + 3, 8),
        (TEXT, DATA, DATA, 4096),
        (TEXT - 7, DATA + 0x800, DATA + 1, 3 * 4096 + 5),
        (TEXT, UNTOUCHED, UNTOUCHED + 0x10_0000, 1 << 16),
        (TEXT, RAM + RAM_SIZE - 9, DATA, 9),
        (TEXT, DATA, DATA, 0),
    ] {
        let vms = pair();
        let wanted = contents(&vms[0], from, count);
        let calls = [
            Reaches(WRITE, [0, there, from, count, 0]),
            Reaches(READ, [0, NOW, there, back, count]),
        ];
        assert_eq!(results(vms, &calls), [0, 0]);
        assert_eq!(contents(&vms[1], there, count), wanted);
        assert_eq!(contents(&vms[0], back, count), wanted);
        assert_eq!(contents(&vms[1], there - 1, 1), [0]);
        assert_eq!(contents(&vms[0], back + count, 1), [0]);
    }
}

/// Zeros, over what was there: pages as a whole, and parts of them.
#[test]
fn what_nobody_stored_to_reads_as_zeros() {
    for (to, count) in [(DATA, 4096), (DATA, 8192), (DATA + 8, 5000), (DATA, 600)] {
        let vms = pair();
        put(&vms[0], DATA - 1, &[0xff; 3 * 4096]);
        let calls = [Reaches(READ, [0, NOW, UNTOUCHED, to, count])];
        assert_eq!(results(vms, &calls), [0]);
        assert_eq!(contents(&vms[0], to, count), vec![0; count as usize]);
        assert_eq!(contents(&vms[0], to - 1, 1), [0xff]);
        assert_eq!(contents(&vms[0], to + count, 1), [0xff]);
    }
}

#[test]
fn a_snapshot_has_what_it_had_and_the_page_differs() {
    let vms = pair();
    let page = (DATA - RAM) / PAGE_SIZE;
    put(&vms[1], DATA, b"old");
    let calls = [
        Calls(CHECKPOINT_OF, [0; 3]),
        Reaches(WRITE, [0, DATA, TEXT + 4, 5, 0]),
        Calls(CHECKPOINT_OF, [0; 3]),
        Reaches(WRITE, [0, UNTOUCHED, TEXT, 1, 0]),
    ];
    let ids = results(vms, &calls);
    let [first, second] = [ids[0], ids[2]];
    super::control::play_again(vms);
    let far = (UNTOUCHED - RAM) / PAGE_SIZE;
    let differs = |a, b, from| Reaches(DIFFERS, [0, a, b, from, 0]);
    let calls = [
        Calls(RESTORE_OF, [0, second, 0]),
        Reaches(READ, [0, first, DATA, DATA, 5]),
        Reaches(READ, [0, second, DATA, DATA + 8, 5]),
        Reaches(READ, [0, NOW, DATA, DATA + 16, 5]),
        Reaches(READ, [0, first, UNTOUCHED, DATA + 24, 5]),
        differs(first, second, 0),
        differs(first, second, page + 1),
        differs(second, NOW, 0),
        Reaches(WRITE, [0, UNTOUCHED, TEXT, 1, 0]),
        differs(second, NOW, 0),
        differs(NOW, first, page),
        differs(NOW, NOW, 0),
        differs(NOW, second, u64::MAX),
        differs(second, NOBODY, 0),
    ];
    let found = results(vms, &calls);
    assert_eq!(found[..5], [second, 0, 0, 0, 0]);
    let text = contents(&vms[0], DATA, 29);
    let spaces = [0; 3];
    let parts = [
        &b"old\0\0"[..],
        &spaces,
        b"guest",
        &spaces,
        b"guest",
        &spaces,
        &[0; 5],
    ];
    assert_eq!(text, parts.concat());
    assert_eq!(found[5..8], [page, PAGES, PAGES]);
    // An absent block becomes a whole one at its first store.
    let block = far / 512 * 512;
    assert_eq!(found[8..], [0, block, page, PAGES, PAGES, NOT_FOUND]);
}

#[test]
fn what_an_argument_names_is_there_or_nothing_happens() {
    let vms = pair();
    let end = RAM + RAM_SIZE;
    let mut calls = Vec::new();
    // Each in place of an address of the target, and of the caller.
    for (at, bytes) in [
        (RAM - 1, 2),
        (end - 1, 2),
        (end, 0),
        (HOLE, 1),
        (0, 1),
        (u64::MAX, 2),
        (u64::MAX - 1, 1 << 16),
        (DATA, (1 << 16) + 1),
        (DATA, u64::MAX),
    ] {
        calls.extend([
            Reaches(READ, [0, NOW, at, DATA, bytes]),
            Reaches(READ, [0, NOW, DATA, at, bytes]),
            Reaches(WRITE, [0, at, TEXT, bytes, 0]),
            Reaches(WRITE, [0, DATA, at, bytes, 0]),
            Reaches(REGISTERS, [0, NOW, 0, at, bytes.max(BYTES)]),
            Reaches(SET_REGISTERS, [0, 0, at, bytes.max(BYTES), 0]),
        ]);
    }
    calls.extend([
        Reaches(REGISTERS, [0, NOW, 0, DATA, BYTES - 1]),
        Reaches(REGISTERS, [0, NOW, 1, DATA, BYTES]),
        Reaches(REGISTERS, [0, NOW, u64::MAX, DATA, BYTES]),
        Reaches(SET_REGISTERS, [0, 1, DATA, BYTES, 0]),
        // All zeros are of no version.
        Reaches(SET_REGISTERS, [0, 0, DATA, BYTES, 0]),
    ]);
    let refused = results(vms, &calls);
    for (call, result) in calls.iter().zip(refused) {
        assert_eq!(result, INVALID, "{call:x?}");
    }
    let calls = [
        Reaches(READ, [0, NOBODY, DATA, DATA, 1]),
        Reaches(REGISTERS, [0, NOBODY, 0, DATA, BYTES]),
        Reaches(READ, [1, NOW, DATA, DATA, 1]),
        Reaches(WRITE, [1, DATA, DATA, 1, 0]),
        Reaches(REGISTERS, [1, NOW, 0, DATA, BYTES]),
        Reaches(SET_REGISTERS, [1, 0, DATA, BYTES, 0]),
        Reaches(DIFFERS, [1, NOW, NOW, 0, 0]),
    ];
    super::control::play_again(vms);
    let refused = [NOT_FOUND, NOT_FOUND, DENIED, DENIED, DENIED, DENIED, DENIED];
    assert_eq!(results(vms, &calls), refused);
    for vm in vms {
        assert_eq!(contents(vm, DATA, 4096), vec![0; 4096]);
    }
}

#[test]
fn registers_are_read_and_set_of_now_and_read_of_a_snapshot() {
    let vms = pair();
    let vcpu = &vms[1].vcpus[0];
    vcpu.lock().registers.x[7] = 0x77;
    vcpu.lock().system.ttbr = 0x4444_0000;
    let calls = [
        Calls(CHECKPOINT_OF, [0; 3]),
        Reaches(REGISTERS, [0, NOW, 0, DATA + 0xf00, 1 << 12]),
    ];
    let done = results(vms, &calls);
    assert_eq!(done[1], BYTES);
    let read = |at| registers_at(&vms[0], at);
    let mut registers = read(DATA + 0xf00);
    assert_eq!((registers.version, registers.state), (1, 1));
    assert_eq!(registers.registers, vcpu.lock().registers);
    assert_eq!(registers.registers.x[7], 0x77);
    assert_eq!(registers.el1[11], 0x4444_0000);
    assert_eq!(registers.sctlr, vcpu.lock().system.sctlr);

    registers.registers.x[7] = 8;
    registers.registers.pc = TEXT + 0x40;
    registers.registers.pstate = 0x3c0;
    registers.el1[11] = 0x5555_0000;
    super::control::play_again(vms);
    put(&vms[0], DATA, registers.as_bytes());
    vcpu.set_run_state(RunState::Waiting);
    let calls = [
        Reaches(SET_REGISTERS, [0, 0, DATA, BYTES, 0]),
        Reaches(REGISTERS, [0, done[0], 0, DATA + 0x2000, BYTES]),
    ];
    assert_eq!(results(vms, &calls), [0, BYTES]);
    assert_eq!(vcpu.run_state(), RunState::Ready);
    let now = vcpu.lock();
    assert_eq!(now.registers, registers.registers);
    assert_eq!((now.system.ttbr, now.system.watched), (0x5555_0000, 1));
    drop(now);
    let saved = read(DATA + 0x2000);
    assert_eq!((saved.registers.x[7], saved.el1[11]), (0x77, 0x4444_0000));

    // A mode that is not the guest's, and a version of another time.
    for (pstate, version) in [(0x3c9, 1), (0x3c5 | 1 << 32, 1), (0x3c5, 2)] {
        registers.registers.pstate = pstate;
        registers.version = version;
        put(&vms[0], DATA, registers.as_bytes());
        super::control::play_again(vms);
        let before = vcpu.lock().registers;
        put(&vms[0], DATA, registers.as_bytes());
        let calls = [Reaches(SET_REGISTERS, [0, 0, DATA, BYTES, 0])];
        assert_eq!(results(vms, &calls), [INVALID]);
        assert_eq!(vcpu.lock().registers, before);
    }
}

#[test]
fn a_vcpu_that_is_off_has_none() {
    let target = crate::config::VmConfig {
        vcpus: 3,
        ..super::control::CONTROLLED
    };
    let vms = vms([super::control::CONTROLLER, target].into(), |_, _| 0);
    put(&vms[0], DATA, &[0xaa; 4096]);
    let calls = [
        Calls(CHECKPOINT_OF, [0; 3]),
        Reaches(REGISTERS, [0, NOW, 2, DATA, BYTES]),
        Reaches(REGISTERS, [0, 0, 2, DATA, BYTES]),
    ];
    let done = results(vms, &calls);
    assert_eq!(done[1], BYTES);
    let mut registers = registers_at(&vms[0], DATA);
    assert_eq!((registers.version, registers.state), (1, 0));
    assert_eq!(registers.registers.x, [0; 31]);
    registers.registers.pstate = 0x3c5;
    super::control::play_again(vms);
    put(&vms[0], DATA, registers.as_bytes());
    let calls = [
        Reaches(REGISTERS, [0, done[0], 2, DATA + 0x1000, BYTES]),
        Reaches(SET_REGISTERS, [0, 2, DATA, BYTES, 0]),
    ];
    assert_eq!(results(vms, &calls), [BYTES, DENIED]);
    let saved = contents(&vms[0], DATA + 0x1000, BYTES);
    let saved = VcpuRegisters::read_from_bytes(&saved).unwrap();
    assert_eq!((saved.state, saved.registers.x), (0, [0; 31]));
}

#[test]
fn a_target_that_runs_is_stopped_for_it_and_goes_on() {
    let vms = pair();
    let mut it = core();
    let mut shared = vms[1].shared.lock();
    vms[1].run(&mut shared, &mut it, None, None);
    drop(shared);
    let calls = [
        Reaches(WRITE, [0, DATA, TEXT, 9, 0]),
        Reaches(READ, [0, NOW, DATA, DATA, 9]),
        Reaches(REGISTERS, [0, NOW, 0, DATA + 0x1000, BYTES]),
        Reaches(SET_REGISTERS, [0, 0, DATA + 0x1000, BYTES, 0]),
        RUN_IT,
        Calls(EVENT, [1, 0, 0]),
        END,
    ];
    // It is runnable on this core: whoever is on does the next step.
    let played = play(vms, &mut it, &calls);
    let controller = played.iter().filter(|(vm, _)| *vm == 0);
    assert!(controller.count() >= 5);
    assert_eq!(contents(&vms[1], DATA, 9), IMAGE);
    assert!(!vms[1].is_runnable(0), "its controller ended");
}
