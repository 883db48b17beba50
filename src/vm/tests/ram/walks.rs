//! Faults of stage 2 on stage 1's behalf: which page they are about, and what a table walk finds.

use super::*;

#[test]
fn a_permission_faults_page_is_what_stage_1_says() {
    let mut guest = with_snapshot();
    let abort = permission_fault(&mut guest, DATA);
    guest.core().stage1 = |va, _| Some(Ipa(va.0 - 0xffff_0000_0000_0000 + DATA));
    let before = guest.state();
    let aliased = Abort {
        far: 0xffff_0000_0000_0123,
        ..abort
    };
    assert_eq!(guest.trap(aliased.trap()), ExitAction::Resume);
    assert_eq!(guest.state(), before);
    // By another address the page may fault once more.
    guest.core().stage1 = |va, _| Some(Ipa(va.0));
    let asked = guest.watched(DATA, |guest| guest.store(DATA, 20));
    assert!(
        matches!(asked[..], [] | [(InvalidateIpaHere(..), _)]),
        "{asked:?}"
    );
}

#[test]
fn where_stage_1_knows_nothing_the_guest_tries_again() {
    let mut guest = with_snapshot();
    let store = permission_fault(&mut guest, DATA);
    guest.core().stage1 = |_, _| None;
    for abort in [
        store,
        Abort {
            write: false,
            fetch: true,
            ..store
        },
    ] {
        let before = guest.state();
        let asked = guest.watched(DATA, |guest| {
            assert_eq!(guest.trap(abort.trap()), ExitAction::Resume);
        });
        assert_eq!(asked, []);
        assert_eq!(guest.state(), before);
    }
}

#[test]
fn a_permission_fault_on_a_table_walk_is_a_store_to_the_table() {
    let mut guest = with_snapshot();
    let fault = permission_fault(&mut guest, DATA);
    // The register says where; stage 1 is not asked, and the instruction only read.
    guest.core().stage1 = |_, _| panic!("HPFAR_EL2 is valid");
    let walk = Abort {
        far: 0x1234_5678,
        ipa: Ipa(DATA),
        s1ptw: true,
        write: false,
        ..fault
    };
    let before = guest.state();
    assert_eq!(guest.trap(walk.trap()), ExitAction::Resume);
    assert_eq!(guest.state(), before);
    assert!(guest.board().access(Ipa(DATA), Access::Store).is_ok());
}

#[test]
fn so_it_is_when_the_walk_was_a_fetchs() {
    let mut guest = with_snapshot();
    let fault = permission_fault(&mut guest, DATA);
    let walk = Abort {
        ipa: Ipa(DATA),
        s1ptw: true,
        fetch: true,
        write: false,
        ..fault
    };
    assert_eq!(guest.trap(walk.trap()), ExitAction::Resume);
    assert!(guest.board().access(Ipa(DATA), Access::Store).is_ok());
}

#[test]
fn a_table_walk_through_untouched_ram_reads_zeros() {
    for write in [false, true] {
        let mut guest = Guest::new();
        let walk = Abort {
            far: 0x1234_5678,
            s1ptw: true,
            write,
            ipa: Ipa(UNTOUCHED & !0xfff),
            ..Abort::load(0)
        };
        let before = guest.state();
        // As often as it takes pieces.
        for _ in 0..4 {
            assert_eq!(guest.trap(walk.trap()), ExitAction::Resume);
            assert_eq!(guest.state(), before);
        }
        assert_eq!(
            guest.watched(UNTOUCHED, |g| assert_eq!(g.load(UNTOUCHED), 0)),
            []
        );
    }
}
