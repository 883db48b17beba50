//! Where a target's virtual addresses lead, and what is read and written there.

use super::control::{DENIED, Does, END, core, pair, play, play_again};
use super::guest::*;
use super::reach::{INVALID, NOW, READ, TEXT, WRITE, contents, put, results};
use super::scheduling::Quiet;
use crate::fake::FakeBoard;
use crate::hvc::ids;
use crate::monitor::VmControl;
use crate::vm::Vm;
use crate::vm::operator::Controls;
use crate::vm::vcpu::RunState;
use std::vec::Vec;

const TRANSLATE: u64 = ids::TRANSLATE.0 as u64;

/// Tables of levels 1, 2 and 3, with granules of 4 KiB and addresses of 39 bits.
const TABLES: [u64; 3] = [DATA, DATA + 0x1000, DATA + 0x2000];
/// Where they map pages, one behind the other, up to one that they do not map.
const VA: u64 = 0x12_3456_7000;
/// The pages: never stored to; far apart; a device.
const MAPPED: [u64; 4] = [UNTOUCHED, RAM + RAM_SIZE - 0x1000, TEXT, 0x0900_0000];

/// Takes a snapshot of the target, and says its id.
fn checkpoint(vms: &[Vm<FakeBoard>]) -> u64 {
    let desk = Quiet::default();
    let mut core = core();
    let mut operator = Controls::of(vms, &mut core, &desk);
    operator.checkpoint(1).unwrap()
}

/// A target whose vCPU has these tables, and its MMU on.
fn translating() -> &'static [Vm<FakeBoard>] {
    let vms = pair();
    let target = &vms[1];
    let descriptor = |at, value: u64| put(target, at, &value.to_le_bytes());
    descriptor(TABLES[0] + (VA >> 30 & 511) * 8, TABLES[1] | 3);
    descriptor(TABLES[1] + (VA >> 21 & 511) * 8, TABLES[2] | 3);
    for (i, page) in (0..).zip(MAPPED) {
        descriptor(TABLES[2] + (VA >> 12 & 511) * 8 + i * 8, page | 0x403);
    }
    let mut vcpu = target.vcpus[0].lock();
    vcpu.system.sctlr = 1;
    vcpu.system.tcr = 25;
    vcpu.system.ttbr = TABLES[0];
    drop(vcpu);
    vms
}

const fn translate(id: u64, va: u64) -> Does {
    Does::Reaches(TRANSLATE, [0, id, 0, va, 0])
}

const fn read(id: u64, va: u64, to: u64, bytes: u64) -> Does {
    Does::ReachesBy(READ, [0, id, va, to, bytes, 1])
}

const fn write(va: u64, from: u64, bytes: u64) -> Does {
    Does::Reaches(WRITE, [0, va, from, bytes, 1])
}

#[test]
fn addresses_lead_where_the_tables_say_now_and_then() {
    let vms = translating();
    let id = checkpoint(vms);
    let steps = [
        translate(NOW, VA + 0x123),
        translate(NOW, VA + 0x3004),
        translate(NOW, VA + 0x4000),
        translate(NOW, VA - 1),
        translate(NOW, u64::MAX),
        // The page is another one from here on.
        Does::Reaches(WRITE, [0, TABLES[2] + (VA >> 12 & 511) * 8, DATA, 8, 0]),
        translate(NOW, VA + 0x123),
        translate(id, VA + 0x123),
        translate(NOBODY, VA),
        Does::Reaches(TRANSLATE, [0, NOW, 1, VA, 0]),
        Does::Reaches(TRANSLATE, [0, id, 1, VA, 0]),
        Does::Reaches(TRANSLATE, [1, NOW, 0, VA, 0]),
    ];
    put(&vms[0], DATA, &(TEXT | 0x403).to_le_bytes());
    let steps = [&steps[..], &[END]].concat();
    let played = play(vms, &mut core(), &steps);
    let told: Vec<_> = played[1..].iter().map(|(_, x)| *x).collect();
    assert_eq!(told[0][..3], [0, UNTOUCHED + 0x123, 0x1000 - 0x123]);
    assert_eq!(
        told[1][..3],
        [0, 0x0900_0004, 0xffc],
        "no memory, but mapped"
    );
    for x in &told[2..5] {
        assert_eq!(x[0], NOT_FOUND);
    }
    assert_eq!(told[6][..3], [0, TEXT + 0x123, 0x1000 - 0x123]);
    assert_eq!(told[7][..3], [0, UNTOUCHED + 0x123, 0x1000 - 0x123]);
    let x0: Vec<_> = told[8..].iter().map(|x| x[0]).collect();
    assert_eq!(x0, [NOT_FOUND, INVALID, INVALID, DENIED]);
}

