//! Accesses to where the machine has nothing, and to a device by instructions that cannot be emulated.

use super::guest::*;
use crate::addr::Ipa;
use crate::device::UART_BASE;
use crate::fake::abort::{self, Abort};
use crate::trap::Access;
use crate::vm::ExitAction;

const UART: u64 = UART_BASE.0;
/// EL1h, EL1t, EL0, and EL0 in A32 and T32: PSTATE, the vector's offset, and whether an abort comes from a lower level.
const ORIGINS: [(u64, u64, bool); 5] = [
    (0x6000_03c5, 0x200, false),
    (0x8000_0344, 0x000, false),
    (0x2000_0000, 0x400, true),
    (0x4000_0010, 0x600, true),
    (0x4000_0030, 0x600, true),
];

const WORD: Access = Access {
    size: 4,
    reg: 5,
    sign_extend: false,
    sixty_four: true,
};

/// The guest is in its handler, and knows why; all else is as it was. `esr` is the syndrome of the same level.
fn taken(abort: Abort, esr: u64, far: Option<u64>) {
    for (pstate, offset, lower) in ORIGINS {
        let mut guest = Guest::new();
        guest.scramble(pstate);
        guest.registers().pstate = pstate;
        let mut expected = guest.state();
        let asked = guest.watched(RAM, |guest| {
            assert_eq!(guest.trap(abort.trap()), ExitAction::Resume);
        });
        assert_eq!(asked, []);
        let class_difference = if lower { 1 << 26 } else { 0 };
        expected.system.esr = esr - class_difference;
        expected.system.elr = expected.registers.pc;
        expected.system.spsr = pstate;
        if let Some(far) = far {
            expected.system.far = far;
        }
        expected.registers.pc = expected.system.vbar + offset;
        expected.registers.pstate = pstate & 0xf000_0000 | 0x3c5;
        assert_eq!(guest.state(), expected, "{abort:x?} from {pstate:#x}");
    }
}

#[test]
fn loads_and_stores() {
    let last_before_pcie = 0x0fff_fffc;
    for at in [HOLE, last_before_pcie, RAM + RAM_SIZE, 0x1234_5678_9abc] {
        for access in [None, Some(WORD)] {
            let load = Abort {
                access,
                ..Abort::load(at)
            };
            taken(load, 0x9600_0010, Some(at));
            let store = Abort {
                access,
                ..Abort::store(at)
            };
            taken(store, 0x9600_0050, Some(at));
        }
    }
}

/// What `virt` has and this machine has not answers loads and stores, and nothing else.
#[test]
fn absent_devices() {
    for (at, value) in [
        (0, 0),
        (RAM - 4, 0xffff_ffff),
        (0x40_1000_0000, 0xffff_ffff),
    ] {
        let mut guest = Guest::new();
        let pc = guest.registers().pc;
        let access = Some(WORD);
        let store = Abort {
            access,
            ..Abort::store(at)
        };
        assert_eq!(guest.trap(store.trap()), ExitAction::Resume);
        let load = Abort {
            access,
            ..Abort::load(at)
        };
        assert_eq!(guest.trap(load.trap()), ExitAction::Resume);
        assert_eq!(
            (guest.registers().x[5], guest.registers().pc),
            (value, pc + 8)
        );

        let pair = Abort {
            access: None,
            ..load
        };
        taken(pair, 0x9600_0010, Some(at));
        taken(Abort::fetch(at), 0x8600_0010, Some(at));
    }
}

#[test]
fn the_virtual_address_is_reported() {
    let mapped_elsewhere = Abort {
        far: 0xffff_8000_0000_0abc,
        ..Abort::load(HOLE)
    };
    taken(mapped_elsewhere, 0x9600_0010, Some(0xffff_8000_0000_0abc));
}

#[test]
fn address_size_faults_are_holes() {
    let far_out = Abort {
        status: 0,
        ..Abort::load(1 << 44)
    };
    taken(far_out, 0x9600_0010, Some(1 << 44));
}

#[test]
fn fetches() {
    for at in [HOLE, UART] {
        taken(Abort::fetch(at), 0x8600_0010, Some(at));
    }
}

#[test]
fn table_walks() {
    for at in [HOLE, UART] {
        let walk = Abort {
            far: 0x7654_3210,
            s1ptw: true,
            ..Abort::load(at)
        };
        taken(walk, 0x9600_0017, Some(0x7654_3210));
        // Whatever the instruction was that needed the walk.
        let described = Abort {
            access: Some(WORD),
            ..walk
        };
        taken(described, 0x9600_0017, Some(0x7654_3210));
        let fetch = Abort {
            fetch: true,
            ..walk
        };
        taken(fetch, 0x8600_0017, Some(0x7654_3210));
        // WnR is the instruction's, though its walk only reads.
        let store = Abort {
            write: true,
            ..walk
        };
        taken(store, 0x9600_0057, Some(0x7654_3210));
    }
}

#[test]
fn a_device_by_an_instruction_without_syndrome() {
    taken(Abort::load(UART + 0x18), 0x9600_0010, Some(UART + 0x18));
    taken(Abort::store(UART), 0x9600_0050, Some(UART));
}

#[test]
fn an_external_abort_without_an_address_has_none_for_the_guest() {
    let unknown = Abort {
        status: abort::EXTERNAL,
        far: 0xbad,
        far_not_valid: true,
        ..Abort::load(HOLE)
    };
    taken(unknown, 0x9600_0410, None);
}

#[test]
fn cache_maintenance_is_stepped_over() {
    for at in [HOLE, UART, RAM - 0x1000] {
        let mut guest = Guest::new();
        guest.scramble(1);
        let mut expected = guest.state();
        let maintenance = Abort {
            cache_op: true,
            ..Abort::store(at)
        };
        assert_eq!(guest.trap(maintenance.trap()), ExitAction::Resume);
        expected.registers.pc += 4;
        assert_eq!(guest.state(), expected);
        assert!(guest.board().printed.is_empty());
    }
}

#[test]
fn but_not_if_its_table_walk_went_there() {
    let walk = Abort {
        far: 0x7654_3210,
        s1ptw: true,
        cache_op: true,
        ..Abort::store(HOLE)
    };
    taken(walk, 0x9600_0157, Some(0x7654_3210));
}

#[test]
fn cache_maintenance_in_ram_makes_the_page_accessible() {
    let mut guest = Guest::new();
    let before = guest.state();
    let maintenance = Abort {
        cache_op: true,
        ipa: Ipa(UNTOUCHED),
        ..Abort::store(UNTOUCHED)
    };
    // As often as it takes pieces.
    for _ in 0..4 {
        assert_eq!(guest.trap(maintenance.trap()), ExitAction::Resume);
        assert_eq!(guest.state(), before, "the guest does it again");
    }
    assert_eq!(guest.watched(UNTOUCHED, |g| g.store(UNTOUCHED, 1)), []);
}
