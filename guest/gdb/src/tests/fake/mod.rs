//! A machine that understands a dozen instructions, with snapshots that copy all.

mod execute;
mod machine;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use crate::machine::{Id, Info, Kind, Machine, Refused, Registers, State, Stop, system};
use crate::vm::RAM;

/// Bytes of its RAM.
pub const SIZE: usize = 8 * 4096;
/// Where the kernel's virtual addresses begin: RAM, but for its last page.
pub const KERNEL: u64 = 0xffff_8000_0000_0000;
/// Where programs begin: virtual and physical.
pub const CODE: u64 = KERNEL + 0x1000;
/// Data, which no program is.
pub const DATA: u64 = KERNEL + 0x3000;
/// Instructions until RUN is interrupted.
const TURN: usize = 50;

/// A snapshot: all of it.
#[derive(Clone)]
struct Snapshot {
    memory: Vec<u8>,
    /// Who wrote each page last.
    frames: Vec<u64>,
    cpus: Vec<Registers>,
    parent: Option<Id>,
}

/// What the machine has.
pub struct Inner {
    pub memory: Vec<u8>,
    frames: Vec<u64>,
    /// Pages that nothing was stored to since the last checkpoint or restore.
    clean: Vec<bool>,
    pub cpus: Vec<Registers>,
    monitors: Vec<Option<u64>>,
    snapshots: BTreeMap<Id, Snapshot>,
    base: Option<Id>,
    next: Id,
    /// It runs, as far as the controller is concerned.
    pub is_running: bool,
    pub is_off: bool,
    news: VecDeque<Stop>,
    brk: Option<u16>,
    pub comparators: BTreeMap<usize, (Kind, u64, u64)>,
    /// Counts instructions, and goes on over restores.
    ticks: u64,
    stores: u64,
    /// A checkpoint by itself after so many instructions.
    pub checkpoint_at: Option<u64>,
    /// The snapshots that a pool takes along as soon as there are more.
    pub most: usize,
    pub resets: usize,
    /// How often snapshots were compared.
    pub compared: Cell<u32>,
    /// How often somebody asked about a snapshot.
    pub asked: Cell<u32>,
    image: Vec<u8>,
}

/// The machine; a copy is the same one.
#[derive(Clone)]
pub struct Fake(pub Rc<RefCell<Inner>>);

impl Fake {
    /// With so many CPUs, which begin at [`CODE`], all on, and this program there.
    pub fn new(cpus: usize, program: &[u32]) -> Self {
        let mut memory = vec![0; SIZE];
        for (n, word) in program.iter().enumerate() {
            memory[0x1000 + 4 * n..][..4].copy_from_slice(&word.to_le_bytes());
        }
        let cpu = Registers {
            state: 1,
            pc: CODE,
            pstate: 0x3c5,
            ..Registers::default()
        };
        let inner = Inner {
            image: memory.clone(),
            memory,
            frames: vec![0; SIZE / 4096],
            clean: vec![false; SIZE / 4096],
            cpus: vec![cpu; cpus],
            monitors: vec![None; cpus],
            snapshots: BTreeMap::new(),
            base: None,
            next: 0,
            is_running: true,
            is_off: false,
            news: VecDeque::new(),
            brk: None,
            comparators: BTreeMap::new(),
            ticks: 0,
            stores: 0,
            checkpoint_at: None,
            most: usize::MAX,
            resets: 0,
            compared: Cell::new(0),
            asked: Cell::new(0),
        };
        Self(Rc::new(RefCell::new(inner)))
    }

    /// The doubleword at a kernel's address, as it is in memory.
    pub fn double(&self, va: u64) -> u64 {
        let inner = self.0.borrow();
        let at = (va - KERNEL) as usize;
        u64::from_le_bytes(inner.memory[at..at + 8].try_into().unwrap())
    }

    /// The instruction there.
    pub fn word(&self, va: u64) -> u32 {
        self.double(va & !7).to_le_bytes()[(va & 4) as usize..][..4]
            .try_into()
            .map(u32::from_le_bytes)
            .unwrap()
    }

    pub fn pc(&self, cpu: usize) -> u64 {
        self.0.borrow().cpus[cpu].pc
    }

    /// The snapshots that there are.
    pub fn ids(&self) -> BTreeSet<Id> {
        self.0.borrow().snapshots.keys().copied().collect()
    }
}

/// A kernel's address as an offset in RAM.
fn place(va: u64) -> Option<usize> {
    let at = va.checked_sub(KERNEL)? as usize;
    (at < SIZE - 4096).then_some(at)
}

fn at(address: u64, bytes: usize) -> Result<core::ops::Range<usize>, Refused> {
    let from = address.checked_sub(RAM).ok_or(Refused::Invalid)? as usize;
    let to = from.checked_add(bytes).ok_or(Refused::Invalid)?;
    (to <= SIZE).then_some(from..to).ok_or(Refused::Invalid)
}

impl Inner {
    fn write(&mut self, from: usize, bytes: &[u8]) {
        self.stores += 1;
        self.memory[from..from + bytes.len()].copy_from_slice(bytes);
        for page in from / 4096..=(from + bytes.len() - 1) / 4096 {
            self.frames[page] = self.stores;
            self.clean[page] = false;
        }
    }

    fn checkpoint(&mut self) -> Id {
        let id = self.next;
        self.next += 1;
        self.clean.fill(true);
        let snapshot = Snapshot {
            memory: self.memory.clone(),
            frames: self.frames.clone(),
            cpus: self.cpus.clone(),
            parent: self.base.replace(id),
        };
        self.snapshots.insert(id, snapshot);
        while self.snapshots.len() > self.most {
            self.snapshots.pop_first();
        }
        id
    }

    fn watched(&self, va: u64, store: bool) -> bool {
        let mut all = self.comparators.iter();
        all.any(|(&n, &(kind, at, bytes))| {
            let fits = match kind {
                Kind::Load => !store,
                Kind::Store => store,
                Kind::Access => true,
                Kind::Execute => false,
            };
            n >= 16 && fits && (at..at + bytes).contains(&va)
        })
    }

    fn call(&mut self, vcpu: usize) -> Stop {
        let x = self.cpus[vcpu].x;
        match x[0] {
            0x8400_0008 => {
                self.is_off = true;
                Stop::Off
            }
            0x8400_0009 => {
                self.resets += 1;
                self.memory = self.image.clone();
                self.stores += 1;
                self.frames = vec![self.stores; self.frames.len()];
                for cpu in &mut self.cpus {
                    *cpu = Registers {
                        state: 1,
                        pc: CODE,
                        pstate: 0x3c5,
                        ..Registers::default()
                    };
                }
                Stop::Reset
            }
            _ => Stop::Event([x[1], x[2], x[3]]),
        }
    }

    /// Runs all for a while.
    fn some(&mut self) -> Stop {
        for turn in 0..TURN {
            let vcpu = turn % self.cpus.len();
            if self.cpus[vcpu].state == 0 {
                continue;
            }
            if let Some(stop) = self.execute(vcpu, false) {
                self.is_running = false;
                return stop;
            }
        }
        Stop::Interrupted
    }
}