#[test]
fn memory_that_is_apart_is_read_and_written_in_one_piece() {
    let vms = translating();
    let (from, to) = (DATA + 0x5ff8, DATA + 0x7ffd);
    let text: Vec<u8> = (0..).take(0x1010).map(|i| (i % 251) as u8 + 1).collect();
    put(&vms[0], from, &text);
    let bytes = text.len() as u64;
    let id = checkpoint(vms);
    let start = VA + 0xff8;
    let calls = [
        write(start, from, bytes),
        read(NOW, start, to, bytes),
        read(id, start, to + 0x2000, bytes),
        read(NOW, VA, to, 0),
    ];
    assert_eq!(results(vms, &calls), [0; 4]);
    assert_eq!(contents(&vms[0], to, bytes), text);
    let (first, rest) = text.split_at(8);
    let (second, third) = rest.split_at(0x1000);
    assert_eq!(contents(&vms[1], MAPPED[0] + 0xff8, 8), first);
    assert_eq!(contents(&vms[1], MAPPED[1], 0x1000), second);
    assert_eq!(contents(&vms[1], MAPPED[2], 8), third);
    let image = contents(&vms[0], to + 0x2000 + 0x1008, 7);
    assert_eq!(image, IMAGE[..7], "in the snapshot");
}

#[test]
fn what_does_not_lead_to_memory_to_its_end_is_refused_before_anything_happens() {
    let vms = translating();
    let before = contents(&vms[1], RAM + RAM_SIZE - 0x1000, 0x1000);
    let calls = [
        // A device, what is not mapped behind it, and before it all.
        write(VA + 0x1000, TEXT, 0x2001),
        write(VA + 0x3000, TEXT, 8),
        write(VA + 0x4000, TEXT, 8),
        write(VA - 1, TEXT, 8),
        read(NOW, VA + 0x2fff, DATA, 2),
        // Nor what is the caller's.
        write(VA, 0, 8),
        read(NOW, VA, RAM - 8, 8),
        write(VA, TEXT, (1 << 16) + 1),
        // No such vCPU, no such snapshot.
        Does::Reaches(WRITE, [0, VA, TEXT, 8, 2]),
        Does::ReachesBy(READ, [0, NOW, VA, DATA, 8, u64::MAX]),
        read(NOBODY, VA, DATA, 8),
    ];
    let errors = [
        INVALID, INVALID, NOT_FOUND, NOT_FOUND, INVALID, INVALID, INVALID, INVALID, INVALID,
        INVALID, NOT_FOUND,
    ];
    assert_eq!(results(vms, &calls), errors);
    let after = contents(&vms[1], RAM + RAM_SIZE - 0x1000, 0x1000);
    assert_eq!(before, after);
    play_again(vms);
    // One that is off has no tables.
    vms[1].vcpus[0].set_run_state(RunState::Off);
    let calls = [translate(NOW, VA), write(VA, TEXT, 8)];
    assert_eq!(results(vms, &calls), [DENIED; 2]);
}

#[test]
fn with_the_mmu_off_an_address_is_its_own() {
    let vms = translating();
    vms[1].vcpus[0].lock().system.sctlr = 0;
    let calls = [
        write(UNTOUCHED + 0xffc, TEXT, 7),
        translate(NOW, UNTOUCHED),
        write(0x0900_0000, TEXT, 7),
    ];
    assert_eq!(results(vms, &calls), [0, 0, INVALID]);
    assert_eq!(contents(&vms[1], UNTOUCHED + 0xffc, 7), IMAGE[..7]);
}
