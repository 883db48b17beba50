//! vCPUs go to the cores that the configuration names, or to all in turn.

use super::guest::PLAN;
use crate::config::VmConfig;
use crate::vm::{check_cores, core_of};
use std::string::ToString;
use std::vec;
use std::vec::Vec;

fn vm(vcpus: u32, cores: &'static [usize]) -> VmConfig {
    VmConfig {
        vcpus,
        cores,
        ..PLAN
    }
}

fn pinned(vms: &[VmConfig], cores: usize) -> Vec<Vec<usize>> {
    check_cores(vms, cores).unwrap();
    let pinned = |(number, vm): (usize, &VmConfig)| {
        let vcpus = 0..vm.vcpus as usize;
        vcpus
            .map(|vcpu| core_of(vms, cores, number, vcpu))
            .collect()
    };
    vms.iter().enumerate().map(pinned).collect()
}

#[test]
fn without_names_all_cores_take_turns() {
    let vms = [vm(3, &[]), vm(1, &[]), vm(2, &[])];
    assert_eq!(pinned(&vms, 4), [vec![0, 1, 2], vec![3], vec![0, 1]]);
    assert_eq!(pinned(&vms, 1), [vec![0; 3], vec![0], vec![0; 2]]);
}

#[test]
fn what_is_named_is_taken_in_turn_and_moves_no_other_vm() {
    let vms = [vm(1, &[]), vm(5, &[3, 1]), vm(2, &[2]), vm(2, &[])];
    let expected = [vec![0], vec![3, 1, 3, 1, 3], vec![2, 2], vec![1, 2]];
    assert_eq!(pinned(&vms, 4), expected);
}

#[test]
fn a_core_that_is_not_there_is_named() {
    let vms = [vm(1, &[3]), vm(2, &[0, 7])];
    assert!(check_cores(&vms, 8).is_ok());
    let error = |cores| check_cores(&vms, cores).unwrap_err().to_string();
    assert_eq!(
        error(4),
        "test: `cores` names core 7, and the machine's last is core 3"
    );
    assert_eq!(
        error(3),
        "test: `cores` names core 3, and the machine's last is core 2"
    );
}
