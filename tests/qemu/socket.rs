//! Sockets of a QEMU that is being started with `unix:SOCKET,server=on,wait=off`.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// A place for a socket, unique to `test`: a short one, as the names of sockets must be.
pub fn place(test: &str) -> PathBuf {
    std::env::temp_dir().join(format!("avisor-{}-{test}", std::process::id()))
}

/// Connects to it. Neither that nor a read waits longer than `patience`.
pub fn connect(socket: &Path, patience: Duration) -> UnixStream {
    let deadline = Instant::now() + patience;
    let stream = loop {
        match UnixStream::connect(socket) {
            Ok(stream) => break stream,
            Err(error) if Instant::now() > deadline => panic!("{}: {error}", socket.display()),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    };
    let patience = Some(patience);
    stream.set_read_timeout(patience).expect("it is not zero");
    stream
}
