//! The board's UARTs, of whichever kind. To add a kind: a file with its [`Driver`] and its `KIND`, a row of [`KINDS`], an arm of
//! [`Uart`] and of [`Model`].

#[cfg(target_os = "none")]
mod known;
mod ns16550;
mod pl011;
#[cfg(test)]
mod tests;

use core::sync::atomic::{AtomicBool, Ordering};

use crate::addr::PAGE_SIZE;
use crate::board::tree::{Device, Tree};
#[cfg(target_os = "none")]
pub use known::{BoardUart, known_address};
use ns16550::{Layout, Ns16550};
use pl011::Pl011;

/// Looks at a full FIFO before it is given up: a second or more, where a character takes a millisecond at worst.
const TRIES: u32 = 10_000_000;

/// The console's UART was given up: it is still looked at, but not waited for.
static STUCK: AtomicBool = AtomicBool::new(false);

/// A UART that is open.
#[derive(Debug, Clone, Copy)]
pub enum Uart<R> {
    /// Arm's PL011.
    Pl011(Pl011<R>),
    /// One like the 16550, or the Raspberry Pi's mini-UART.
    Ns16550(Ns16550<R>),
}

impl<R: Registers> Uart<R> {
    /// What all UARTs can do, of this one.
    #[inline]
    pub fn driver(&self) -> &dyn Driver {
        match self {
            Self::Pl011(uart) => uart,
            Self::Ns16550(uart) => uart,
        }
    }
}

/// A block of device registers, by offset.
pub trait Registers: Copy {
    /// The block's physical address.
    fn base(self) -> u64;
    /// Bytes of it.
    fn size(self) -> u64;
    /// Reads the 32-bit register at `offset`.
    fn read(self, offset: u64) -> u32;
    /// Writes the 32-bit register at `offset`.
    fn write(self, offset: u64, value: u32);
    /// Reads the 8-bit register at `offset`.
    fn read8(self, offset: u64) -> u8;
    /// Writes the 8-bit register at `offset`.
    fn write8(self, offset: u64, value: u8);
}

/// What a UART can do.
pub trait Driver {
    /// Waits for room, then sends `byte`; drops it if there is none for so long that the UART must be dead.
    fn send(&self, byte: u8) {
        let tries = match STUCK.load(Ordering::Relaxed) {
            true => 1,
            false => TRIES,
        };
        let sent = (0..tries).any(|_| self.send_some(&[byte]) == 1);
        STUCK.store(!sent, Ordering::Relaxed);
    }
    /// Sends as many of `bytes` as there is room for now, the first ones; returns how many.
    fn send_some(&self, bytes: &[u8]) -> usize;
    /// A byte that has come in.
    fn receive(&self) -> Option<u8>;
    /// Returns and forgets whether characters were lost, as there was no room for them. They came behind all that is still to be received.
    fn take_overrun(&self) -> bool;
    /// Whether it raises its interrupt when something comes in, and whether it does when it has room after it had none: until that has been
    /// received, and as much been sent. No other interrupt is enabled: what the firmware had enabled goes to nobody here.
    fn set_interrupts(&self, input: bool, output: bool);
    /// Lowers an interrupt that neither receiving nor sending would lower. To be followed by both.
    fn end_stale_interrupt(&self);
}

/// What opening a UART takes besides its registers.
#[derive(Clone, Copy)]
struct Open {
    /// Its clock in Hz, if the tree tells.
    clock: Option<u64>,
    /// Where its registers are, for a kind that may have them anywhere.
    layout: Layout,
    /// Where a kind notes that characters were lost, if the hardware says it but once.
    lost: &'static AtomicBool,
}

/// [`Open::lost`] of the console, and of the second UART.
static LOST: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];

/// A kind of UART that is driven here.
struct Kind {
    /// What a tree calls it.
    compatible: &'static str,
    /// Bytes of registers that the driver uses in front of those that the tree names.
    before: u64,
    /// Bytes of registers that the driver uses, of those that the tree names, for registers as close as they may be.
    size: u64,
    /// The offset of a register that may be read at any time, as one that takes a character may not; for registers as close as they may be.
    answers_at: u64,
    /// Its driver.
    model: Model,
}

/// A driver, for those of the kinds that it drives.
#[derive(Clone, Copy)]
enum Model {
    Pl011,
    Ns16550(ns16550::Model),
}

static KINDS: [Kind; 4] = [
    pl011::KIND,
    ns16550::KIND,
    ns16550::DESIGNWARE,
    ns16550::MINI,
];

/// What a board has at an address that no tree tells of.
static KNOWN: Kind = pl011::KIND;

/// A UART that was found and is not open.
struct Found<R> {
    kind: &'static Kind,
    registers: R,
    open: Open,
    /// Its interrupt, if that is a shared one of the board's GIC.
    interrupt: Option<u32>,
    /// The physical address that the tree has for it.
    base: u64,
}

/// A UART that was found and opened.
#[derive(Debug, Clone, Copy)]
pub struct Opened<R> {
    /// The UART.
    pub uart: Uart<R>,
    /// Its interrupt: the INTID, if that is a shared one of the board's GIC.
    pub interrupt: Option<u32>,
    /// The physical address of its registers, as the tree has it.
    pub base: u64,
}

