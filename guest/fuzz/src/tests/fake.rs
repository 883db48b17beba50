//! A target that is a function, and files that are in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::engine;
use crate::exchange::Exchange;
use crate::layout::{Comparison, KEPT, MAP_BYTES, WINDOW_BYTES, Window};
use crate::options::Options;
use crate::target::{Costs, Ending, Output, Target};

/// What a function tells of itself, as coverage does.
pub struct Probe(Window);

impl Probe {
    /// Edge `number` was taken.
    pub fn edge(&self, number: usize) {
        assert!(number < MAP_BYTES);
        // SAFETY: in the map.
        unsafe {
            let count = self.0.map().add(number);
            count.write(count.read().wrapping_add(1).max(1));
        }
    }

    /// A constant was compared with a value of 4 bytes, at place `site`.
    pub fn compares(&self, site: usize, a: u32, b: u32) -> bool {
        let header = self.0.header();
        // SAFETY: in the window.
        unsafe {
            if (*header).wants_comparisons != 0 {
                let count = self.0.counts().add(site);
                let place = usize::from(count.read()) % KEPT;
                count.write(count.read().wrapping_add(1).max(1));
                let comparison = Comparison {
                    a: a.into(),
                    b: b.into(),
                    bytes: 4,
                    constant: 1,
                };
                self.0
                    .comparisons()
                    .add(site * KEPT + place)
                    .write(comparison);
            }
        }
        a == b
    }
}

#[repr(C, align(4096))]
struct Memory([u8; WINDOW_BYTES]);

/// The target.
pub struct Fake<F> {
    memory: Box<Memory>,
    function: F,
    time: std::cell::Cell<u64>,
}

impl<F: FnMut(&[u8], &Probe) -> Ending> Target for Fake<F> {
    fn window(&self) -> Window {
        // SAFETY: the memory stays as long as this does, and is only used by windows.
        unsafe { Window::at((&raw const *self.memory).cast_mut().cast()) }
    }

    fn round(&mut self) -> Ending {
        let window = self.window();
        // SAFETY: the fuzzer does nothing meanwhile.
        let input = unsafe {
            std::slice::from_raw_parts(window.input(), (*window.header()).input_bytes as usize)
        };
        (self.function)(input, &Probe(window))
    }

    fn costs(&self) -> Costs {
        Costs::default()
    }

    /// A microsecond more each time.
    fn now(&self) -> u64 {
        self.time.replace(self.time.get() + 1000)
    }
}

/// The files.
#[derive(Default)]
pub struct Files {
    /// By their paths.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What was shown.
    pub shown: String,
}

impl Output for Files {
    fn write(&mut self, path: &str, bytes: &[u8]) {
        self.files.insert(path.into(), bytes.into());
    }

    fn append(&mut self, path: &str, bytes: &[u8]) {
        self.files.entry(path.into()).or_default().extend(bytes);
    }

    fn read(&mut self, path: &str, offset: u64, most: usize) -> Vec<u8> {
        let file = self.files.get(path).into_iter().flatten();
        file.copied().skip(offset as usize).take(most).collect()
    }

    fn show(&mut self, text: &str) {
        self.shown += text;
    }
}

impl Files {
    /// Those of a folder.
    pub fn of(&self, folder: &str) -> Vec<(&str, &[u8])> {
        let files = self.files.iter();
        files
            .filter_map(|(path, bytes)| {
                Some((path.strip_prefix(folder)?.strip_prefix('/')?, &bytes[..]))
            })
            .collect()
    }
}

/// An archive with these files.
pub fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, bytes) in files.iter().chain(&[("TRAILER!!!", &[][..])]) {
        let fields = [0, 0, 0, 0, 1, 0, bytes.len(), 0, 0, 0, 0, name.len() + 1, 0];
        archive.extend(b"070701");
        for field in fields {
            archive.extend(format!("{field:08X}").bytes());
        }
        for part in [[name.as_bytes(), b"\0"].concat().as_slice(), bytes] {
            archive.extend(part);
            archive.resize(archive.len().next_multiple_of(4), 0);
        }
    }
    archive
}

/// Fuzzes `function` as the options of `line` say.
pub fn run(
    line: &str,
    archive: &[u8],
    function: impl FnMut(&[u8], &Probe) -> Ending,
) -> (Files, Result<(), String>) {
    run_job(line, archive, Exchange::alone(), function)
}

/// The same, as a job of several.
pub fn run_job(
    line: &str,
    archive: &[u8],
    exchange: Exchange,
    function: impl FnMut(&[u8], &Probe) -> Ending,
) -> (Files, Result<(), String>) {
    run_with(Files::default(), line, archive, exchange, function)
}

/// The same, with files that are there already.
pub fn run_with(
    mut files: Files,
    line: &str,
    archive: &[u8],
    exchange: Exchange,
    function: impl FnMut(&[u8], &Probe) -> Ending,
) -> (Files, Result<(), String>) {
    // LibAFL has a list of types without a lock.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    // SAFETY: zeros are bytes.
    let memory = unsafe { Box::<Memory>::new_zeroed().assume_init() };
    let mut target = Fake {
        memory,
        function,
        time: Default::default(),
    };
    let options = Options::parse(line).unwrap();
    let result = engine::run(&mut target, 64, &options, archive, exchange, &mut files);
    (files, result)
}
