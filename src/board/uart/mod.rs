//! The board's UART, whichever it is. To add one: a file with its [`Driver`], a row of [`KINDS`], an arm of [`Uart`].

mod pl011;

use crate::addr::PAGE_SIZE;
use crate::arch::boot::image;
use crate::arch::cpu;
use crate::arch::memory::mmio::DeviceRegisters;
use crate::board::tree::{Device, Tree};
use pl011::Pl011;

/// A UART that is open.
#[derive(Debug, Clone, Copy)]
pub enum Uart {
    /// Arm's PL011.
    Pl011(Pl011),
}

impl Uart {
    /// What all UARTs can do, of this one.
    #[inline]
    pub fn driver(&self) -> &dyn Driver {
        match self {
            Self::Pl011(uart) => uart,
        }
    }
}

/// What a UART can do.
pub trait Driver {
    /// Waits for room, then sends `byte`; drops it if there is none for so long that the UART must be dead.
    fn send(&self, byte: u8);
    /// A byte that has come in.
    fn receive(&self) -> Option<u8>;
    /// Returns and forgets whether characters were lost, as there was no room for them. They came behind all that is still to be received.
    fn take_overrun(&self) -> bool;
    /// Raises the interrupt when something comes in, and no other: what the firmware had enabled goes to nobody here.
    fn enable_rx_irq(&self);
    /// Raises no interrupt, whatever comes in, until [`enable_rx_irq`](Self::enable_rx_irq).
    fn disable_rx_irq(&self);
    /// Lowers the interrupt, to be followed by [`receive`](Self::receive) until there is nothing: in the other order, a byte that came in
    /// between would raise none.
    fn acknowledge(&self);
}

/// A kind of UART that is driven here.
struct Kind {
    /// What a tree calls it.
    compatible: &'static str,
    /// Bytes of registers that the driver uses.
    size: u64,
    /// The offset of a register that may be read at any time, as one that takes a character may not.
    answers_at: u64,
    /// Whether a page of registers identifies itself as this kind.
    is_there: fn(DeviceRegisters) -> bool,
    /// Takes the UART over; with its clock in Hz, if the tree tells.
    open: fn(DeviceRegisters, Option<u64>) -> Uart,
}

const KINDS: [Kind; 1] = [pl011::KIND];

/// What a board has at an address that no tree tells of.
const KNOWN: Kind = pl011::KIND;

/// A UART that was found: registers, clock in Hz, interrupt.
type Found = (&'static Kind, DeviceRegisters, Option<u64>, Option<u32>);

/// The console, with its interrupt: the UART that the firmware calls its first serial port, or the console, or any. On the Raspberry Pi
/// `stdout-path` names the mini-UART, and the PL011 is serial0. One that does not identify itself is only believed where none is
/// known that does. `registers` makes a block accessible, of which the register at the third argument can be read.
pub fn find(
    tree: Option<&Tree>,
    registers: impl Fn(u64, u64, u64) -> Option<DeviceRegisters>,
) -> Option<(Uart, Option<u32>)> {
    let named = tree.and_then(|tree| find_named(tree, &registers));
    let known = || {
        let registers = registers(known_address()?, PAGE_SIZE, KNOWN.answers_at)?;
        (KNOWN.is_there)(registers).then_some((&KNOWN, registers, None, None))
    };
    let is_certain = named.is_some_and(|(kind, registers, ..)| (kind.is_there)(registers));
    let found = if is_certain { named } else { known().or(named) };
    found.map(|(kind, registers, clock, interrupt)| ((kind.open)(registers, clock), interrupt))
}

/// The UART that the tree names, without a look at whether it is there. For a start that fails, where no abort is survived.
pub fn named(
    tree: &Tree,
    registers: impl Fn(u64, u64, u64) -> Option<DeviceRegisters>,
) -> Option<Uart> {
    find_named(tree, registers).map(|(kind, registers, clock, _)| (kind.open)(registers, clock))
}

fn find_named(
    tree: &Tree,
    registers: impl Fn(u64, u64, u64) -> Option<DeviceRegisters>,
) -> Option<Found> {
    let kinds = const { &KINDS };
    let named = [("/aliases", "serial0"), ("/chosen", "stdout-path")]
        .into_iter()
        .filter_map(|(node, property)| tree.find_referenced(node, property));
    let any = kinds
        .iter()
        .filter_map(|kind| tree.find_compatible(kind.compatible));
    named.chain(any).find_map(|device: Device| {
        let range = device.base..device.base.saturating_add(device.size);
        let is_kind =
            |kind: &&Kind| device.is_compatible(kind.compatible) && device.size >= kind.size;
        let kind = kinds.iter().find(is_kind)?;
        if tree.is_memory(range) {
            return None;
        }
        // Its identification is at the end of its page, if it has one for itself.
        let size = match device.base.is_multiple_of(PAGE_SIZE) {
            true => device.size.max(PAGE_SIZE),
            false => device.size,
        };
        let registers = registers(device.base, size, kind.answers_at)?;
        let clock = tree.fixed_clock(&device);
        Some((kind, registers, clock, tree.shared_interrupt(&device)))
    })
}

/// Where a board has its UART that no tree tells of. Which board it is shows in where the image is, as RAM is in other places, and in the
/// kind of its cores. Where this is wrong nothing answers, or something that does not identify itself.
fn known_address() -> Option<u64> {
    const VIRT_RAM: u64 = 0x4000_0000;
    match cpu::part() {
        _ if image::range().start >= VIRT_RAM => Some(0x0900_0000),
        cpu::CORTEX_A72 => Some(0xfe20_1000),
        cpu::CORTEX_A53 => Some(0x3f20_1000),
        _ => None,
    }
}
