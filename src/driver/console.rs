//! The board's UART as the terminal that [`Console`] describes, shared by all cores.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

use log::Level;
use spin::{Mutex, Once};

use super::pl011::Pl011;
use crate::config::VmPlan;
use crate::console::{Console, Input, Screen, write_lines};
use crate::monitor::{self, Operator};

static UART: Once<Pl011> = Once::new();

/// Whose turn it is at the UART.
static CONSOLE: Mutex<Console> = Mutex::new(Console::new());

/// What comes in is announced by an interrupt: nobody has to look for it.
static LISTENING: AtomicBool = AtomicBool::new(false);

impl Screen for Pl011 {
    #[inline]
    fn send(&mut self, byte: u8) {
        Pl011::send(*self, byte);
    }
}

/// Opens the console on `uart`.
pub(super) fn open(uart: Pl011) {
    UART.call_once(|| uart);
}

/// Says which VMs there are. The first has the keyboard.
pub fn start(vms: &'static [VmPlan]) {
    CONSOLE.lock().introduce(vms.iter().map(|vm| vm.name));
}

/// Has the UART raise its interrupt when something comes in. Whoever takes it calls [`interrupt`].
pub fn listen() {
    if let Some(uart) = UART.get() {
        let _turn = CONSOLE.lock();
        uart.listen();
        LISTENING.store(true, Ordering::Relaxed);
    }
}

/// Takes what came in, after the UART's interrupt, and says who should know.
pub fn interrupt() -> Input {
    UART.get()
        .map_or(Input::default(), |uart| drain(*uart, &mut CONSOLE.lock()))
}

fn drain(mut uart: Pl011, console: &mut Console) -> Input {
    let mut input = Input::default();
    uart.acknowledge();
    while let Some(byte) = uart.receive() {
        input = input.and(console.input(byte, &mut uart));
    }
    input
}

/// A VM's UART sends a character.
pub fn put(vm: usize, byte: u8) {
    if let Some(mut uart) = UART.get().copied() {
        CONSOLE.lock().put(vm, byte, &mut uart);
    }
}

/// A character typed for a VM.
pub fn get(vm: usize) -> Option<u8> {
    let uart = UART.get()?;
    let mut console = CONSOLE.lock();
    if let Some(byte) = console.get(vm) {
        return Some(byte);
    }
    // Without its interrupt there is no monitor, as nobody would carry out its commands.
    let polled = !LISTENING.load(Ordering::Relaxed) && vm == console.attached();
    polled.then(|| uart.receive()).flatten()
}

/// The VM that has the keyboard.
pub fn attached() -> usize {
    CONSOLE.lock().attached()
}

/// Gives the keyboard to a VM.
pub fn attach(vm: usize) {
    if let Some(mut uart) = UART.get().copied() {
        CONSOLE.lock().attach(vm, &mut uart);
    }
}

/// Carries out the lines that wait for the monitor, if another core does not do so already. The console is free meanwhile. Gives the VM
/// that has something to read now because the operator left the monitor.
pub fn serve(operator: &mut impl Operator) -> Option<usize> {
    let mut uart = UART.get().copied()?;
    let mut guest = None;
    loop {
        // Not in a `while let`, which would hold the lock for the whole turn.
        let line = CONSOLE.lock().command();
        let Some(line) = line else { return guest };
        let next = monitor::execute(line.text(), operator, &mut Reply(uart));
        guest = CONSOLE.lock().finish(next, &mut uart).guest.or(guest);
    }
}

/// What the monitor answers.
struct Reply(Pl011);

impl Write for Reply {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        CONSOLE.lock().reply(text, &mut self.0);
        Ok(())
    }
}

/// Prints one line, `AVISOR <level>: <message>`, at the start of a line.
pub(super) fn line(level: Level, message: fmt::Arguments) {
    if let Some(mut uart) = UART.get().copied() {
        let message = format_args!("AVISOR {level}: {message}\n");
        CONSOLE.lock().lines(message, &mut uart);
    }
}

/// The same for the last words of a core: waits for its turn only so long, since this core may be the one that has it.
pub(super) fn last_line(level: Level, message: fmt::Arguments) {
    let Some(mut uart) = UART.get().copied() else {
        return;
    };
    let message = format_args!("AVISOR {level}: {message}\n");
    let tries = 1_000_000;
    match (0..tries).find_map(|_| CONSOLE.try_lock()) {
        Some(mut console) => console.lines(message, &mut uart),
        None => write_lines(format_args!("\n{message}"), &mut uart),
    }
}

/// One line on a UART that no console is open on: for a start that fails before there is one.
pub(super) fn write_line(mut uart: Pl011, level: Level, message: fmt::Arguments) {
    write_lines(format_args!("AVISOR {level}: {message}\n"), &mut uart);
}
