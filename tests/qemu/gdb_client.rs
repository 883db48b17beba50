//! The least of a debugger: a client of the stub that QEMU has for gdb, which reads and changes the CPU's registers.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::socket;

/// How long the machine may take to come to where it is wanted.
const PATIENCE: Duration = Duration::from_secs(60);

/// gdb's number of the pc.
const PC: usize = 32;
/// Digits of a register of 64 bits.
const DIGITS: usize = 16;

/// A machine that stands still.
pub struct Debugger {
    stub: BufReader<UnixStream>,
}

impl Debugger {
    /// A place for the socket, unique to `test`.
    pub fn socket(test: &str) -> PathBuf {
        socket::place(test)
    }

    /// Connects to a QEMU that is being started with `-gdb unix:SOCKET,server=on,wait=off`. That stops the machine.
    pub fn connect(socket: &Path) -> Self {
        Self {
            stub: BufReader::new(socket::connect(socket, PATIENCE)),
        }
    }

    /// Lets the machine run until it is found at `pc`.
    pub fn run_until_at(&mut self, pc: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.pc() != pc {
            assert!(Instant::now() < deadline, "it never came to {pc:#x}");
            self.send("c");
            thread::sleep(Duration::from_millis(50));
            // Stops it, outside of any packet.
            self.stub
                .get_mut()
                .write_all(b"\x03")
                .expect("QEMU is there");
            self.receive();
        }
    }

    /// The next instruction.
    pub fn step(&mut self) {
        self.ask("s");
    }

    /// Goes on somewhere else.
    pub fn set_pc(&mut self, pc: u64) {
        let answer = self.ask(&format!("P{PC:x}={:016x}", pc.swap_bytes()));
        assert_eq!(answer, "OK");
    }

    /// Where it is.
    pub fn pc(&mut self) -> u64 {
        let registers = self.ask("g");
        let pc = u64::from_str_radix(&registers[PC * DIGITS..][..DIGITS], 16);
        pc.expect("the stub sends hexadecimal digits").swap_bytes()
    }

    /// The exception level: PSTATE, 32 bits, comes behind the pc.
    pub fn level(&mut self) -> u32 {
        let registers = self.ask("g");
        let pstate = u32::from_str_radix(&registers[(PC + 1) * DIGITS..][..8], 16);
        let pstate = pstate.expect("the stub sends hexadecimal digits");
        pstate.swap_bytes() >> 2 & 3
    }

    /// Lets the machine run, and leaves it alone.
    pub fn go(mut self) {
        self.send("D");
    }

    fn ask(&mut self, what: &str) -> String {
        self.send(what);
        self.receive()
    }

    fn send(&mut self, what: &str) {
        let sum = what.bytes().fold(0_u8, u8::wrapping_add);
        let packet = format!("${what}#{sum:02x}");
        let stream = self.stub.get_mut();
        stream.write_all(packet.as_bytes()).expect("QEMU is there");
    }

    /// The next packet: `$text#sum`, perhaps with acknowledgements before it.
    fn receive(&mut self) -> String {
        let (mut before, mut text, mut sum) = (Vec::new(), Vec::new(), [0; 2]);
        self.stub
            .read_until(b'$', &mut before)
            .expect("QEMU is there");
        self.stub
            .read_until(b'#', &mut text)
            .expect("QEMU is there");
        self.stub.read_exact(&mut sum).expect("QEMU is there");
        self.stub.get_mut().write_all(b"+").expect("QEMU is there");
        text.pop();
        String::from_utf8(text).expect("the stub sends ASCII")
    }
}
