//! What a file that implements a device has for the table of devices.

use super::Console;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A device whose state is the implementing type: plain data of fixed size without pointers, which a snapshot copies as it is. The default is
/// the state after a reset.
///
/// Registers are 32 bits wide. What a device does to the world outside goes through [`Console`], which a snapshot does not take back.
pub trait Emulated: Copy + Default + FromBytes + IntoBytes + Immutable + KnownLayout {
    /// The device's node in the guest's device tree.
    const NODE: TreeNode;

    /// Reads the register at `offset`, a multiple of 4; 0 where there is none.
    fn read(&mut self, offset: u64, console: &mut impl Console) -> u32;

    /// Writes the register at `offset`, a multiple of 4; ignored where there is none.
    fn write(&mut self, offset: u64, value: u32, console: &mut impl Console);

    /// Whether its interrupt line is up. Asked after each access, and after [`pull_input`](Self::pull_input).
    fn irq_line(&self) -> bool;

    /// The console has input, of which it takes as much as there is room for; or has sent some of what waited.
    fn pull_input(&mut self, console: &mut impl Console);

    /// Whether its driver waits for an interrupt when there is input, or room for output: the driver does not come and look by itself.
    fn is_interrupted_by_console(&self) -> bool;
}

/// What a node of the guest's device tree says besides region and interrupt, which are in the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TreeNode {
    /// The node's name in front of its address.
    pub name: &'static str,
    /// `compatible`, the most specific first.
    pub compatible: &'static [&'static str],
    /// `clock-names`: the clocks that the device is fed with, all of them the machine's fixed one.
    pub clocks: &'static [&'static str],
}
