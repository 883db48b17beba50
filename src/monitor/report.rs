//! Tables of VMs, and what one of them amounts to.

use core::fmt::{self, Display, Write};

use super::{VcpuState, VmControl, VmState};
use crate::addr::PAGE_SIZE;

/// Prints the VMs, one a line, and marks the attached one.
pub fn vms(control: &mut impl VmControl, out: &mut impl Write) -> fmt::Result {
    let width = (0..control.vms()).map(|vm| control.name(vm).len()).max();
    let width = width.unwrap_or(0).max("name".len());
    let name = "name";
    writeln!(
        out,
        "     {name:<width$}  state         RAM  snapshots  vCPUs"
    )?;
    for vm in 0..control.vms() {
        let status = control.status(vm);
        let mark = if vm == control.attached() { '*' } else { ' ' };
        let state = match status.state {
            VmState::Running => "running",
            VmState::Paused => "paused",
            VmState::Stopped => "stopped",
            VmState::Off => "off",
        };
        write!(
            out,
            "{mark} {vm}  {:<width$}  {state:<7}  {:>8}  {:>9}  ",
            control.name(vm),
            Bytes(status.memory),
            status.snapshots
        )?;
        for number in 0..status.vcpus {
            let vcpu = control.vcpu_status(vm, number);
            let separator = if number == 0 { "" } else { ", " };
            match vcpu.state {
                VcpuState::On | VcpuState::Waiting if status.state == VmState::Paused => {
                    write!(out, "{separator}{number} paused on core {}", vcpu.core)?;
                }
                VcpuState::On => write!(out, "{separator}{number} on core {}", vcpu.core)?,
                VcpuState::Waiting => {
                    write!(out, "{separator}{number} waiting on core {}", vcpu.core)?;
                }
                VcpuState::Off => write!(out, "{separator}{number} off")?,
            }
        }
        out.write_char('\n')?;
    }
    Ok(())
}

/// Prints what a VM and its snapshots take.
pub fn stats(vm: usize, control: &mut impl VmControl, out: &mut impl Write) -> fmt::Result {
    let stats = control.stats(vm);
    let kept = stats.snapshots;
    let name = control.name(vm);
    writeln!(
        out,
        "{name}: {} in {} hold {} ({}); room for {} more ({})",
        Count(kept.snapshots, "snapshot"),
        Count(kept.pools, "pool"),
        Count(kept.kept_pages, "page"),
        Bytes(u64::from(kept.kept_pages) * PAGE_SIZE),
        kept.free_pages,
        Bytes(u64::from(kept.free_pages) * PAGE_SIZE),
    )?;
    writeln!(
        out,
        "{name}: taken back {}, {} to EL2",
        Count(stats.generation, "time"),
        Count(stats.exits, "exit"),
    )
}

/// A number of things.
struct Count<N>(N, &'static str);

impl<N: Display + PartialEq + From<u8>> Display for Count<N> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self(number, thing) = self;
        let plural = if *number == N::from(1) { "" } else { "s" };
        write!(f, "{number} {thing}{plural}")
    }
}

/// Bytes, in the largest unit that leaves no fraction.
struct Bytes(u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        let whole = |shift: u32| self.0 != 0 && self.0.trailing_zeros() >= shift;
        let (shift, unit) = units
            .into_iter()
            .find(|(shift, _)| whole(*shift))
            .unwrap_or((0, "B"));
        f.pad(&alloc::format!("{} {unit}", self.0 >> shift))
    }
}
