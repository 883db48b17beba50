//! The monitor: the lines that an operator types, and what the VMs are asked for them.
//!
//! [`execute`] takes a line, asks an [`Operator`] and prints. Where lines come from is [`console`](crate::console)'s.

mod command;
mod operator;
mod report;
mod tree;

#[cfg(test)]
mod tests;

pub use command::{Command, Mistake, Vms, each_completion};
pub use operator::{Operator, Refusal, SnapshotInfo, Status, Vcpu, VcpuState, VmState, VmStats};

use crate::limits::VMS_MAX;
use core::fmt::{self, Write};

/// What comes after a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next line.
    Stay,
    /// The keyboard goes back to the VM.
    Leave,
}

/// Does what `line` says, and prints what came of it on `out`, in whole lines that end in `\n`. A line that says nothing
/// sensible does nothing, and gets one line that says what is wrong and what is allowed.
pub fn execute(line: &str, operator: &mut impl Operator, out: &mut impl Write) -> Next {
    let mut names = [""; VMS_MAX];
    let vms = operator.vms().min(VMS_MAX);
    for (vm, name) in names.iter_mut().enumerate().take(vms) {
        *name = operator.name(vm);
    }
    let vms = Vms {
        names: &names[..vms],
        attached: operator.attached(),
    };
    // A place to print that fails has nobody who could be told.
    match Command::parse(line, vms) {
        Ok(command) => {
            let _ = obey(command, operator, out);
            match command {
                Command::Quit | Command::Attach(_) => Next::Leave,
                _ => Next::Stay,
            }
        }
        Err(mistake) => {
            let _ = writeln!(out, "{mistake}");
            Next::Stay
        }
    }
}

fn obey(command: Command, operator: &mut impl Operator, out: &mut impl Write) -> fmt::Result {
    match command {
        Command::Help => command::help(out),
        Command::Vms => report::vms(operator, out),
        Command::Snapshots(vm) => tree::draw(vm, operator, out),
        Command::Stats(vm) => report::stats(vm, operator, out),
        Command::Quit => Ok(()),
        Command::Attach(vm) => {
            operator.attach(vm);
            writeln!(out, "{} has the keyboard", operator.name(vm))
        }
        Command::Checkpoint(vm) => {
            let done = operator.checkpoint(vm);
            outcome(vm, done, operator, out, |out, id| {
                write!(out, "is saved as snapshot #{id}")
            })
        }
        Command::Restore(vm, which) => {
            let done = operator.restore(vm, which);
            outcome(vm, done, operator, out, |out, id| {
                write!(out, "is back at snapshot #{id}")
            })
        }
        Command::Delete(vm, id) => {
            let done = operator.delete(vm, id);
            outcome(vm, done, operator, out, |out, ()| {
                write!(out, "has no snapshot #{id} any more")
            })
        }
        Command::Pause(vm) => {
            let done = operator.pause(vm);
            outcome(vm, done, operator, out, |out, ()| {
                out.write_str("is paused")
            })
        }
        Command::Resume(vm) => {
            let done = operator.resume(vm);
            outcome(vm, done, operator, out, |out, ()| out.write_str("goes on"))
        }
        Command::Reset(vm) => {
            let done = operator.reset(vm);
            let says = match operator.status(vm).state {
                VmState::Running => "starts from its image",
                VmState::Paused => "starts from its image when it is resumed: it is paused",
                VmState::Off => "does not start again: it is off",
            };
            outcome(vm, done, operator, out, |out, ()| out.write_str(says))
        }
    }
}

/// One line that begins with the VM's name: what was done, or why it was not.
fn outcome<T, W: Write>(
    vm: usize,
    done: Result<T, Refusal>,
    operator: &impl Operator,
    out: &mut W,
    say: impl FnOnce(&mut W, T) -> fmt::Result,
) -> fmt::Result {
    write!(out, "{} ", operator.name(vm))?;
    match done {
        Ok(value) => say(out, value)?,
        Err(refusal) => write!(out, "{refusal}")?,
    }
    out.write_char('\n')
}
