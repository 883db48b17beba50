//! The line, the client on it, and what the VMs do meanwhile.

use alloc::string::String;
use alloc::vec::Vec;
use core::convert::Infallible;

use gdbstub::common::{Signal, Tid};
use gdbstub::conn::Connection;
use gdbstub::stub::state_machine::GdbStubStateMachine;
use gdbstub::stub::{DisconnectReason, GdbStubBuilder, MultiThreadStopReason};
use gdbstub::target::ext::base::reverse_exec::ReplayLogPosition;
use gdbstub::target::ext::breakpoints::WatchKind;

use crate::debugger::{Debugger, tid};
use crate::framing::{Framing, Input, LONGEST, packet};
use crate::machine::{Kind, Machine};
use crate::vm::Vm;
use crate::vm::plan::{Plan, Told, Why};

/// lldb's question for what it debugs, and the answer: gdbstub's has no word for when a watchpoint is told. The triple is
/// `aarch64-unknown-none`.
const HOST_INFO: &[u8] = b"qHostInfo";
const HOST_INFO_ANSWER: &[u8] = b"triple:616172636836342d756e6b6e6f776e2d6e6f6e65;endian:little;\
ptrsize:8;watchpoint_exceptions_received:before;";
/// lldb's question for how many watchpoints there are, without which it does not step over the instruction that one stopped at.
const WATCHPOINTS: &[u8] = b"qWatchpointSupportInfo:";
/// gdb's `kill`.
const KILL: &[u8] = b"vKill;";
/// The packets that begin a session.
const BEGINNINGS: [&[u8]; 2] = [b"qSupported", b"QStartNoAckMode"];

/// What goes to the client.
#[derive(Default)]
struct Wire {
    bytes: Vec<u8>,
    /// Since the last packet began.
    last: usize,
}

impl Connection for Wire {
    type Error = Infallible;

    fn write(&mut self, byte: u8) -> Result<(), Infallible> {
        if byte == b'$' {
            self.last = self.bytes.len();
        }
        self.bytes.push(byte);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

type Protocol<M> = GdbStubStateMachine<'static, Debugger<M>, Wire>;

/// A session with a client.
struct Session<M: Machine> {
    protocol: Protocol<M>,
    /// What began it, each at most once.
    began: [Option<Vec<u8>>; 2],
    /// The packet that went out last, for a client that did not understand it.
    last: Vec<u8>,
}

/// The stub.
pub struct Stub<M: Machine> {
    /// The VMs.
    pub debugger: Debugger<M>,
    session: Option<Session<M>>,
    framing: Framing,
    out: Vec<u8>,
}

/// What there is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Call [`Stub::turn`] again.
    Turn,
    /// Wait for input: nothing runs, or what runs needs nobody.
    Wait,
    /// All VMs are off, and nobody debugs them.
    End,
}

impl<M: Machine> Stub<M> {
    /// Nobody debugs these yet. Those that run go on; those that wait to be started wait for a client.
    pub fn new(debugger: Debugger<M>) -> Self {
        Self {
            debugger,
            session: None,
            framing: Framing::default(),
            out: Vec::new(),
        }
    }

