//! A client, of few words.

use super::fake::Fake;
use crate::debugger::Debugger;
use crate::framing::packet;
use crate::stub::{Next, Stub};
use crate::vm::Vm;

/// gdb's first words.
pub const HELLO: &str = "qSupported:multiprocess+;swbreak+;hwbreak+;qRelocInsn+;vContSupported+";

/// A stub, and somebody on its line.
pub struct Client {
    pub stub: Stub<Fake>,
    pub output: Vec<u8>,
}

impl Client {
    /// Nobody, so far.
    pub fn nobody(fakes: &[(&str, &Fake)]) -> Self {
        let vms = fakes
            .iter()
            .map(|(name, fake)| Vm::new(name, Fake::clone(fake)))
            .collect();
        Self {
            stub: Stub::new(Debugger::new(vms)),
            output: Vec::new(),
        }
    }

    /// One that has said hello to the machine `vm`.
    pub fn new(fake: &Fake) -> Self {
        let mut client = Self::nobody(&[("vm", fake)]);
        client.hello();
        client
    }

    /// As gdb begins.
    pub fn hello(&mut self) {
        self.raw(b"+");
        let features = self.ask(HELLO);
        assert!(features.contains("ReverseStep+;"), "{features}");
        assert_eq!(self.ask("QStartNoAckMode"), "OK");
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.stub.byte(byte);
        }
        self.output.extend(self.stub.output());
    }

    /// A packet, and its answer at once.
    pub fn ask(&mut self, body: &str) -> String {
        self.output.clear();
        self.raw(&packet(body.as_bytes()));
        self.answer().unwrap_or_else(|| panic!("{body}: no answer"))
    }

    /// A packet that has no answer yet.
    pub fn tell(&mut self, body: &str) {
        self.output.clear();
        self.raw(&packet(body.as_bytes()));
        assert_eq!(self.answer(), None);
    }

    /// Has the VMs run until there is an answer: texts for the console, and the stop.
    pub fn wait(&mut self) -> (String, String) {
        let mut text = String::new();
        for _ in 0..2_000_000 {
            if let Some(answer) = self.answer() {
                match answer.strip_prefix('O') {
                    Some(hex) => text += &unhex(hex),
                    None => return (text, answer),
                }
                continue;
            }
            assert_ne!(self.stub.turn(), Next::End);
            self.output.extend(self.stub.output());
        }
        panic!("it never stopped");
    }

    /// Goes on by a packet to the next stop.
    pub fn go(&mut self, body: &str) -> String {
        self.tell(body);
        self.wait().1
    }

    /// A monitor's command, and what it says.
    pub fn monitor(&mut self, line: &str) -> String {
        let hex: String = line.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.output.clear();
        self.raw(&packet(format!("qRcmd,{hex}").as_bytes()));
        let mut text = String::new();
        loop {
            let answer = self.answer().expect("it is told at once");
            match answer.strip_prefix('O') {
                Some("K") => return text,
                Some(hex) => text += &unhex(hex),
                None => panic!("{answer}"),
            }
        }
    }

    /// The pc, by the client's own question.
    pub fn pc(&mut self) -> u64 {
        self.register(32)
    }

    /// A register of 64 bits.
    pub fn register(&mut self, number: usize) -> u64 {
        let hex = self.ask(&format!("p{number:x}"));
        u64::from_str_radix(&hex, 16)
            .unwrap_or_else(|_| panic!("{hex}"))
            .swap_bytes()
    }

    /// The next packet that came, with repeats written out.
    fn answer(&mut self) -> Option<String> {
        let start = self.output.iter().position(|&byte| byte == b'$')?;
        let end = start + self.output[start..].iter().position(|&byte| byte == b'#')?;
        let body: Vec<u8> = self.output.drain(..end + 3).collect();
        let mut text = Vec::new();
        let mut bytes = body[start + 1..end].iter();
        while let Some(&byte) = bytes.next() {
            match byte {
                b'*' => {
                    let count = bytes.next().expect("a count") - 29;
                    let last = *text.last().expect("something to repeat");
                    text.extend((0..count).map(|_| last));
                }
                b'}' => text.push(bytes.next().expect("an escape") ^ 0x20),
                byte => text.push(byte),
            }
        }
        Some(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Bytes as hexadecimal digits, the way that a client reads memory.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(hex: &str) -> String {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
    (0..hex.len())
        .step_by(2)
        .map(|at| char::from(byte(at)))
        .collect()
}
