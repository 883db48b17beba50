//! The board's cores.

use super::node::{children, number, property, string};
use super::{Tree, TreeNode};

/// A core as the tree describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Core {
    /// The affinity fields of its MPIDR_EL1.
    pub affinity: u64,
    /// How it is started.
    pub start: Start,
}

/// How a core is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// PSCI CPU_ON.
    Psci,
    /// It polls this address for where to go.
    SpinTable(u64),
    /// In no way that is known here; of the boot core the tree need not say.
    Unknown,
}

impl Tree<'_> {
    /// Calls `f` with each core that is not broken, in the tree's order.
    pub fn each_core(&self, mut f: impl FnMut(Core)) {
        let Some(cpus) = self.node("/cpus") else {
            return;
        };
        for cpu in children(&cpus).filter(is_core) {
            if let Some(affinity) = property(&cpu, "reg").map(number) {
                let start = start(&cpu);
                f(Core { affinity, start });
            }
        }
    }
}

/// A core, and none that failed a test of the firmware. (A disabled one is off and may be started.)
fn is_core(node: &TreeNode) -> bool {
    let failed = string(node, "status").is_some_and(|status| status.starts_with("fail"));
    string(node, "device_type") == Some("cpu") && !failed
}

fn start(cpu: &TreeNode) -> Start {
    match string(cpu, "enable-method") {
        Some("psci") => Start::Psci,
        Some("spin-table") => property(cpu, "cpu-release-addr")
            .map(number)
            .map_or(Start::Unknown, Start::SpinTable),
        _ => Start::Unknown,
    }
}