impl<R: Registers> Found<R> {
    /// Whether the registers identify themselves as this kind, as far as it can.
    fn is_certain(&self) -> bool {
        match self.kind.model {
            Model::Pl011 => pl011::is_there(self.registers),
            Model::Ns16550(model) => Ns16550::new(self.registers, &self.open, model).is_there(),
        }
    }

    /// Takes the UART over.
    #[inline(never)]
    fn open(self) -> Opened<R> {
        let uart = match self.kind.model {
            Model::Pl011 => Uart::Pl011(pl011::open(self.registers, &self.open)),
            Model::Ns16550(model) => {
                let uart = Ns16550::new(self.registers, &self.open, model);
                Uart::Ns16550(uart.open(&self.open))
            }
        };
        Opened {
            uart,
            interrupt: self.interrupt,
            base: self.base,
        }
    }
}

/// Makes a block of registers accessible: its address, its bytes, and the offset of a register that can be read.
pub type Access<'a, R> = &'a dyn Fn(u64, u64, u64) -> Option<R>;

/// The console: the UART that the firmware calls its first serial port, or the console, or any. On the Raspberry Pi
/// `stdout-path` names the mini-UART, and the PL011 is serial0. One that does not identify itself is only believed where none is
/// known that does: at the address `known`, for a board that no tree tells of.
#[inline(never)]
pub fn find<R: Registers>(
    tree: Option<&Tree>,
    known: Option<u64>,
    registers: Access<'_, R>,
) -> Option<Opened<R>> {
    let named = tree.and_then(|tree| find_named(tree, registers));
    let known = || {
        let kind = &KNOWN;
        let base = known?;
        let registers = registers(base, PAGE_SIZE, kind.answers_at)?;
        let open = Open {
            clock: None,
            layout: Layout::CLOSE,
            lost: &LOST[0],
        };
        let found = Found {
            kind,
            registers,
            open,
            interrupt: None,
            base,
        };
        found.is_certain().then_some(found)
    };
    let found = match named {
        Some(named) if named.is_certain() => Some(named),
        named => known().or(named),
    };
    found.map(Found::open)
}

/// The UART that the tree names, without a look at whether it is there. For a start that fails, where no abort is survived.
#[inline(never)]
pub fn named<R: Registers>(tree: &Tree, registers: Access<'_, R>) -> Option<Uart<R>> {
    find_named(tree, registers).map(|found| found.open().uart)
}

/// The second UART, where the console's registers are at `console`: of those that the tree has in use, of a kind that is driven here and with an
/// interrupt, the first by its alias (`serial0` to `serial9`), or without one the first of the tree. One that something is connected to already,
/// such as the Raspberry Pi's Bluetooth, has a node within its own, and is not taken.
#[inline(never)]
pub fn find_second<R: Registers>(
    tree: &Tree,
    console: u64,
    registers: Access<'_, R>,
) -> Option<Opened<R>> {
    const ALIASES: [&str; 10] = [
        "serial0", "serial1", "serial2", "serial3", "serial4", "serial5", "serial6", "serial7",
        "serial8", "serial9",
    ];
    let is_free = |device: &Device| {
        device.base != console && device.is_in_use() && !device.has_connected_device()
    };
    let look = |device| {
        let device = Some(device).filter(is_free)?;
        let found = look_at(tree, device, &LOST[1], registers)?;
        found.interrupt.is_some().then_some(found)
    };
    let named = ALIASES
        .iter()
        .filter_map(|alias| tree.find_referenced("/aliases", alias))
        .find_map(look);
    let models = KINDS.each_ref().map(|kind| kind.compatible);
    let found = named.or_else(|| tree.find_map_compatible(&models, look));
    found.map(Found::open)
}

#[inline(never)]
fn find_named<R: Registers>(tree: &Tree, registers: Access<'_, R>) -> Option<Found<R>> {
    let named = [("/aliases", "serial0"), ("/chosen", "stdout-path")]
        .into_iter()
        .filter_map(|(node, property)| tree.find_referenced(node, property));
    let any = KINDS
        .iter()
        .filter_map(|kind| tree.find_compatible(kind.compatible));
    named
        .chain(any)
        .find_map(|device| look_at(tree, device, &LOST[0], registers))
}

/// The UART that `device` is, if it is one that is driven here, and its registers can be reached.
#[inline(never)]
fn look_at<R: Registers>(
    tree: &Tree,
    device: Device,
    lost: &'static AtomicBool,
    registers: Access<'_, R>,
) -> Option<Found<R>> {
    let layout = Layout::of(&device)?;
    let is_kind = |kind: &&Kind| {
        device.is_compatible(kind.compatible) && device.size >= layout.place(kind.size)
    };
    let kind = KINDS.iter().find(is_kind)?;
    let base = device.base.checked_sub(kind.before)?;
    let end = device.base.saturating_add(device.size);
    if tree.is_memory(base..end) {
        return None;
    }
    // Its identification is at the end of its page, if it has one for itself.
    let size = match base.is_multiple_of(PAGE_SIZE) {
        true => (end - base).max(PAGE_SIZE),
        false => end - base,
    };
    // A word that has the register is read, whatever the register's size is.
    let answers_at = layout.place(kind.answers_at) & !3;
    let registers = registers(base, size, answers_at)?;
    Some(Found {
        kind,
        registers,
        open: Open {
            clock: tree.clock(&device),
            layout,
            lost,
        },
        interrupt: tree.shared_interrupt(&device),
        base: device.base,
    })
}
