//! Calls that have nothing to do with snapshots: other immediates, SMC, versions.

use super::guest::*;
use crate::hvc::ids;
use crate::vm::ExitAction;

const SMCCC_VERSION: u64 = ids::SMCCC_VERSION.0 as u64;

/// `smc #immediate`: unlike after an HVC, the trap's return address is the instruction.
fn smc(guest: &mut Guest, immediate: u64) -> ExitAction {
    guest.exception(0x17, immediate)
}

#[test]
fn other_immediates_answer_not_supported_and_nothing_else() {
    let mut guest = Guest::new();
    for immediate in [3, 5, 0x100, 0x4242, 0xffff] {
        guest.scramble(immediate.into());
        // What would be a call with another immediate.
        guest.registers().x[0] = 0x8400_0008;
        let mut before = guest.state();
        assert_eq!(guest.hvc(immediate), ExitAction::Resume);
        before.registers.pc += 4;
        before.registers.x[0] = NOT_SUPPORTED;
        assert_eq!(guest.state(), before);
    }
}

#[test]
fn names_that_nobody_owns_change_x0_alone() {
    let mut guest = Guest::new();
    for function in [
        0,
        0x8600_0000,
        0xc600_0008,
        0xc600_0000,
        0x3200_0000,
        0xffff_ffff,
    ] {
        guest.scramble(function);
        let x = guest.registers().x;
        let results = guest.smccc(function, &[]);
        assert_eq!(results, [NOT_SUPPORTED, x[1], x[2], x[3]], "{function:#x}");
    }
}

#[test]
fn versions_and_uid_set_as_many_registers_as_they_define() {
    let mut guest = Guest::new();
    guest.scramble(1);
    let x = guest.registers().x;
    assert_eq!(
        guest.smccc(SMCCC_VERSION, &[]),
        [0x1_0002, x[1], x[2], x[3]]
    );
    assert_eq!(guest.smccc(0x8400_0000, &[]), [0x1_0001, x[1], x[2], x[3]]);
    assert_eq!(guest.smccc(0x8600_ff00, &[])[0], 25);
    assert_eq!(guest.smccc(0x8600_ff03, &[]), [1, 2, x[2], x[3]]);
    let uid = guest.smccc(0x8600_ff01, &[]);
    assert_eq!(uid, [0xb61b_3f57, 0x1447_db71, 0xda43_dd86, 0x9389_b127]);
}

#[test]
fn smc_0_answers_as_hvc_0_and_is_stepped_over() {
    let mut guest = Guest::new();
    guest.scramble(1);
    guest.registers().x[0] = SMCCC_VERSION;
    let mut expected = guest.state();
    assert_eq!(smc(&mut guest, 0), ExitAction::Resume);
    expected.registers.pc += 4;
    expected.registers.x[0] = 0x1_0002;
    assert_eq!(guest.state(), expected);
}

#[test]
fn a_checkpoint_by_smc_goes_on_behind_it() {
    let mut guest = Guest::new();
    guest.scramble(1);
    guest.registers().x[0] = CHECKPOINT;
    let mut expected = guest.state();
    smc(&mut guest, 0);
    let id = guest.registers().x[0];
    expected.registers.pc += 4;
    [expected.registers.x[0], expected.registers.x[1]] = [id, 0];
    assert_eq!(guest.state(), expected);
    guest.scramble(2);
    guest.registers().x[..3].copy_from_slice(&[RESTORE, id, 3]);
    smc(&mut guest, 0);
    expected.registers.x[1] = 3;
    assert_eq!(guest.state(), expected, "not stepped twice");
}

#[test]
fn smc_with_another_immediate_is_no_snapshot_call() {
    let mut guest = Guest::new();
    let id = guest.checkpoint();
    for immediate in [1, 2, 3, 0xffff] {
        guest.scramble(immediate);
        guest.registers().x[0] = id;
        let mut expected = guest.state();
        assert_eq!(smc(&mut guest, immediate), ExitAction::Resume);
        expected.registers.pc += 4;
        expected.registers.x[0] = NOT_SUPPORTED;
        assert_eq!(guest.state(), expected);
    }
    assert_eq!(guest.smccc(STATS, &[])[0], 1);
    assert_eq!(guest.smccc(GENERATION, &[])[0], 0);
}
