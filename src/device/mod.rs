//! The devices of a VM: a closed set, each with its place in the guest's address space.
//!
//! [`Region`] says what an address belongs to.
//!
//! | what answers | where it is | where its state is |
//! | --- | --- | --- |
//! | an emulated device | a row of the [`table`](self::Device), and the file that the row names | [`Devices`] |
//! | the interrupt controller | [`gic`] | there |
//! | nothing, but as in an empty `virt` | [`Absent`] | it has none |
//!
//! [Windows](Window) are not in it: which a VM has, its configuration says.
//!
//! A vCPU's own devices, [`timer`] and [`debug`], are reached by system registers; what a controller has in place of the latter is [`caught`].
//!
//! # A new device
//!
//! A new device is one file, which implements [`Emulated`], and one row in `table.rs`: where its registers are, and its interrupt. Dispatch,
//! interrupt line, saved state and the node in the guest's device tree follow from the two.
//!
//! A device never has an address of the host's memory. If it is to write guest memory, the way is `vm::VmShared::write_ram`: it makes each page
//! accessible as a store of the guest would, so that the page maps know of it and no snapshot changes.

mod absent;
pub mod caught;
pub mod debug;
mod emulated;
pub mod gic;
pub mod pl011;
mod registers;
mod table;
pub mod timer;
mod window;

pub use absent::{Absent, PCIE_CONFIGURATION, PCIE_HIGH_MEMORY, PCIE_MEMORY, PCIE_PORTS};
pub use emulated::{Emulated, TreeNode};
pub use table::{Device, DeviceRow, Devices, UART_BASE};
pub use window::{WINDOW_STRIDE, WINDOWS_BASE, Window};

use crate::addr::Ipa;

/// Where characters of a VM go, and come from.
pub trait Console {
    /// Takes a character. Never refuses: a console that cannot keep up waits, or drops what its queue has no room for ([`unsent`](Self::unsent)).
    fn put(&mut self, byte: u8);

    /// How many of the characters that [`put`](Self::put) took wait in a queue, not sent yet: up to [`UNSENT_MAX`](pl011::UNSENT_MAX), which
    /// is all that the queue holds. 0 for a console without a queue.
    fn unsent(&self) -> u32 {
        0
    }

    /// The VM goes on from elsewhere: the rest of a control sequence whose beginning [`put`](Self::put) took does not come.
    fn abandon_sequence(&mut self);

    /// The next character that was typed, if there is one. Does not wait.
    fn get(&mut self) -> Option<u8>;

    /// Whether [`get`](Self::get) may have a character. `false` is sure, and takes less time to find out.
    fn may_have_input(&self) -> bool {
        true
    }

    /// Whether [`get`](Self::get) has nothing, and [`unsent`](Self::unsent) is 0. `true` is sure, and takes less time to find out.
    fn is_quiet(&self) -> bool {
        false
    }
}

/// First address of the GIC's distributor.
pub const DISTRIBUTOR_BASE: Ipa = Ipa(0x0800_0000);
/// Bytes of its region. The registers are in the first 4 KiB, the rest reads as zero.
pub const DISTRIBUTOR_SIZE: u64 = 0x1_0000;
/// First address of the GIC's CPU interface, whose first page stage 2 maps to hardware: nothing of that is emulated.
pub const CPU_INTERFACE_BASE: Ipa = Ipa(0x0801_0000);
/// Bytes of it that are mapped.
pub const CPU_INTERFACE_SIZE: u64 = 0x1000;
/// Its second page, with GICC_DIR alone; nothing in the rest of its 64 KiB, as in `virt`.
pub const DEACTIVATION_BASE: Ipa = Ipa(0x0801_1000);
/// Bytes of that page.
pub const DEACTIVATION_SIZE: u64 = 0x1000;

/// What answers at an address of the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Region {
    /// An emulated device.
    Device(Device),
    /// The GIC's distributor, whose state is in [`gic`].
    Distributor,
    /// The second page of the GIC's CPU interface, with GICC_DIR. It is emulated: if the interrupt that a write names is in no list register, the
    /// virtual CPU interface does not say which it was. Its state is in [`gic`].
    Deactivation,
    /// Something that this machine does not have.
    Absent(Absent),
}

impl Region {
    /// What answers at `ipa`, and the offset within it; `None` where nothing does, which gives an access an external abort.
    #[inline]
    pub const fn at(ipa: Ipa) -> Option<(Self, u64)> {
        if let Some((device, offset)) = Device::at(ipa) {
            return Some((Self::Device(device), offset));
        }
        let offset = ipa.0.wrapping_sub(DISTRIBUTOR_BASE.0);
        if offset < DISTRIBUTOR_SIZE {
            return Some((Self::Distributor, offset));
        }
        let offset = ipa.0.wrapping_sub(DEACTIVATION_BASE.0);
        if offset < DEACTIVATION_SIZE {
            return Some((Self::Deactivation, offset));
        }
        match Absent::at(ipa) {
            Some((absent, offset)) => Some((Self::Absent(absent), offset)),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests;
