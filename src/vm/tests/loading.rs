//! What a VM starts with, and why it may not start.

use super::guest::*;
use super::logged::logged;
use crate::addr::{BLOCK_SIZE, Ipa, PAGE_SIZE, Pa};
use crate::arch::vcpu::Registers;
use crate::config::{Accounting, PoolPlan, VmConfig};
use crate::device::Devices;
use crate::fake::System;
use crate::guest_image::{Format, Image, Segment};
use crate::vm::{StartError, heap_bytes};
use fdt::Fdt;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

/// Half-way into RAM.
const TREE: u64 = RAM + RAM_SIZE / 2;

/// A raw binary at `at`.
fn raw_at(at: u64, bytes: Vec<u8>) -> VmConfig {
    image(Format::Raw, at, vec![(at, bytes, 0)])
}

/// An image of segments: address, bytes, zeroes behind them.
fn image(format: Format, entry: u64, segments: Vec<(u64, Vec<u8>, u64)>) -> VmConfig {
    let segments = segments.into_iter().map(|(at, bytes, zeroes)| Segment {
        ipa: Ipa(at),
        bytes: bytes.leak(),
        zeroes,
    });
    let image = Image {
        format,
        entry: Ipa(entry),
        segments: segments.collect::<Vec<_>>().leak(),
    };
    VmConfig { image, ..PLAN }
}

/// Bytes that show where they came from.
fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i % 251) as u8 | 1).collect()
}

/// `bytes` are there, and zeros around them.
fn lies_at(guest: &mut Guest, at: u64, bytes: &[u8]) {
    assert_eq!(guest.bytes(at, bytes.len()), bytes);
    assert_eq!(
        (guest.load(at - 1), guest.load(at + bytes.len() as u64)),
        (0, 0)
    );
}

/// The tree at `at`, checked against the machine.
fn tree(guest: &mut Guest, at: u64) -> Vec<u8> {
    let size = guest.bytes(at + 4, 4);
    let size = u32::from_be_bytes(size.try_into().unwrap());
    let bytes = guest.bytes(at, size as usize);
    let tree = Fdt::new_unaligned(&bytes).unwrap();
    let memory = tree.find_node("/memory@40000000").unwrap();
    let reg = memory.properties().find("reg").unwrap().value;
    assert_eq!(reg, [RAM.to_be_bytes(), RAM_SIZE.to_be_bytes()].concat());
    assert!(tree.find_node("/pl011@9000000").is_some());
    assert!(tree.find_node("/psci").is_some());
    bytes
}

#[test]
fn a_raw_binary() {
    let image = pattern(3 * 4096 + 17);
    let entry = RAM + 0x8_0000;
    let mut guest = Guest::with(raw_at(entry, image.clone()));
    lies_at(&mut guest, entry, &image);
    assert_eq!(*guest.registers(), Registers::reset(entry, TREE));
    let state = guest.state();
    assert_eq!((state.system, state.virtual_count), (System::RESET, 0));
    assert_eq!(state.devices, Devices::default());
    assert_eq!(state.registers.pstate, 0x3c5);
    assert_eq!(tree(&mut guest, RAM), tree(&mut guest, TREE));
    for rest in (RAM + 0x1000..RAM + RAM_SIZE).step_by(0x1_0001) {
        let loaded =
            (entry..entry + 0x4000).contains(&rest) || rest / PAGE_SIZE == TREE / PAGE_SIZE;
        assert!(loaded || guest.load(rest) == 0, "{rest:#x}");
    }
}

#[test]
fn a_raw_binary_at_another_address() {
    let image = pattern(5000);
    let mut guest = Guest::with(raw_at(RAM + BLOCK_SIZE - 8, image.clone()));
    lies_at(&mut guest, RAM + BLOCK_SIZE - 8, &image);
    assert_eq!(guest.registers().pc, RAM + BLOCK_SIZE - 8);
    assert_eq!(tree(&mut guest, RAM), tree(&mut guest, TREE));
}

#[test]
fn an_image_at_the_start_of_ram_stays_there() {
    let image = pattern(100);
    let mut guest = Guest::with(raw_at(RAM, image.clone()));
    assert_eq!(guest.bytes(RAM, 100), image);
    assert_eq!(*guest.registers(), Registers::reset(RAM, TREE));
    tree(&mut guest, TREE);
}

#[test]
fn an_image_of_many_segments_that_is_entered_in_the_middle() {
    let segment = |i: u64| {
        let bytes = pattern(100 + i as usize);
        (RAM + 0x8_0000 + i * 0x1_3000, bytes, 0x5000)
    };
    let segments: Vec<_> = (0..40).map(segment).collect();
    let entry = segments[17].0 + 8;
    let mut guest = Guest::with(image(Format::Elf, entry, segments.clone()));
    for (at, bytes, _) in segments {
        lies_at(&mut guest, at, &bytes);
    }
    assert_eq!(*guest.registers(), Registers::reset(entry, TREE));
    assert_eq!(tree(&mut guest, RAM), tree(&mut guest, TREE));
}

#[test]
fn an_image_that_fills_most_of_ram_leaves_the_tree_the_rest() {
    let above = RAM + RAM_SIZE - 0x10_0000;
    let image = pattern((above - RAM - 0x8_0000 - 100) as usize);
    let mut guest = Guest::with(raw_at(RAM + 0x8_0000, image));
    let passed = guest.registers().x[0];
    assert_eq!(passed, above);
    assert_eq!(tree(&mut guest, RAM), tree(&mut guest, passed));
}

