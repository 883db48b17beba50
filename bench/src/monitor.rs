//! QEMU's monitor, by QMP.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::{Duration, Instant};

/// How long the monitor may take for what it is asked for, and the machine to come to where it is waited for.
const PATIENCE: Duration = Duration::from_secs(240);
/// How long QEMU may take to open it.
const START: Duration = Duration::from_secs(30);

/// QEMU's monitor.
pub struct Monitor {
    socket: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Monitor {
    pub fn connect(at: &Path) -> Result<Self, String> {
        let failed = |error| format!("{}: {error}", at.display());
        let deadline = Instant::now() + START;
        let socket = loop {
            match UnixStream::connect(at) {
                Ok(socket) => break socket,
                Err(error) if Instant::now() > deadline => return Err(failed(error)),
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        };
        socket.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        let lines = BufReader::new(socket.try_clone().map_err(failed)?);
        let mut monitor = Self { socket, lines };
        monitor.ask(r#"{"execute":"qmp_capabilities"}"#)?;
        Ok(monitor)
    }

    /// A place for its socket. The path has room for a hundred bytes or so.
    pub fn socket() -> PathBuf {
        env::temp_dir().join(format!("avisor-bench-{}", process::id()))
    }

    /// What gives a QEMU a monitor there.
    pub fn arguments(socket: &Path) -> Vec<String> {
        let place = format!("unix:{},server=on,wait=off", socket.display());
        vec!["-qmp".to_owned(), place]
    }

    /// Nanoseconds that a command takes.
    pub fn timed(&mut self, command: &str) -> Result<f64, String> {
        let request = format!(
            r#"{{"execute":"human-monitor-command","arguments":{{"command-line":"{command}"}}}}"#
        );
        let start = Instant::now();
        let answer = self.ask(&request)?;
        let taken = start.elapsed();
        // The command's output: it has none but for a mistake.
        if answer.trim_end() != r#"{"return": ""}"# {
            return Err(format!("QEMU's {command}: {answer}"));
        }
        Ok(taken.as_nanos() as f64)
    }

    /// Sends a request; what comes back, events left out.
    pub fn ask(&mut self, request: &str) -> Result<String, String> {
        writeln!(self.socket, "{request}").map_err(failed)?;
        self.line(|line| line.starts_with(r#"{"return""#) || line.starts_with(r#"{"error""#))
    }

    /// Waits for an event.
    pub fn wait_for(&mut self, event: &str) -> Result<(), String> {
        let event = format!(r#""event": "{event}""#);
        self.line(|line| line.contains(&event)).map(drop)
    }

    /// The next line of those that are wanted.
    fn line(&mut self, wanted: impl Fn(&str) -> bool) -> Result<String, String> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).map_err(failed)? == 0 {
                return Err("QEMU's monitor is gone".into());
            }
            if wanted(&line) {
                return Ok(line);
            }
        }
    }
}

fn failed(error: io::Error) -> String {
    format!("QEMU's monitor: {error}")
}
