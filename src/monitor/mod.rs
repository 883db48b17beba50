//! The monitor: the lines that an operator types, and what the VMs are asked for them.

mod operator;

pub use operator::{Operator, Refusal, SnapshotInfo, Status, Vcpu, VcpuState, VmState, VmStats};
