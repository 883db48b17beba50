//! Processes of a test: a place on this machine, and what they write.

use std::io::{BufRead, BufReader, Read};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::{self, JoinHandle};

use crate::times;

/// Held while QEMU runs.
static MACHINE: RwLock<()> = RwLock::new(());

/// A place on the machine that the tests run on.
pub enum Place {
    Shared {
        _held: RwLockReadGuard<'static, ()>,
    },
    Alone {
        _held: RwLockWriteGuard<'static, ()>,
    },
}

impl Place {
    /// Waits for it. A test that failed has left its own.
    pub fn take(alone: bool) -> Self {
        if alone {
            let _held = times::waits(|| MACHINE.write()).unwrap_or_else(PoisonError::into_inner);
            Self::Alone { _held }
        } else {
            let _held = times::waits(|| MACHINE.read()).unwrap_or_else(PoisonError::into_inner);
            Self::Shared { _held }
        }
    }
}

/// Lines as they come, without their ends.
pub fn read_lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).replace('\r', "");
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Everything, in a thread, so that whoever writes it never waits.
pub fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut all = Vec::new();
        // What came before an error is worth as much.
        let _ = from.read_to_end(&mut all);
        String::from_utf8_lossy(&all).into_owned()
    })
}

/// What a program says, on both of its outputs. It must succeed.
#[track_caller]
pub fn output_of(command: &mut Command) -> String {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let both = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&both).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    said
}
