//! Packets out of the bytes of the line (gdb's manual, "Overview" of the remote protocol). What comes through is whole and has its sum; all else, of a
//! client that died in the midst of one or of nobody at all, ends here.

use alloc::vec::Vec;

/// The longest packet's body, which the client is told.
pub const LONGEST: usize = 0x4000;

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A packet: its body, escapes as they came.
    Packet(Vec<u8>),
    /// A packet that something happened to.
    Broken,
    /// The client did not understand what it got.
    Again,
    /// Ctrl-C.
    Interrupt,
}

/// The state of a line.
#[derive(Default)]
pub struct Framing {
    body: Vec<u8>,
    state: State,
}

#[derive(Default)]
enum State {
    #[default]
    Between,
    Body,
    Sum(Option<u8>),
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

impl Framing {
    /// The next byte.
    pub fn push(&mut self, byte: u8) -> Option<Input> {
        match (&self.state, byte) {
            // In a body and a sum it is escaped: what came before has no end.
            (_, b'$') => {
                self.body.clear();
                self.state = State::Body;
                None
            }
            (State::Between, 3) => Some(Input::Interrupt),
            (State::Between, b'-') => Some(Input::Again),
            (State::Between, _) => None,
            (State::Body, b'#') => {
                self.state = State::Sum(None);
                None
            }
            (State::Body, _) if self.body.len() >= LONGEST => {
                self.state = State::Between;
                None
            }
            (State::Body, _) => {
                self.body.push(byte);
                None
            }
            (State::Sum(None), _) => {
                self.state = State::Sum(Some(byte));
                None
            }
            (&State::Sum(Some(first)), _) => {
                self.state = State::Between;
                let sum = digit(first).zip(digit(byte));
                let sum = sum.map(|(high, low)| high << 4 | low);
                Some(match sum == Some(sum_of(&self.body)) {
                    true => Input::Packet(core::mem::take(&mut self.body)),
                    false => Input::Broken,
                })
            }
        }
    }
}

/// The sum of a body.
pub fn sum_of(body: &[u8]) -> u8 {
    body.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// A packet with this body, which needs no escapes.
pub fn packet(body: &[u8]) -> Vec<u8> {
    let sum = sum_of(body);
    let mut packet = alloc::vec![b'$'];
    packet.extend_from_slice(body);
    packet.extend_from_slice(alloc::format!("#{sum:02x}").as_bytes());
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Vec<Input> {
        let mut framing = Framing::default();
        bytes
            .iter()
            .filter_map(|&byte| framing.push(byte))
            .collect()
    }

    #[test]
    fn what_is_whole_comes_through() {
        let is = |text: &[u8]| Input::Packet(text.to_vec());
        assert_eq!(all(b"+$g#67"), [is(b"g")]);
        assert_eq!(all(b"$#00"), [is(b"")]);
        assert_eq!(all(b"\x03"), [Input::Interrupt]);
        // In a body it is a byte like others.
        assert_eq!(all(b"$X\x03#5b"), [is(b"X\x03")]);
        assert_eq!(all(b"-+"), [Input::Again]);
        assert_eq!(all(b"$g#68$g#67"), [Input::Broken, is(b"g")]);
        // One that ends in the midst of a packet, and the next one.
        assert_eq!(all(b"$m1000,4$?#3f"), [is(b"?")]);
        assert_eq!(all(b"$g#6$?#3f"), [is(b"?")]);
        assert_eq!(all(b"$g#zz"), [Input::Broken]);
        let long = [b"$".as_slice(), &[b'x'; LONGEST + 5], b"#00$?#3f"].concat();
        assert_eq!(all(&long), [is(b"?")]);
    }

    #[test]
    fn packets_have_sums() {
        assert_eq!(packet(b"OK"), b"$OK#9a");
    }
}
