//! Pages that are mapped as long as the VM is there: of devices, and of windows.

use crate::fake::Recorder;
use crate::stage2::*;
use std::vec::Vec;

const RAM: Ipa = Ipa(0x4000_0000);
const FRAMES: Pa = Pa(0x8000_0000);

fn stage2() -> Stage2 {
    Stage2::new(RAM, 3 * BLOCK_PAGES, FRAMES)
}

/// Where a table walk leads for `ipa`: the leaf entry, if each level has one.
pub fn walk(s: &Stage2, ipa: Ipa) -> Option<Descriptor> {
    let fixed = [&s.devices, &s.windows].into_iter().flatten();
    let fixed: Vec<_> = fixed.flat_map(PassthroughTables::tables).collect();
    let tables = || {
        [&*s.level1]
            .into_iter()
            .chain(&s.level2)
            .chain(&s.level3)
            .chain(fixed.iter().copied())
    };
    let mut at = s.root();
    for level in 1..=3 {
        let table = tables().find(|table| table.at() == at)?;
        let entry = read(&table.0[(ipa.0 >> (39 - 9 * level)) as usize % ENTRIES]);
        match (level, entry.is_valid(), entry.is_table()) {
            (1 | 2, true, true) => at = entry.address(),
            (_, true, _) => return Some(entry),
            _ => return None,
        }
    }
    None
}

#[test]
fn device_pages_are_mapped_and_their_neighbours_are_not() {
    const GICV: Ipa = Ipa(0x0801_0000);
    let mut s = stage2();
    assert_eq!(walk(&s, GICV), None);
    s.map_device(GICV, Pa(0xff84_6000), 2);
    // D8.5, "Stage 2 memory region attributes": MemAttr 0b0001; S2AP 0b11; AF; XN[1].
    let attributes = 1 << 54 | 1 << 10 | 0b11 << 6 | 0b0001 << 2 | 0b11;
    for page in 0..2 {
        assert_eq!(
            walk(&s, Ipa(GICV.0 + page * PAGE_SIZE)),
            Some(Descriptor((0xff84_6000 + page * PAGE_SIZE) | attributes))
        );
    }
    for ipa in [
        0,
        0x0800_0000,
        0x0800_f000,
        0x0801_2000,
        0x0821_0000,
        0x4801_0000,
    ] {
        assert_eq!(walk(&s, Ipa(ipa)), None, "{ipa:#x}");
    }
    assert_eq!(s.page_at(GICV), None, "it is no RAM");
    assert_eq!(s.translate(GICV), None);
    let mut present = Vec::new();
    s.each_present(|at, bytes| present.push((at, bytes)));
    assert!(present.is_empty(), "its caches are nobody's business");
}

#[test]
fn device_pages_stay_while_ram_is_remapped() {
    let mut s = stage2();
    s.map_device(Ipa(0x0801_0000), Pa(0xff84_6000), 2);
    s.set_block(0, Some(Frame(0)));
    let device = || walk(&s, Ipa(0x0801_1000)).map_or(0, |entry| entry.0);
    let mut m = Recorder {
        asked: Vec::new(),
        watch: Some(&device as &dyn Fn() -> u64),
    };
    s.begin_remap(&mut m);
    assert_eq!(walk(&s, RAM), None);
    s.end_remap(&mut m);
    assert!(walk(&s, RAM).is_some());
    let mapped = Descriptor::device(Pa(0xff84_7000)).0;
    assert!(
        m.asked.iter().all(|(_, seen)| *seen == mapped),
        "{:?}",
        m.asked
    );
}

const WINDOWS: Ipa = Ipa(16 << 30);

/// Two windows, of two pages and of a whole block.
fn with_windows() -> Stage2 {
    let mut s = stage2();
    let window = |block, pa, pages| PassthroughPages {
        ipa: Ipa(WINDOWS.0 + block * BLOCK_SIZE),
        pa: Pa(pa),
        pages,
    };
    let windows = [window(0, 0x9000_3000, 2), window(6, 0x9020_0000, 512)];
    s.map_windows(WINDOWS, &windows);
    s
}

#[test]
fn windows_are_memory_to_read_and_write_and_their_neighbours_are_not() {
    let s = with_windows();
    // D8.5, "Stage 2 memory region attributes": MemAttr 0b1111, Write-Back; SH 0b11; S2AP 0b11; AF; XN[1].
    let attributes = 1 << 54 | 1 << 10 | 0b11 << 8 | 0b11 << 6 | 0b1111 << 2 | 0b11;
    let at = |offset| walk(&s, Ipa(WINDOWS.0 + offset));
    for (offset, pa) in [
        (0, 0x9000_3000),
        (0x1000, 0x9000_4000),
        (6 * BLOCK_SIZE, 0x9020_0000),
        (7 * BLOCK_SIZE - 1, 0x903f_f000),
    ] {
        assert_eq!(at(offset), Some(Descriptor(pa | attributes)), "{offset:#x}");
    }
    for nothing in [
        0x2000,
        BLOCK_SIZE,
        6 * BLOCK_SIZE - 1,
        7 * BLOCK_SIZE,
        1 << 29,
    ] {
        assert_eq!(at(nothing), None, "{nothing:#x}");
    }
    assert_eq!(s.page_at(WINDOWS), None, "it is no RAM");
    assert_eq!(s.translate(WINDOWS), None);
}

#[test]
fn windows_stay_while_ram_is_remapped_and_the_vm_is_flushed() {
    let s = with_windows();
    s.set_block(0, Some(Frame(0)));
    let window = || walk(&s, Ipa(WINDOWS.0 + 0x1000)).map_or(0, |entry| entry.0);
    let mapped = window();
    assert_ne!(mapped, 0);
    let mut m = Recorder {
        asked: Vec::new(),
        watch: Some(&window as &dyn Fn() -> u64),
    };
    s.begin_remap(&mut m);
    assert_eq!(walk(&s, RAM), None);
    s.set_block(0, None);
    s.end_remap(&mut m);
    s.protect_block(0);
    s.end_protect(&mut m);
    assert!(m.asked.iter().all(|(_, seen)| *seen == mapped));
    assert_eq!(window(), mapped);
}

#[test]
#[should_panic(expected = "level2.len()")]
fn windows_lie_above_ram() {
    Stage2::new(RAM, (15 << 18) + BLOCK_PAGES, FRAMES).map_windows(WINDOWS, &[]);
}

#[test]
#[should_panic(expected = "one block")]
fn device_pages_lie_in_one_block() {
    stage2().map_device(Ipa(0x081f_f000), Pa(0xff84_6000), 2);
}

#[test]
#[should_panic(expected = "is_none()")]
fn device_pages_lie_below_the_gigabyte_of_ram() {
    stage2().map_device(Ipa(RAM.0 + (64 << 20)), Pa(0xff84_6000), 2);
}
