//! The order of table writes and maintenance, as the fake sees it: with each operation, what the entry held at that moment.

use super::fixed::walk;
use crate::addr::Va;
use crate::fake::Asked::*;
use crate::fake::{Asked, Recorder};
use crate::snapshot::PageEntries;
use crate::stage2::*;
use std::vec::Vec;

const RAM: Ipa = Ipa(0x4000_0000);
/// Where the guest has mapped its page.
const VA: Option<Va> = Some(Va(0x7_5000));
const FRAMES: Pa = Pa(0x8000_0000);

fn stage2() -> Stage2 {
    Stage2::new(RAM, 3 * BLOCK_PAGES, FRAMES)
}

fn page(frame: u32) -> Descriptor {
    Descriptor::page(Pa(FRAMES.0 + u64::from(frame) * PAGE_SIZE))
}

/// What `change` asks for, each with what the leaf entry of `at` held then.
fn watch(
    s: &Stage2,
    at: Page,
    change: impl FnOnce(&mut Recorder<&dyn Fn() -> u64>),
) -> Vec<(Asked, Descriptor)> {
    let leaf = || read(s.leaf_entry(at)).0;
    let mut recorder = Recorder {
        asked: Vec::new(),
        watch: Some(&leaf as &dyn Fn() -> u64),
    };
    change(&mut recorder);
    recorder
        .asked
        .into_iter()
        .map(|(asked, seen)| (asked, Descriptor(seen)))
        .collect()
}

#[test]
fn another_frame_is_break_before_make() {
    let s = stage2();
    s.divide(5);
    s.set_page(5, Some(Frame(100)));
    let ipa = Ipa(RAM.0 + 5 * PAGE_SIZE);
    let asked = watch(&s, 5, |m| s.map_page_writable(m, 5, Frame(7)));
    let none = Descriptor::INVALID;
    assert_eq!(
        asked,
        [
            (StoresComplete, none),
            (InvalidateIpa(ipa), none),
            (InvalidationsComplete, none),
            (InvalidateStage1, none),
            (InvalidationsComplete, none),
            (StoresComplete, page(7).writable()),
        ]
    );
    assert_eq!(s.mapping(5), Mapping::Write);
    assert_eq!(
        s.translate(Ipa(ipa.0 + 9)),
        Some(Pa(FRAMES.0 + 7 * PAGE_SIZE + 9))
    );
}

#[test]
fn an_absent_page_needs_no_invalidation() {
    let s = stage2();
    let asked = watch(&s, 5, |m| s.map_page_writable(m, 5, Frame(7)));
    assert_eq!(asked, [(StoresComplete, page(7).writable())]);
    assert_eq!(s.mapping(6), Mapping::Absent);
    assert_eq!(s.mapping(BLOCK_PAGES), Mapping::AbsentBlock);
    assert_eq!(s.translate(RAM), None);
}

#[test]
fn a_wider_permission_drops_the_stale_entry_here() {
    let s = stage2();
    s.divide(5);
    s.set_page(5, Some(Frame(100)));
    let ipa = s.ipa(5);
    let asked = watch(&s, 5, |m| s.make_page_writable(m, 5, VA));
    let wide = page(100).writable();
    assert_eq!(
        asked,
        [(StoresComplete, wide), (InvalidateIpaHere(ipa, VA), wide)]
    );
}

#[test]
fn a_block_is_divided_behind_a_broken_entry() {
    let s = stage2();
    s.set_block(BLOCK_PAGES, Some(Frame(512)));
    let at = BLOCK_PAGES + 3;
    let asked = watch(&s, at, |m| s.split_live(m, at));
    let none = Descriptor::INVALID;
    assert_eq!(
        asked,
        [
            (StoresComplete, none),
            (InvalidateVm, none),
            (InvalidationsComplete, none),
        ]
    );
    for page in BLOCK_PAGES..2 * BLOCK_PAGES {
        assert_eq!(s.mapping(page), Mapping::Read(Frame(page)));
    }
}