    /// What goes to the client since the last time.
    pub fn output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.out)
    }

    /// Whether a VM that nobody debugs may need something without anything on the line: then [`turn`](Self::turn) is to be called some times a second.
    pub fn needs_alarm(&self) -> bool {
        self.debugger.vms.iter().any(|vm| vm.is_free)
    }

    /// A byte of the line.
    pub fn byte(&mut self, byte: u8) {
        match self.framing.push(byte) {
            None => {}
            Some(Input::Packet(body)) => self.packet(body),
            Some(Input::Interrupt) => self.interrupt(),
            Some(Input::Again) => {
                if let Some(session) = &self.session {
                    self.out.extend_from_slice(&session.last);
                }
            }
            // Who has agreed to send no acknowledgements, has a line that breaks nothing.
            Some(Input::Broken) => self.out.push(b'-'),
        }
    }

    /// Has the VMs run.
    pub fn turn(&mut self) -> Next {
        self.debugger.vms.iter_mut().for_each(Vm::tend);
        if self.runs()
            && let Some(told) = self.debugger.vm().advance()
        {
            self.report(told);
        }
        let is_over = |vm: &Vm<M>| vm.is_free && vm.is_off();
        match () {
            _ if self.session.is_none() && self.debugger.vms.iter().all(is_over) => Next::End,
            _ if self.runs() => Next::Turn,
            _ => Next::Wait,
        }
    }

    /// Whether the client waits for a stop.
    fn runs(&self) -> bool {
        let protocol = self.session.as_ref().map(|session| &session.protocol);
        matches!(protocol, Some(GdbStubStateMachine::Running(_)))
    }

    fn packet(&mut self, body: Vec<u8>) {
        if self.is_beginning(&body) {
            self.begin();
        }
        let Some(mut session) = self.session.take() else {
            // Without memory for a session there is none.
            return;
        };
        for (beginning, began) in BEGINNINGS.iter().zip(&mut session.began) {
            if body.starts_with(beginning) {
                *began = Some(body.clone());
            }
        }
        if let Some(answer) = self.answer(&body) {
            if session.began[1].is_none() {
                self.out.push(b'+');
            }
            session.last = packet(&answer);
            self.out.extend_from_slice(&session.last);
            self.session = Some(session);
            return;
        }
        let mut done = Some(session.protocol);
        // lldb's word for: all go on. gdbstub takes it for one thread's alone.
        let all = body == b"c" || (body.len() == 3 && body[0] == b'C');
        for byte in packet(if all { b"vCont;c" } else { &body }) {
            done = done.and_then(|protocol| feed(protocol, &mut self.debugger, byte));
        }
        self.go_on(done, session.began);
        if body.starts_with(KILL) && self.session.is_none() {
            // gdbstub says nothing, and gdb waits.
            self.out.extend_from_slice(&packet(b"OK"));
        }
    }

    /// The answers that gdbstub has none for.
    fn answer(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        if body == HOST_INFO {
            Some(HOST_INFO_ANSWER.to_vec())
        } else if body.starts_with(WATCHPOINTS) {
            let count = self.debugger.vm().comparators.watchpoints();
            Some(alloc::format!("num:{count};").into_bytes())
        } else {
            None
        }
    }

    /// A client that was not there before: nobody had one, or the packet is one that a client begins with.
    fn is_beginning(&self, body: &[u8]) -> bool {
        let Some(session) = &self.session else {
            return true;
        };
        let mut began = BEGINNINGS.iter().zip(&session.began);
        let is_again =
            began.any(|(beginning, began)| began.is_some() && body.starts_with(beginning));
        // A client that waits for a stop asks nothing; this is one that does not know that there is another one.
        is_again || (self.runs() && body == b"?")
    }

    fn begin(&mut self) {
        match self.session.take() {
            // The client before is gone. What it had set is, too.
            Some(_) => self.debugger.vm().detach(),
            None => self.debugger.vm().is_free = false,
        }
        // One that is off shows that in all that is asked.
        let _ = self.debugger.vm().attach();
        self.debugger.vm().is_free = false;
        self.session = fresh(&mut self.debugger).map(|protocol| Session {
            protocol,
            began: [None, None],
            last: Vec::new(),
        });
    }

    /// Takes what the protocol has to send, and what became of it.
    fn go_on(&mut self, done: Option<Protocol<M>>, began: [Option<Vec<u8>>; 2]) {
        let Some(protocol) = done else {
            return self.begin_again(began);
        };
        let (protocol, wire) = drained(protocol);
        self.out.extend_from_slice(&wire.bytes);
        let last = wire.bytes[wire.last..].to_vec();
        match protocol {
            GdbStubStateMachine::Disconnected(inner) => self.end(inner.get_reason()),
            protocol => {
                self.session = Some(Session {
                    protocol,
                    began,
                    last,
                });
            }
        }
    }

    /// A packet that makes no sense ended the protocol: it begins anew, where it was.
    fn begin_again(&mut self, began: [Option<Vec<u8>>; 2]) {
        let vm = self.debugger.vm();
        if vm.plan != Plan::Stand {
            vm.interrupt();
        }
        let mut protocol = fresh(&mut self.debugger);
        for body in began.iter().flatten() {
            for byte in packet(body) {
                protocol = protocol.and_then(|protocol| feed(protocol, &mut self.debugger, byte));
            }
        }
        self.session = protocol.map(|protocol| {
            // What it answers was answered before.
            let (protocol, _) = drained(protocol);
            if began[1].is_none() {
                self.out.push(b'+');
            }
            let last = packet(b"E16");
            self.out.extend_from_slice(&last);
            Session {
                protocol,
                began,
                last,
            }
        });
    }

    fn end(&mut self, reason: DisconnectReason) {
        let vm = self.debugger.vm();
        vm.detach();
        if reason == DisconnectReason::Kill {
            // What is off has nothing that could be reset.
            let _ = vm.reset();
        }
        vm.is_free = true;
        self.session = None;
    }

    fn interrupt(&mut self) {
        // Of one that stands, the client was told that already.
        if self.runs() {
            let told = self.debugger.vm().interrupt();
            self.report(told);
        }
    }

    fn report(&mut self, told: Told) {
        let Some(session) = self.session.take() else {
            return;
        };
        let GdbStubStateMachine::Running(inner) = session.protocol else {
            self.session = Some(session);
            return;
        };
        if !told.text.is_empty() {
            self.out.extend_from_slice(&packet(&console(&told.text)));
        }
        let reason = reason(&told.why, tid(self.debugger.vm().current));
        let done = inner.report_stop(&mut self.debugger, reason).ok();
        self.go_on(done, session.began);
    }
}

