//! A serial line that one VM has to itself: bytes of every value as they are, both ways.
//!
//! What the VM sends goes into the UART, or waits in a queue that its UART's transmit FIFO shows; it never waits here. What comes in is kept, up
//! to [`INPUT_MAX`] bytes, for a VM that is not on a core just now. With more, the rest stays in the UART, whose interrupt is off meanwhile: a sender that is
//! told to wait does, and from one that is not told the UART loses what it has no room for.

use crate::board::uart::Driver;
use crate::device::pl011::UNSENT_MAX;

/// Bytes that have come in and that the VM has not read yet: at 115,200 baud, those of a third of a second.
const INPUT_MAX: usize = 4096;
/// Bytes that are taken at a time, so that no sender keeps a core: the UART's interrupt comes again for the rest.
const BURST: usize = 64;

/// What [`SerialLine::serve`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// The VM has something to read, or room for output again.
    pub news: bool,
    /// The UART lost bytes.
    pub lost: bool,
}

/// The state of a line.
pub struct SerialLine {
    input: Queue<INPUT_MAX>,
    output: Queue<UNSENT_MAX>,
    /// The interrupts that are on: for input and for output.
    interrupts: (bool, bool),
}

impl Default for SerialLine {
    fn default() -> Self {
        Self::new()
    }
}

impl SerialLine {
    /// A line on which nothing came yet. [`serve`](Self::serve) is to be called once at the start: the UART raises its interrupt from then on.
    pub const fn new() -> Self {
        Self {
            input: Queue::EMPTY,
            output: Queue::EMPTY,
            interrupts: (false, false),
        }
    }

    /// Sends what waits and takes what came in, after the UART's interrupt.
    pub fn serve(&mut self, port: &dyn Driver) -> Served {
        port.end_stale_interrupt();
        let (waited, unread) = (self.unsent(), self.input.length);
        self.send(port);
        self.receive(port);
        self.set_interrupts(port);
        Served {
            news: self.unsent() < waited || self.input.length > unread,
            lost: port.take_overrun(),
        }
    }

    /// The VM sends a byte. One for which the queue has no room is lost, as in a UART whose FIFO is full.
    pub fn put(&mut self, byte: u8, port: &dyn Driver) {
        if self.unsent() == 0 && port.send_some(&[byte]) == 1 {
            return;
        }
        self.output.push(byte);
        self.set_interrupts(port);
        // There may be room since, which raises no interrupt if it came before that was on.
        self.send(port);
        self.set_interrupts(port);
    }

    /// How many of the bytes that the VM sent wait.
    pub fn unsent(&self) -> usize {
        self.output.length
    }

    /// The next byte for the VM.
    pub fn get(&mut self, port: &dyn Driver) -> Option<u8> {
        let byte = self.input.oldest().first().copied()?;
        self.input.remove(1);
        let (takes_input, _) = self.interrupts;
        if !takes_input && self.input.length <= INPUT_MAX / 2 {
            self.receive(port);
            self.set_interrupts(port);
        }
        Some(byte)
    }

    /// Whether [`get`](Self::get) has a byte.
    pub fn has_input(&self) -> bool {
        self.input.length > 0
    }

    #[inline(never)]
    fn send(&mut self, port: &dyn Driver) {
        // Twice, as what waits may lie round the end of its place.
        for _ in 0..2 {
            let waiting = self.output.oldest();
            if !waiting.is_empty() {
                let sent = port.send_some(waiting);
                self.output.remove(sent);
            }
        }
    }

    #[inline(never)]
    fn receive(&mut self, port: &dyn Driver) {
        for _ in 0..BURST {
            if self.input.is_full() {
                return;
            }
            let Some(byte) = port.receive() else { return };
            self.input.push(byte);
        }
    }

    fn set_interrupts(&mut self, port: &dyn Driver) {
        let wanted = (!self.input.is_full(), self.unsent() > 0);
        if self.interrupts != wanted {
            self.interrupts = wanted;
            port.set_interrupts(wanted.0, wanted.1);
        }
    }
}

/// Bytes, first in, first out: at most `MAX`.
struct Queue<const MAX: usize> {
    bytes: [u8; MAX],
    first: usize,
    length: usize,
}

impl<const MAX: usize> Queue<MAX> {
    const EMPTY: Self = Self {
        bytes: [0; MAX],
        first: 0,
        length: 0,
    };

    fn is_full(&self) -> bool {
        self.length == MAX
    }

    /// Adds a byte, if there is room.
    fn push(&mut self, byte: u8) {
        if !self.is_full() {
            self.bytes[(self.first + self.length) % MAX] = byte;
            self.length += 1;
        }
    }

    /// The oldest bytes, as many as lie in a row: some, if there are any.
    fn oldest(&self) -> &[u8] {
        let end = MAX.min(self.first + self.length);
        &self.bytes[self.first..end]
    }

