//! What is shown, on its way to the UART, which takes 87 us for each character at 115,200 baud: nobody waits for that.
//!
//! | who writes | without room |
//! | --- | --- |
//! | a VM | its characters stay in its UART's transmit FIFO ([`Output::unsent`]): its driver sees that full, and waits |
//! | the log, the monitor, the echo of what is typed | there is room for [`BACKLOG_MAX`] characters; with more, the writer waits for the UART |
//!
//! All of it is one queue: it comes out in the order in which it was shown. VMs have room in it for [`VMS_SHARE`] characters together, and take turns
//! where that is not enough. So the answer to a key has no more than that in front of it, and a line or two.
//!
//! Who changes something sends what the UART has room for; as long as something waits, a core comes and does it, every half of a millisecond.

use super::Terminal;
use super::ring::Ring;
use super::screen::Screen;
use crate::board::uart::Driver;
use crate::device::pl011::UNSENT_MAX;
use crate::limits::VMS_MAX;

/// Characters that wait at the most: three seconds of 115,200 baud.
pub const BACKLOG_MAX: usize = 32 << 10;
/// Characters of VMs that wait at the most before no VM has room, but for the end of what was shown last: 44 ms of 115,200 baud.
pub const VMS_SHARE: usize = 512;
/// Characters that a VM whose turn it is may send while others wait for theirs.
const TURN: usize = UNSENT_MAX;
/// In the queue: shown for a VM.
const OF_VM: u16 = 1 << 8;

/// What a VM has sent, and was not shown yet: its UART's transmit FIFO.
#[derive(Clone, Copy)]
struct Fifo {
    bytes: [u8; UNSENT_MAX],
    length: usize,
}

impl Fifo {
    const EMPTY: Self = Self {
        bytes: [0; UNSENT_MAX],
        length: 0,
    };

    /// Takes a character. Without room it is lost, as in hardware.
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    fn pop(&mut self) -> Option<u8> {
        let oldest = self.bytes[..self.length].first().copied()?;
        self.bytes.copy_within(1..self.length, 0);
        self.length -= 1;
        Some(oldest)
    }
}

/// The queue, and what VMs have in front of it.
pub struct Output {
    queue: Ring<u16>,
    /// How many of those in the queue were shown for VMs.
    of_vms: usize,
    fifos: [Fifo; VMS_MAX],
    /// The VMs whose FIFO is not empty, a bit for each.
    waiting: u8,
    /// The VMs whose FIFO has become emptier, a bit for each, since somebody asked.
    news: u8,
    /// The VM whose turn it is, and how many of its characters it may still send.
    turn: usize,
    left: usize,
    /// Since when the UART has taken nothing: a count of `now`.
    stalled: Option<u64>,
}

impl Default for Output {
    fn default() -> Self {
        Self::new()
    }
}

impl Output {
    /// Nothing waits.
    pub const fn new() -> Self {
        Self {
            queue: Ring::new(BACKLOG_MAX),
            of_vms: 0,
            fifos: [Fifo::EMPTY; VMS_MAX],
            waiting: 0,
            news: 0,
            turn: 0,
            left: TURN,
            stalled: None,
        }
    }

    /// Takes the memory for what waits. Without it, or before, writers wait for the UART.
    pub fn reserve(&mut self) {
        let _ = self.queue.try_reserve_all();
    }

    /// What the log, the monitor and the echo are shown on.
    pub fn screen<'a>(&'a mut self, port: &'a dyn Driver) -> Outlet<'a> {
        self.outlet(port, 0)
    }

    fn outlet<'a>(&'a mut self, port: &'a dyn Driver, of: u16) -> Outlet<'a> {
        Outlet {
            output: self,
            port,
            of,
        }
    }

    /// A VM sends a character.
    #[inline]
    pub fn put(&mut self, vm: usize, byte: u8, terminal: &mut Terminal, port: &dyn Driver) {
        if vm >= VMS_MAX {
            return;
        }
        if self.waiting == 0 && self.of_vms < VMS_SHARE {
            terminal.put(vm, byte, &mut self.outlet(port, OF_VM));
        } else {
            self.fifos[vm].push(byte);
            self.waiting |= 1 << vm;
            self.send(terminal, port);
        }
    }

    /// A VM goes on from elsewhere ([`Terminal::abandon_sequence`]): what it had sent is shown before.
    pub fn abandon_sequence(&mut self, vm: usize, terminal: &mut Terminal, port: &dyn Driver) {
        if vm >= VMS_MAX {
            return;
        }
        while let Some(byte) = self.fifos[vm].pop() {
            terminal.put(vm, byte, &mut self.outlet(port, OF_VM));
        }
        self.waiting &= !(1 << vm);
        terminal.abandon_sequence(vm, &mut self.outlet(port, OF_VM));
    }