#[test]
fn protection_holds_when_all_cores_have_forgotten() {
    let s = stage2();
    let asked = watch(&s, 5, |m| {
        s.map_page_writable(m, 5, Frame(7));
        s.pages().protect(5);
        s.end_protect(m);
    });
    assert_eq!(
        asked[1..],
        [
            (StoresComplete, page(7)),
            (InvalidateVm, page(7)),
            (InvalidationsComplete, page(7))
        ]
    );
    assert_eq!(s.mapping(5), Mapping::Read(Frame(7)));
}

/// Pages of the guest's tables may be among those that were written back.
#[test]
fn what_was_written_back_is_complete_before_stage_1_is_walked_anew() {
    let s = stage2();
    s.divide(5);
    s.set_page(5, Some(Frame(7)));
    let here = watch(&s, 5, |m| s.end_write_back(m, true)).into_iter();
    assert!(
        here.map(|(asked, _)| asked)
            .eq([StoresComplete, InvalidateStage1Here])
    );
    let all = watch(&s, 5, |m| s.end_write_back(m, false)).into_iter();
    assert!(all.map(|(asked, _)| asked).eq([
        StoresComplete,
        InvalidateStage1,
        InvalidationsComplete
    ]));
    assert!(!s.is_executable(5));
    watch(&s, 5, |m| s.make_executable(m, 5, VA));
    assert!(s.is_executable(5));
}

#[test]
fn many_changes_break_the_path() {
    let s = stage2();
    let path = || read(&s.level1.0[1]).0;
    let whole = path();
    let mut m = Recorder {
        asked: Vec::new(),
        watch: Some(path),
    };
    s.begin_remap(&mut m);
    s.divide(5);
    s.set_page(5, Some(Frame(7)));
    s.set_block(BLOCK_PAGES, Some(Frame(512)));
    s.end_remap(&mut m);
    assert_eq!(
        m.asked,
        [
            (StoresComplete, 0),
            (InvalidateVm, 0),
            (InvalidationsComplete, 0),
            (StoresComplete, 0),
            (StoresComplete, whole)
        ]
    );
    assert_eq!(s.mapping(BLOCK_PAGES + 1), Mapping::ReadBlock(Frame(512)));
    assert_eq!(s.mapping(4), Mapping::Absent);
}

#[test]
fn a_first_fetch_forgets_old_instructions_first() {
    let s = stage2();
    s.divide(5);
    s.set_page(5, Some(Frame(7)));
    let asked = watch(&s, 5, |m| s.make_executable(m, 5, VA));
    let wide = page(7).executable();
    assert_eq!(
        asked,
        [
            (InvalidateInstructions(s.pa(Frame(7)), PAGE_SIZE), page(7)),
            (StoresComplete, wide),
            (InvalidateIpaHere(s.ipa(5), VA), wide)
        ]
    );
    let again = watch(&s, 5, |m| s.make_executable(m, 5, VA));
    assert_eq!(again, [(InvalidateIpaHere(s.ipa(5), VA), wide)]);
    assert!(watch(&s, 6, |m| s.make_executable(m, 6, VA)).is_empty());
}

#[test]
fn only_ram_has_pages() {
    let s = stage2();
    assert_eq!(s.page_at(Ipa(RAM.0 - 1)), None);
    assert_eq!(s.page_at(RAM), Some(0));
    assert_eq!(
        s.page_at(Ipa(RAM.0 + 3 * BLOCK_SIZE - 1)),
        Some(3 * BLOCK_PAGES - 1)
    );
    assert_eq!(s.page_at(Ipa(RAM.0 + 3 * BLOCK_SIZE)), None);
}

