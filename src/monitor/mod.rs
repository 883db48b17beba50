//! The monitor: the lines that an operator types, and what the VMs are asked for them.
//!
//! [`execute`] takes a line, asks a [`VmControl`] and prints. Where lines come from is [`console`](crate::console)'s.

mod command;
mod control;
mod report;
mod tree;

#[cfg(test)]
mod tests;

pub use command::{Command, Mistake, Vms, each_completion};
pub use control::{
    Refusal, SnapshotInfo, VcpuState, VcpuStatus, VmControl, VmState, VmStats, VmStatus,
};

use crate::limits::VMS_MAX;
use core::fmt::{self, Write};

/// What the terminal does after a line of the monitor is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterLine {
    /// Shows the prompt again.
    Stay,
    /// Gives the keyboard back to the VM.
    Leave,
}

/// Does what `line` says, and prints what came of it on `out`, in whole lines that end in `\n`. A line that says nothing
/// sensible does nothing, and gets one line that says what is wrong and what is allowed.
pub fn execute(line: &str, control: &mut impl VmControl, out: &mut impl Write) -> AfterLine {
    let mut names = [""; VMS_MAX];
    let vms = control.vms().min(VMS_MAX);
    for (vm, name) in names.iter_mut().enumerate().take(vms) {
        *name = control.name(vm);
    }
    let vms = Vms {
        names: &names[..vms],
        attached: control.attached(),
    };
    // If printing fails, there is no place left to say so.
    match Command::parse(line, vms) {
        Ok(command) => {
            let _ = carry_out(command, control, out);
            match command {
                Command::Quit => AfterLine::Leave,
                Command::Attach(vm) if control.attached() == vm => AfterLine::Leave,
                _ => AfterLine::Stay,
            }
        }
        Err(mistake) => {
            let _ = writeln!(out, "{mistake}");
            AfterLine::Stay
        }
    }
}

fn carry_out(command: Command, control: &mut impl VmControl, out: &mut impl Write) -> fmt::Result {
    match command {
        Command::Help => command::help(out),
        Command::Vms => report::vms(control, out),
        Command::Snapshots(vm) => tree::draw(vm, control, out),
        Command::Stats(vm) => report::stats(vm, control, out),
        Command::Quit => Ok(()),
        Command::Attach(vm) => {
            let done = control.attach(vm);
            print_done(vm, done, "has the keyboard", control, out)
        }
        Command::Checkpoint(vm) => {
            let done = control.checkpoint(vm);
            print_outcome(vm, done, control, out, |out, id| {
                write!(out, "is saved as snapshot #{id}")
            })
        }
        Command::Restore(vm, which) => {
            let done = control.restore(vm, which);
            print_outcome(vm, done, control, out, |out, id| {
                write!(out, "is back at snapshot #{id}")
            })
        }
        Command::Delete(vm, id) => {
            let done = control.delete(vm, id);
            print_outcome(vm, done, control, out, |out, ()| {
                write!(out, "has no snapshot #{id} any more")
            })
        }
        Command::Pause(vm) => {
            let done = control.pause(vm);
            print_done(vm, done, "is paused", control, out)
        }
        Command::Resume(vm) => {
            let done = control.resume(vm);
            print_done(vm, done, "goes on", control, out)
        }
        Command::Reset(vm) => {
            let done = control.reset(vm);
            let says = match control.status(vm).state {
                VmState::Running => "starts from its image",
                VmState::Paused => "starts from its image when it is resumed: it is paused",
                VmState::Stopped => "starts from its image when its controller runs it",
                VmState::Off => "does not start again: it is off",
            };
            print_done(vm, done, says, control, out)
        }
    }
}

/// The same where there is nothing to add to what was done.
#[inline(never)]
fn print_done(
    vm: usize,
    done: Result<(), Refusal>,
    says: &str,
    control: &impl VmControl,
    out: &mut impl Write,
) -> fmt::Result {
    print_outcome(vm, done, control, out, |out, ()| out.write_str(says))
}

/// One line that begins with the VM's name: what was done, or why it was not.
fn print_outcome<T, W: Write>(
    vm: usize,
    done: Result<T, Refusal>,
    control: &impl VmControl,
    out: &mut W,
    say: impl FnOnce(&mut W, T) -> fmt::Result,
) -> fmt::Result {
    write!(out, "{} ", control.name(vm))?;
    match done {
        Ok(value) => say(out, value)?,
        Err(refusal) => write!(out, "{refusal}")?,
    }
    out.write_char('\n')
}
