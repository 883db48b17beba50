//! The table of emulated devices. A row is all that a device takes besides its own file.

use super::Console;
use super::emulated::{Emulated, TreeNode};
use super::pl011::Pl011;
use super::registers::{part_of_register, read_registers};
use crate::addr::Ipa;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Makes of the table: [`Device`], a name for each row; [`Devices`], the state of all; and what is done with all or one of them. A `match` and
/// no pointers: a trap costs the same as with the devices written down one by one.
macro_rules! devices {
    ($($name:ident, $state:ident: $type:ty { $base:expr, $size:expr, $intid:expr })*) => {
        /// An emulated device, by name.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Device {
            $(#[doc = concat!("See [`", stringify!($type), "`].")] $name,)*
        }

        /// The state of all emulated devices of one VM.
        #[derive(
            Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
        )]
        // Aligned, as a snapshot copies it by words.
        #[repr(C, align(8))]
        pub struct Devices {
            $(#[doc = concat!("See [`", stringify!($type), "`].")] pub $state: $type,)*
        }

        impl Device {
            /// All rows, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its row of the table.
            pub const fn row(self) -> DeviceRow {
                match self {
                    $(Self::$name => DeviceRow {
                        base: $base,
                        size: $size,
                        intid: $intid,
                        node: <$type>::NODE,
                    },)*
                }
            }

            /// The device whose registers are at `ipa`, and the offset in them.
            #[inline]
            pub const fn at(ipa: Ipa) -> Option<(Self, u64)> {
                $(
                    let offset = ipa.0.wrapping_sub($base.0);
                    if offset < $size {
                        return Some((Self::$name, offset));
                    }
                )*
                None
            }
        }

        impl Devices {
            #[inline]
            fn read_register(&mut self, device: Device, offset: u64, console: &mut impl Console) -> u32 {
                match device {
                    $(Device::$name => self.$state.read(offset, console),)*
                }
            }

            #[inline]
            fn write_register(&mut self, device: Device, offset: u64, value: u32, console: &mut impl Console) {
                match device {
                    $(Device::$name => self.$state.write(offset, value, console),)*
                }
            }

            /// Whether the device's interrupt line is up.
            #[inline]
            pub fn irq_line(&self, device: Device) -> bool {
                match device {
                    $(Device::$name => self.$state.irq_line(),)*
                }
            }

            /// The console has input, of which each device takes as much as it has room for; or has sent something. Their lines may change.
            pub fn pull_input(&mut self, console: &mut impl Console) {
                $(self.$state.pull_input(console);)*
            }

            /// Whether the driver of any device waits for an interrupt when there is input, or room for output.
            pub fn are_interrupted_by_console(&self) -> bool {
                false $(|| self.$state.is_interrupted_by_console())*
            }
        }
    };
}

/// First address of the UART.
pub const UART_BASE: Ipa = Ipa(0x0900_0000);

devices! {
    // name, where its state is, what implements it: first address, bytes, INTID of its interrupt (an SPI, level-sensitive)
    Uart, uart: Pl011 { UART_BASE, 0x1000, 33 }
}

/// A row of the table, as data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceRow {
    /// First address of the device's registers.
    pub base: Ipa,
    /// Bytes that they take: whole pages.
    pub size: u64,
    /// INTID of its interrupt.
    pub intid: u32,
    /// Its node in the guest's device tree.
    pub node: TreeNode,
}

impl Devices {
    /// A load of `size` bytes (1, 2, 4 or 8) at `offset`, from [`Device::at`]. The answer has no bits above `size`.
    ///
    /// Registers are 32 bits wide: a narrower access reads its bytes of one, an access of 8 bytes reads two, the lower first. Offsets without a
    /// register read as zero.
    #[inline(always)]
    pub fn read(
        &mut self,
        device: Device,
        offset: u64,
        size: u8,
        console: &mut impl Console,
    ) -> u64 {
        if size > 4 {
            return self.read_two(device, offset, console);
        }
        let register = self.read_register(device, offset & !3, console);
        part_of_register(register, offset, size)
    }

    /// A load of 8 bytes.
    #[cold]
    #[inline(never)]
    fn read_two(&mut self, device: Device, offset: u64, console: &mut impl Console) -> u64 {
        read_registers(offset, 8, |offset| {
            self.read_register(device, offset, console)
        })
    }

    /// A store of the low `size` bytes (1, 2, 4 or 8) of `value` at `offset`, from [`Device::at`].
    ///
    /// A narrower access writes the whole register, the other bytes with zeroes, as a bus without byte strobes does. An access of 8 bytes writes
    /// two, the lower first. Stores to offsets without a register are ignored.
    #[inline]
    pub fn write(
        &mut self,
        device: Device,
        offset: u64,
        size: u8,
        value: u64,
        console: &mut impl Console,
    ) {
        let value = if size < 4 {
            value & ((1 << (8 * size)) - 1)
        } else {
            value
        };
        let low = (value << (8 * (offset & 3))) as u32;
        self.write_register(device, offset & !3, low, console);
        if size == 8 {
            let high = (value >> 32) as u32;
            self.write_register(device, (offset & !3) + 4, high, console);
        }
    }
}