    /// Removes the oldest `count` bytes, of those that there are.
    fn remove(&mut self, count: usize) {
        self.first = (self.first + count) % MAX;
        self.length -= count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;
    use std::vec::Vec;

    /// A UART with FIFOs of 8 bytes, whose sender and receiver are the test.
    #[derive(Default)]
    struct Fifos {
        coming: RefCell<VecDeque<u8>>,
        going: RefCell<VecDeque<u8>>,
        /// It had no room for output, which raises its interrupt when it has some again.
        was_full: Cell<bool>,
        interrupts: Cell<(bool, bool)>,
        lost: Cell<bool>,
        stale: Cell<bool>,
    }

    impl Fifos {
        fn irq(&self) -> bool {
            let (input, output) = self.interrupts.get();
            let has_room = self.was_full.get() && self.going.borrow().len() < 8;
            input && !self.coming.borrow().is_empty() || output && has_room
        }

        /// What left it.
        fn leave(&self, count: usize) -> Vec<u8> {
            let mut going = self.going.borrow_mut();
            let count = count.min(going.len());
            going.drain(..count).collect()
        }

        fn has_room(&self) -> bool {
            self.coming.borrow().len() < 8
        }

        fn come(&self, byte: u8) -> bool {
            let room = self.has_room();
            if room {
                self.coming.borrow_mut().push_back(byte);
            }
            room
        }
    }

    impl Driver for Fifos {
        fn send_some(&self, bytes: &[u8]) -> usize {
            let mut going = self.going.borrow_mut();
            let room = 8 - going.len();
            let count = room.min(bytes.len());
            going.extend(&bytes[..count]);
            self.was_full.set(count == room);
            count
        }

        fn receive(&self) -> Option<u8> {
            self.coming.borrow_mut().pop_front()
        }

        fn take_overrun(&self) -> bool {
            self.lost.take()
        }

        fn set_interrupts(&self, input: bool, output: bool) {
            self.interrupts.set((input, output));
        }

        fn end_stale_interrupt(&self) {
            self.stale.set(false);
        }
    }

    const NOTHING: Served = Served {
        news: false,
        lost: false,
    };

    fn line() -> (SerialLine, Fifos) {
        let (mut line, port) = (SerialLine::new(), Fifos::default());
        assert_eq!(line.serve(&port), NOTHING);
        assert_eq!(port.interrupts.get(), (true, false));
        (line, port)
    }

    #[test]
    fn what_there_is_no_room_for_waits_in_the_uart() {
        let (mut line, port) = line();
        let mut sent = 0_usize;
        while port.come(sent as u8) {
            sent += 1;
            if port.irq() {
                assert!(line.serve(&port).news);
            }
        }
        assert_eq!(sent, INPUT_MAX + 8);
        assert_eq!(port.interrupts.get(), (false, false), "it would never fall");
        for got in 0..sent {
            assert_eq!(line.get(&port), Some(got as u8));
            assert_eq!(port.interrupts.get().0, got >= INPUT_MAX / 2 - 1, "{got}");
        }
        assert_eq!(line.get(&port), None);
        assert!(!line.has_input());
    }

    #[test]
    fn a_burst_ends_and_the_interrupt_stays_for_the_rest() {
        #[derive(Default)]
        struct Endless(Cell<bool>);
        impl Driver for Endless {
            fn send_some(&self, _: &[u8]) -> usize {
                0
            }
            fn receive(&self) -> Option<u8> {
                Some(b'x')
            }
            fn take_overrun(&self) -> bool {
                false
            }
            fn set_interrupts(&self, input: bool, _: bool) {
                self.0.set(input);
            }
            fn end_stale_interrupt(&self) {}
        }
        let (mut line, port) = (SerialLine::new(), Endless::default());
        assert!(line.serve(&port).news);
        assert_eq!((line.input.length, port.0.get()), (BURST, true));
    }

    #[test]
    fn nobody_waits_for_output() {
        let (mut line, port) = line();
        for byte in 0..30 {
            line.put(byte, &port);
            assert_eq!(line.unsent(), usize::from(byte).saturating_sub(7).min(16));
        }
        assert_eq!(port.interrupts.get(), (true, true));
        let mut left = port.leave(8);
        assert!(port.irq() && line.serve(&port).news);
        assert_eq!((line.unsent(), port.irq()), (8, false));
        left.extend(port.leave(3));
        assert!(line.serve(&port).news);
        left.extend(port.leave(8));
        assert!(line.serve(&port).news);
        assert_eq!(port.interrupts.get(), (true, false));
        assert_eq!(line.serve(&port), NOTHING);
        left.extend(port.leave(8));
        assert_eq!(
            left,
            (0..24).collect::<Vec<u8>>(),
            "its FIFO and the queue held so many"
        );
    }

    #[test]
    fn what_the_uart_lost_is_said_once() {
        let (mut line, port) = line();
        port.lost.set(true);
        port.stale.set(true);
        let lost = Served {
            news: false,
            lost: true,
        };
        assert_eq!(line.serve(&port), lost);
        assert!(!port.stale.get());
        assert_eq!(line.serve(&port), NOTHING);
    }

    proptest! {
        /// Whatever the speeds of both ends: a VM that waits for room loses nothing, in no direction, and all comes to an end by interrupts alone.
        #[test]
        fn nothing_is_lost(input in vec(any::<u8>(), 0..6000), output in vec(any::<u8>(), 0..300), speeds in vec((0..20usize, 0..20usize, 0..20usize, 0..20usize), 1..20)) {
            let (mut line, port) = line();
            let (mut got, mut left) = (Vec::new(), Vec::new());
            let (mut coming, mut going) = (input.iter().copied().peekable(), output.iter().copied().peekable());
            for (comes, reads, sends, leaves) in speeds.into_iter().chain(std::iter::repeat_n((8, 8, 8, 8), 2000)) {
                for _ in 0..comes {
                    if let Some(byte) = coming.next_if(|_| port.has_room()) {
                        port.come(byte);
                    }
                }
                for _ in 0..sends {
                    if let Some(byte) = going.next_if(|_| line.unsent() < UNSENT_MAX) {
                        line.put(byte, &port);
                    }
                }
                if port.irq() {
                    line.serve(&port);
                }
                got.extend((0..reads).map_while(|_| line.get(&port)));
                left.extend(port.leave(leaves));
            }
            prop_assert_eq!(got, input);
            prop_assert_eq!(left, output);
        }
    }
}