/// A text for the client's console.
fn console(text: &str) -> Vec<u8> {
    let mut body = String::from("O");
    for byte in text.bytes() {
        body += &alloc::format!("{byte:02x}");
    }
    body.into_bytes()
}

fn reason(why: &Why, tid: Tid) -> MultiThreadStopReason<u64> {
    let signal = |signal| MultiThreadStopReason::SignalWithThread { tid, signal };
    match *why {
        Why::Interrupt => signal(Signal::SIGINT),
        Why::Trap => signal(Signal::SIGTRAP),
        Why::Event => signal(Signal::SIGUSR1),
        Why::Breakpoint => MultiThreadStopReason::SwBreak(tid),
        Why::HardwareBreakpoint => MultiThreadStopReason::HwBreak(tid),
        Why::Watchpoint(kind, addr) => MultiThreadStopReason::Watch {
            tid,
            kind: match kind {
                Kind::Load => WatchKind::Read,
                Kind::Access => WatchKind::ReadWrite,
                _ => WatchKind::Write,
            },
            addr,
        },
        Why::Begin => MultiThreadStopReason::ReplayLog {
            tid: Some(tid),
            pos: ReplayLogPosition::Begin,
        },
    }
}

/// The protocol at its beginning.
fn fresh<M: Machine>(debugger: &mut Debugger<M>) -> Option<Protocol<M>> {
    let builder = GdbStubBuilder::new(Wire::default());
    let stub = builder.packet_buffer_size(LONGEST + 4).build().ok()?;
    stub.run_state_machine(debugger).ok()
}

/// A byte of a packet. `None`: the packet makes no sense, and the protocol is at its end.
fn feed<M: Machine>(
    protocol: Protocol<M>,
    debugger: &mut Debugger<M>,
    byte: u8,
) -> Option<Protocol<M>> {
    match protocol {
        GdbStubStateMachine::Idle(inner) => inner.incoming_data(debugger, byte).ok(),
        GdbStubStateMachine::Running(inner) => inner.incoming_data(debugger, byte).ok(),
        other => Some(other),
    }
}

/// What it has to send.
fn drained<M: Machine>(mut protocol: Protocol<M>) -> (Protocol<M>, Wire) {
    let wire = match &mut protocol {
        GdbStubStateMachine::Idle(inner) => inner.borrow_conn(),
        GdbStubStateMachine::Running(inner) => inner.borrow_conn(),
        GdbStubStateMachine::CtrlCInterrupt(inner) => inner.borrow_conn(),
        GdbStubStateMachine::Disconnected(inner) => inner.borrow_conn(),
    };
    let wire = core::mem::take(wire);
    (protocol, wire)
}
