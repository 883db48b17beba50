//! Cores of made-up machines, read back with a parser of others, page by page.

mod contents;
mod notes;
mod ranges;
mod requests;
mod tables;

use std::convert::Infallible;

use crate::machine::{Machine, PAGE, Stage1, Vcpu};

/// Where its RAM begins.
const RAM: u64 = 0x4000_0000;

/// A machine in memory.
struct Fake {
    ram: Vec<u8>,
    vcpus: Vec<Vcpu>,
}

impl Fake {
    /// So many pages of zeros, and a vCPU whose MMU is off.
    fn new(pages: u64) -> Self {
        let mut vcpu = Vcpu::OFF;
        vcpu.is_on = true;
        Self {
            ram: vec![0; (pages * PAGE) as usize],
            vcpus: vec![vcpu],
        }
    }

    fn store(&mut self, ipa: u64, bytes: &[u8]) {
        let at = (ipa - RAM) as usize;
        self.ram[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Its pages `from..to`.
    fn pages(&self, from: u64, to: u64) -> &[u8] {
        &self.ram[(from * PAGE) as usize..(to * PAGE) as usize]
    }
}

impl Machine for Fake {
    type Error = Infallible;

    fn ram(&self) -> (u64, u64) {
        (RAM, self.ram.len() as u64)
    }

    fn vcpus(&self) -> usize {
        self.vcpus.len()
    }

    fn vcpu(&mut self, n: usize) -> Result<Vcpu, Infallible> {
        Ok(self.vcpus[n])
    }

    fn read(&mut self, ipa: u64, to: &mut [u8]) -> Result<(), Infallible> {
        let at = usize::try_from(ipa - RAM).expect("it is within RAM");
        to.copy_from_slice(&self.ram[at..at + to.len()]);
        Ok(())
    }
}

/// Numbers that are the same each time (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }
}

/// Tables that a guest would write, by the rules of the Arm ARM (D8.2, D8.3), other than by the walk under test: from the last level up.
struct Tables {
    /// Bits of a page's addresses.
    page: u32,
    /// Bits of an address.
    input: u32,
    root: u64,
    /// Where the next table goes.
    next: u64,
}

impl Tables {
    fn new(page: u32, input: u32, at: u64) -> Self {
        Self {
            page,
            input,
            root: at,
            next: at + (1 << page),
        }
    }

    /// The first level of a walk (table D8-11 and those behind it).
    fn first_level(&self) -> u32 {
        (0..=3)
            .rev()
            .find(|level| self.page + (4 - level) * (self.page - 3) >= self.input)
            .expect("no more than four levels")
    }

    /// Maps `va`, of a page or of a block of that level. No matter in which half.
    fn map(&mut self, machine: &mut Fake, va: u64, ipa: u64, last: u32) {
        let per_table = self.page - 3;
        let mut table = self.root;
        for level in self.first_level()..=last {
            let index = (va % (1 << self.input)) >> (self.page + (3 - level) * per_table);
            let at = table + index % (1 << per_table) * 8;
            let mut entry = [0; 8];
            machine.read(at, &mut entry).expect("it is RAM");
            let found = u64::from_le_bytes(entry);
            let entry = match level == last {
                // AF, and execute-never, to have something above the address.
                true => ipa | 1 << 54 | 1 << 10 | if last == 3 { 3 } else { 1 },
                false if found & 1 != 0 => found,
                false => {
                    self.next += 1 << self.page;
                    // APTable, and bits that are the kernel's own.
                    (self.next - (1 << self.page)) | 1 << 62 | 1 << 59 | 1 << 2 | 3
                }
            };
            machine.store(at, &entry.to_le_bytes());
            table = entry & 0x0000_ffff_ffff_f000;
        }
    }
}

/// Both halves with these granules and sizes.
fn stage1(lower: Option<&Tables>, upper: Option<&Tables>) -> Stage1 {
    let field =
        |tables: Option<&Tables>, granules: [u64; 3], shift: u32, granule: u32, off: u32| {
            tables.map_or(1 << off, |tables| {
                let size = u64::from(64 - tables.input) << shift;
                size | granules[(tables.page as usize - 12) / 2] << granule
            })
        };
    let tcr = field(lower, [0, 2, 1], 0, 14, 7) | field(upper, [2, 1, 3], 16, 30, 23);
    // With an ASID and CnP.
    let root = |tables: Option<&Tables>| tables.map_or(0, |tables| tables.root | 7 << 48 | 1);
    Stage1 {
        sctlr: 1,
        tcr,
        ttbr: [root(lower), root(upper)],
    }
}