    /// How many characters of a VM wait in its FIFO: [`UNSENT_MAX`] at the most.
    pub fn unsent(&self, vm: usize) -> usize {
        self.fifos.get(vm).map_or(0, |fifo| fifo.length)
    }

    /// How many characters wait in the queue.
    #[cfg(test)]
    pub fn backlog(&self) -> usize {
        self.queue.len()
    }

    /// For which there is no memory.
    #[cfg(test)]
    pub fn without_memory() -> Self {
        Self {
            queue: Ring::new(0),
            ..Self::new()
        }
    }

    /// The VMs that have characters in their FIFO, a bit for each.
    pub fn waiting(&self) -> u8 {
        self.waiting
    }

    /// Takes the VMs whose FIFO has become emptier, a bit for each: their drivers may wait for that.
    pub fn take_news(&mut self) -> u8 {
        core::mem::take(&mut self.news)
    }

    /// Whether all that was shown has been sent. If so, no FIFO holds anything either.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queue.len() == 0 && self.waiting == 0
    }

    /// Sends what there is room for. If the UART has taken nothing for `patience` since this was found first, at the count `now`, all that waits
    /// is dropped: VMs that wait for it go on.
    pub fn serve(&mut self, terminal: &mut Terminal, port: &dyn Driver, now: u64, patience: u64) {
        let sent = self.send(terminal, port);
        let since = match self.stalled {
            _ if sent || self.is_empty() => None,
            since => Some(since.unwrap_or(now)),
        };
        self.stalled = since;
        if since.is_some_and(|since| now.saturating_sub(since) >= patience) {
            while self.pop().is_some() {}
            self.show_waiting(terminal, port);
        }
    }

    /// Sends all that waits, and waits for it.
    pub fn flush(&mut self, terminal: &mut Terminal, port: &dyn Driver) {
        while !self.is_empty() {
            while let Some(byte) = self.pop() {
                port.send(byte);
            }
            self.show_waiting(terminal, port);
        }
    }

    /// Sends what there is room for. Returns whether anything was sent.
    fn send(&mut self, terminal: &mut Terminal, port: &dyn Driver) -> bool {
        let mut sent = false;
        loop {
            while let Some(next) = self.queue.peek()
                && port.send_some(&[next as u8]) == 1
            {
                self.pop();
                sent = true;
            }
            if self.waiting == 0 || self.of_vms >= VMS_SHARE {
                return sent;
            }
            self.show_waiting(terminal, port);
        }
    }

    /// Shows what is in the VMs' FIFOs, as far as they have room.
    fn show_waiting(&mut self, terminal: &mut Terminal, port: &dyn Driver) {
        while self.waiting != 0 && self.of_vms < VMS_SHARE {
            let vm = self.turn;
            // A turn is not over because the others' characters have left no room.
            if self.left > 0
                && let Some(byte) = self.fifos[vm].pop()
            {
                self.left -= 1;
                self.news |= 1 << vm;
                terminal.put(vm, byte, &mut self.outlet(port, OF_VM));
                continue;
            }
            if self.fifos[vm].length == 0 {
                self.waiting &= !(1 << vm);
            }
            (self.turn, self.left) = ((vm + 1) % VMS_MAX, TURN);
        }
    }

    fn pop(&mut self) -> Option<u8> {
        let next = self.queue.pop()?;
        self.of_vms -= usize::from(next & OF_VM != 0);
        Some(next as u8)
    }
}

/// The queue, as what somebody shows something on.
pub struct Outlet<'a> {
    output: &'a mut Output,
    port: &'a dyn Driver,
    /// [`OF_VM`], if it is for one.
    of: u16,
}

impl Screen for Outlet<'_> {
    // In many places.
    #[inline(never)]
    fn send(&mut self, byte: u8) {
        let is_first = self.output.queue.len() == 0;
        match is_first && self.port.send_some(&[byte]) == 1 {
            true => self.output.stalled = None,
            false => self.enqueue(byte),
        }
    }
}

impl Outlet<'_> {
    #[cold]
    fn enqueue(&mut self, byte: u8) {
        while !self.output.queue.push(self.of | u16::from(byte)) {
            match self.output.pop() {
                Some(oldest) => self.port.send(oldest),
                // There is no memory for a queue.
                None => {
                    self.port.send(byte);
                    return;
                }
            }
        }
        self.output.of_vms += usize::from(self.of != 0);
    }
}