#[test]
fn the_image_may_be_executed_and_its_instructions_are_the_images() {
    let mut guest = Guest::new();
    for (i, &byte) in IMAGE.iter().enumerate() {
        assert_eq!(guest.fetch(RAM + 0x8_0000 + i as u64), byte);
    }
}

#[test]
fn a_start_is_announced() {
    let lines = logged(|| drop(Guest::new()));
    let line = "INFO: test: 8 MiB of RAM, Raw image, entered at 0x40080000";
    assert_eq!(lines, [line]);
}

fn refused(plan: VmConfig, blocks: u64) -> StartError {
    match Guest::start(plan, share(0, blocks)) {
        Ok(_) => panic!("it starts in {blocks} blocks"),
        Err(error) => error,
    }
}

#[test]
fn no_room_for_the_tree_is_an_error() {
    let error = refused(raw_at(RAM, pattern(RAM_SIZE as usize)), 32);
    assert!(matches!(error, StartError::NoRoom(_)));
    let message = error.to_string();
    assert!(
        message.starts_with("no place is left for the device tree"),
        "{message}"
    );
}

#[test]
fn too_little_memory_is_an_error_that_says_how_much() {
    for (accounting, capacity, enough) in [
        (Accounting::OnDemand, 3, 5),
        (Accounting::Reserved, 1, 9),
        (Accounting::Reserved, 3, 17),
    ] {
        let pools = PoolPlan {
            capacity,
            accounting,
        };
        let plan = || VmConfig { pools, ..PLAN };
        assert!(Guest::start(plan(), share(0, enough)).is_ok());
        for blocks in [0, 1, enough - 1] {
            let error = refused(plan(), blocks);
            let StartError::Memory { needed, available } = error else {
                panic!("{error}")
            };
            assert_eq!(available, blocks * BLOCK_SIZE);
            assert!(needed > available && needed <= enough * BLOCK_SIZE);
            let message = error.to_string();
            let start = std::format!(
                "it needs {} MiB of memory, and {} MiB are free: give the machine more",
                needed.div_ceil(1 << 20),
                2 * blocks
            );
            assert!(message.starts_with(&start), "{message}");
        }
    }
}

#[test]
fn memory_in_pieces_is_as_good_as_in_one() {
    let board = share(0, 100).start.0;
    let block = |n: u64| Pa(board + n * BLOCK_SIZE);
    let share = [
        block(90)..block(92),
        block(0)..block(1),
        block(40)..block(42),
    ];
    let mut guest = Guest::start_in(PLAN, &share).unwrap();
    for page in 0..RAM_SIZE / PAGE_SIZE {
        guest.store(RAM + page * PAGE_SIZE + 0xfff, page as u8);
    }
    guest.checkpoint();
    for page in 0..RAM_SIZE / PAGE_SIZE {
        assert_eq!(guest.load(RAM + page * PAGE_SIZE + 0xfff), page as u8);
    }
}

#[test]
fn memory_from_address_0_on_is_as_good_as_any() {
    // Each time another page gets the first of the frames.
    for first in 0..8 {
        let board = Pa(0)..Pa(32 * BLOCK_SIZE);
        let mut guest = Guest::start(PLAN, board).unwrap();
        guest.checkpoint();
        let pages = || (first..RAM_SIZE / PAGE_SIZE).map(|page| RAM + page * PAGE_SIZE);
        for page in pages() {
            guest.store(page, (page >> 12) as u8);
        }
        let id = guest.checkpoint();
        guest.reset();
        guest.restore(id, 1);
        for page in pages() {
            assert_eq!(guest.load(page), (page >> 12) as u8, "{page:#x}, {first}");
        }
    }
}

#[test]
fn the_heap_that_is_kept_for_a_vm_suffices_for_what_grows_with_it() {
    for memory in [1u64 << 30, 3 << 30, 16 << 30] {
        let plan = VmConfig {
            memory: memory / 8,
            ..PLAN
        };
        let pages = plan.memory / PAGE_SIZE;
        let frames = memory / PAGE_SIZE;
        // A word for each frame; an entry of the tables and one of the dirty list for each page.
        let least = 4 * frames + 8 * pages + 12 * pages;
        let kept = heap_bytes(&plan, memory);
        assert!(
            (least..4 * least + (16 << 20)).contains(&kept),
            "{kept} {least}"
        );
    }
}

#[test]
fn each_start_has_its_own_seed_if_the_board_has_any() {
    let mut guest = Guest::new();
    let seed = |guest: &mut Guest| {
        let bytes = tree(guest, TREE);
        let tree = Fdt::new_unaligned(&bytes).unwrap();
        let chosen = tree.find_node("/chosen").unwrap();
        let seed = chosen.properties().find("rng-seed");
        seed.map(|property| property.value.to_vec())
    };
    assert_eq!(seed(&mut guest), None);
    guest.board().seeds.extend([[1; 32], [2; 32]]);
    for expected in [Some(vec![1; 32]), Some(vec![2; 32]), None] {
        guest.reset();
        assert_eq!(seed(&mut guest), expected);
    }
}
