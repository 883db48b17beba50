//! What the guest `self-test` says at its end.

use crate::transcript::Transcript;

/// All groups of the self-test have passed, and the board is off.
#[track_caller]
pub fn check_self_test(run: &Transcript) {
    run.powers_off();
    check_groups(run);
}

/// All groups of the self-test have passed.
#[track_caller]
pub fn check_groups(run: &Transcript) {
    let lines: Vec<&str> = run.guest_lines().collect();
    let (sum, groups) = lines.split_last().unwrap_or((&"", &[]));
    let passed = |line: &&str| line.starts_with("self-test: ") && line.ends_with(": PASS");
    run.require(groups.iter().all(passed), "every group should have passed");
    run.require(groups.len() >= 20, "there should be more groups");
    let expected = format!("self-test: {} passed, 0 failed", groups.len());
    run.require(*sum == expected, "the sum should be another");
}
