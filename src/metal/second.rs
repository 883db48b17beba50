//! The board's second UART as the [`SerialLine`] of the VM whose `uart` is `"second"`. All cores use it.

use core::hint::cold_path;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use spin::{Mutex, Once};

use crate::arch::memory::mmio::DeviceRegisters;
use crate::board::gic::Gic;
use crate::board::tree::Tree;
use crate::board::uart::{self, BoardUart, Driver, Opened};
use crate::config::{Uart, VmConfig};
use crate::console::{SerialLine, Served};
use crate::vm;

/// The UART, and the number of its VM.
struct Second {
    uart: BoardUart,
    interrupt: u32,
    vm: usize,
}

/// Empty where the board has none, or no VM wants it.
static SECOND: Once<Second> = Once::new();

/// The line's state. Its lock also keeps cores from using the UART at the same time.
static LINE: Mutex<SerialLine> = Mutex::new(SerialLine::new());

/// What waits to be sent, for a VM that looks without the lock. Written with the lock held. Who sees an older number sees what was so a moment
/// ago; and when the number falls the VM is requested to look, which orders that look behind the fall.
static UNSENT: AtomicU8 = AtomicU8::new(0);

/// The UART has no interrupt: who looks whether there is room sends what waits.
static POLLED: AtomicBool = AtomicBool::new(false);

/// Whether something is there to be read; as [`UNSENT`].
static READABLE: AtomicBool = AtomicBool::new(false);

/// It has been said that bytes were lost: the sender could fill the console with that.
static LOSS_SAID: AtomicBool = AtomicBool::new(false);

/// Opens the second UART if one of `vms` wants it. The console is on `console`. If the board has none, says so: that VM has no input then,
/// and its output goes nowhere.
#[inline(never)]
pub fn open(tree: &Tree, console: &Opened<DeviceRegisters>, vms: &[VmConfig]) {
    let Some(vm) = vms.iter().position(|vm| vm.uart == Uart::Second) else {
        return;
    };
    let found = uart::find_second(tree, console.base, &DeviceRegisters::map_probing);
    let Some((opened, interrupt)) = found.and_then(|opened| Some((opened, opened.interrupt?)))
    else {
        log::warn!(
            "{}: the board has no second UART: nothing comes in there, and what the VM sends is lost (under QEMU's virt, give a second -serial; \
             on a Raspberry Pi, dtoverlay=uart3 in config.txt)",
            vms[vm].name
        );
        return;
    };
    SECOND.call_once(|| Second {
        uart: opened.uart,
        interrupt,
        vm,
    });
    log::debug!(
        "{}: the second UART is at {:#x}, interrupt {interrupt}",
        vms[vm].name,
        opened.base
    );
}

/// Has the UART raise its interrupt, which goes to the core of its VM's first vCPU: that core is the first to run it. All `cores` have been set up,
/// and no VM runs yet.
#[inline(never)]
pub fn listen(vms: &[VmConfig], gic: &Gic, cores: usize) {
    let Some(second) = SECOND.get() else { return };
    let core = vm::core_of(vms, cores, second.vm, 0);
    if gic.enable_second(second.interrupt, core) {
        serve();
    } else {
        POLLED.store(true, Ordering::Relaxed);
        log::warn!(
            "{}: the second UART has no interrupt: nothing comes in there",
            vms[second.vm].name
        );
    }
}

/// Sends and takes what there is to, after the UART's interrupt. Returns the VM's number, if it has something to read, or room for output again.
pub fn serve() -> Option<usize> {
    let second = SECOND.get()?;
    let (mut news, mut lost) = (false, false);
    with_line(&mut |line, uart| Served { news, lost } = line.serve(uart));
    if lost && !LOSS_SAID.swap(true, Ordering::Relaxed) {
        log::warn!(
            "bytes came faster than the second UART keeps them: some are lost (this is said once)"
        );
    }
    news.then_some(second.vm)
}

/// Does something with the line, if there is one, and notes what the VM may see without the lock.
#[inline(never)]
fn with_line(action: &mut dyn FnMut(&mut SerialLine, &dyn Driver)) {
    if let Some(second) = SECOND.get() {
        let mut line = LINE.lock();
        action(&mut line, second.uart.driver());
        UNSENT.store(line.unsent() as u8, Ordering::Relaxed);
        READABLE.store(line.has_input(), Ordering::Relaxed);
    }
}

/// Takes a byte that the VM sends.
pub(super) fn put(byte: u8) {
    with_line(&mut |line, uart| line.put(byte, uart));
}

/// Whether there is nothing to read, and all is sent. No more than loads, as each read of FR comes here: with a call in it the device's read would
/// have a stack frame.
#[inline]
pub(super) fn is_quiet() -> bool {
    UNSENT.load(Ordering::Relaxed) == 0 && !may_have_input()
}

/// How many of the bytes that the VM sent wait.
#[inline]
pub(super) fn unsent() -> u32 {
    if POLLED.load(Ordering::Relaxed) && UNSENT.load(Ordering::Relaxed) != 0 {
        cold_path();
        with_line(&mut |line, uart| {
            line.serve(uart);
        });
    }
    UNSENT.load(Ordering::Relaxed).into()
}

/// Whether [`get`] has a byte.
#[inline]
pub(super) fn may_have_input() -> bool {
    READABLE.load(Ordering::Relaxed)
}

/// The next byte for the VM.
pub(super) fn get() -> Option<u8> {
    let mut byte = None;
    with_line(&mut |line, uart| byte = line.get(uart));
    byte
}
