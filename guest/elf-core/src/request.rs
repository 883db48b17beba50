//! Which cores a program is asked to write: its command line, and what is typed.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// What is allowed where something is typed.
pub const USAGE: &str = "core [VM] ID|now FILE";

/// The command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options<'a> {
    /// The names of the VMs, in the order of `controls`.
    pub vms: Vec<&'a str>,
    /// A core that is written by itself, and the end of the run then.
    pub once: Option<Request<'a>>,
    /// After how many seconds.
    pub after: u64,
}

/// A core to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The place of the VM in `controls`.
    pub vm: usize,
    /// Its snapshot. None: it is to take one.
    pub snapshot: Option<u64>,
    /// Where the core goes.
    pub file: &'a str,
}

impl<'a> Options<'a> {
    /// Parses `vms=A,B after=SECONDS vm=A file=PATH`: all but the first may be left out. An error says what is wrong.
    pub fn parse(line: &'a str) -> Result<Self, String> {
        let mut options = Self::default();
        let (mut vm, mut file) = (None, None);
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some(("vms", names)) => options.vms = names.split(',').collect(),
                Some(("vm", name)) => vm = Some(name),
                Some(("file", path)) => file = Some(path),
                Some(("after", seconds)) => {
                    let seconds = seconds.parse();
                    options.after = seconds.map_err(|_| format!("{word}: this is no number"))?;
                }
                _ => return Err(format!("{word} is not allowed")),
            }
        }
        let vm = vm.map_or(Ok(0), |name| options.place(name))?;
        options.once = file.map(|file| Request {
            vm,
            snapshot: None,
            file,
        });
        Ok(options)
    }

    /// Parses what is typed, see [`USAGE`]. None if nothing is.
    pub fn request<'b>(&self, line: &'b str) -> Result<Option<Request<'b>>, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (vm, snapshot, file) = match words[..] {
            [] => return Ok(None),
            ["core", snapshot, file] => (0, snapshot, file),
            ["core", vm, snapshot, file] => (self.place(vm)?, snapshot, file),
            _ => return Err(format!("allowed: {USAGE}")),
        };
        let snapshot = match snapshot {
            "now" => None,
            id => {
                let id = id.trim_start_matches('#').parse();
                Some(id.map_err(|_| format!("{snapshot} is no snapshot; allowed: {USAGE}"))?)
            }
        };
        Ok(Some(Request { vm, snapshot, file }))
    }

    fn place(&self, name: &str) -> Result<usize, String> {
        let place = self.vms.iter().position(|vm| *vm == name);
        place.ok_or_else(|| format!("{name} is no VM of these; allowed: {}", self.vms.join(", ")))
    }
}