#[test]
fn a_large_guest_loses_all_of_its_translations_while_many_change() {
    const GIB: u32 = 1 << 18;
    let pages = [0, GIB - 1, GIB, 3 * GIB + 5, 4 * GIB - 1];
    let s = Stage2::new(RAM, 4 * GIB, FRAMES);
    let there = || {
        let present = |page: &&Page| walk(&s, s.ipa(**page)).is_some();
        pages.iter().filter(present).count() as u64
    };
    let mut m = Recorder {
        asked: Vec::new(),
        watch: Some(&there as &dyn Fn() -> u64),
    };
    for (pages_before, frame) in [(0, 7), (5, 100)] {
        assert_eq!(there(), pages_before);
        s.begin_remap(&mut m);
        for (i, page) in pages.into_iter().enumerate() {
            s.divide(page);
            s.set_page(page, Some(Frame(frame + i as u32)));
        }
        assert_eq!(there(), 0, "nothing is seen half changed");
        s.end_remap(&mut m);
        for (i, page) in pages.into_iter().enumerate() {
            assert_eq!(s.mapping(page), Mapping::Read(Frame(frame + i as u32)));
        }
    }
    let seen: Vec<_> = m.asked.iter().map(|(_, seen)| *seen).collect();
    assert_eq!(seen, [0, 0, 0, 0, 5, 0, 0, 0, 0, 5]);
    assert_eq!(s.page_at(Ipa(RAM.0 + (4 << 30))), None);
}

#[test]
fn all_that_is_mapped_is_gone_through() {
    let s = stage2();
    let mut m = Recorder {
        asked: Vec::new(),
        watch: None::<fn() -> u64>,
    };
    // A block, pages of a second one, and nothing of a third.
    s.begin_remap(&mut m);
    s.set_block(0, Some(Frame(512)));
    s.end_remap(&mut m);
    for (page, frame) in [(BLOCK_PAGES, 3), (BLOCK_PAGES + 5, 1)] {
        s.map_page_writable(&mut m, page, Frame(frame));
    }
    let mut present = Vec::new();
    s.each_present(|at, bytes| present.push((at.0 - FRAMES.0, bytes)));
    let expected = [
        (512 * PAGE_SIZE, BLOCK_SIZE),
        (3 * PAGE_SIZE, PAGE_SIZE),
        (PAGE_SIZE, PAGE_SIZE),
    ];
    assert_eq!(present, expected);
}

#[test]
fn what_only_this_core_remembers_is_flushed_here() {
    let s = stage2();
    let asked = watch(&s, 5, |m| s.invalidate_local(m, 5, VA));
    assert_eq!(
        asked,
        [(InvalidateIpaHere(s.ipa(5), VA), Descriptor::INVALID)]
    );
}

/// D8.5, "Stage 2 memory region attributes" and "Stage 2 permissions"; D8.3, the descriptors.
#[test]
fn descriptors_are_what_the_architecture_says() {
    let at = Pa(0x8060_0000);
    // XN[1]; AF; SH 0b11, Inner Shareable; S2AP 0b01, read; MemAttr 0b1111, Write-Back.
    let ram = at.0 | 1 << 54 | 1 << 10 | 0b11 << 8 | 0b01 << 6 | 0b1111 << 2;
    let (page, block) = (Descriptor::page(at), Descriptor::block(at));
    assert_eq!((page.0, block.0), (ram | 0b11, ram | 0b01));
    assert_eq!(Descriptor::table(at).0, at.0 | 0b11);
    assert_eq!(page.writable().0, page.0 | 0b10 << 6);
    assert_eq!(page.executable().0, page.0 & !(1 << 54));
    // What is so already stays so.
    assert_eq!(page.writable().writable(), page.writable());
    assert_eq!(page.executable().executable(), page.executable());
    assert_eq!(page.writable().read_only().read_only(), page);
    assert_eq!((block.as_page(), page.as_page()), (page, page));
    for descriptor in [page, block, page.writable().executable()] {
        assert_eq!(descriptor.address(), at);
    }
}
