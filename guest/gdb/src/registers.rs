//! The registers by gdb's numbers, and the description of them that the client reads (gdb's manual, "AArch64 Features").

use alloc::string::String;
use core::fmt::Write;

use crate::machine::{Registers, SYSTEM_REGISTERS, system};

/// Numbers of registers. From [`number::SYSTEM`] on there are the system registers.
pub mod number {
    /// Of sp, behind x0 to x30.
    pub const SP: usize = 31;
    /// Of pc.
    pub const PC: usize = 32;
    /// Of PSTATE, which gdb calls cpsr.
    pub const CPSR: usize = 33;
    /// Of v0.
    pub const V: usize = 34;
    /// Of FPSR.
    pub const FPSR: usize = 66;
    /// Of FPCR.
    pub const FPCR: usize = 67;
    /// Of the first system register.
    pub const SYSTEM: usize = 68;
}

/// The system registers' names.
pub const SYSTEM: [&str; SYSTEM_REGISTERS] = [
    "SP_EL0",
    "SP_EL1",
    "ELR_EL1",
    "SPSR_EL1",
    "ESR_EL1",
    "FAR_EL1",
    "AFSR0_EL1",
    "AFSR1_EL1",
    "PAR_EL1",
    "VBAR_EL1",
    "CPACR_EL1",
    "TTBR0_EL1",
    "TTBR1_EL1",
    "MAIR_EL1",
    "AMAIR_EL1",
    "CONTEXTIDR_EL1",
    "TPIDR_EL0",
    "TPIDRRO_EL0",
    "TPIDR_EL1",
    "CSSELR_EL1",
    "CNTKCTL_EL1",
    "CNTV_CVAL_EL0",
    "CNTV_CTL_EL0",
    "SCTLR_EL1",
    "TCR_EL1",
    "APIAKeyLo_EL1",
    "APIAKeyHi_EL1",
    "APIBKeyLo_EL1",
    "APIBKeyHi_EL1",
    "APDAKeyLo_EL1",
    "APDAKeyHi_EL1",
    "APDBKeyLo_EL1",
    "APDBKeyHi_EL1",
    "APGAKeyLo_EL1",
    "APGAKeyHi_EL1",
];

/// How many registers there are.
pub const COUNT: usize = number::SYSTEM + SYSTEM_REGISTERS;

/// Bytes of a register.
pub fn size(number: usize) -> Option<usize> {
    match number {
        number::CPSR | number::FPSR | number::FPCR => Some(4),
        number::V..number::FPSR => Some(16),
        0..COUNT => Some(8),
        _ => None,
    }
}

impl Registers {
    /// Where the system registers have what the program calls sp: PSTATE.SPSel and the level decide.
    fn sp_place(&self) -> usize {
        // M[3:0] is EL1h.
        if self.pstate & 0b1111 == 0b0101 {
            system::SP_EL1
        } else {
            system::SP_EL0
        }
    }

    /// The register with this number, in as many bytes as [`size`] says, from the lowest on.
    pub fn get(&self, number: usize) -> Option<u128> {
        Some(match number {
            0..number::SP => self.x[number].into(),
            number::SP => self.system[self.sp_place()].into(),
            number::PC => self.pc.into(),
            number::CPSR => self.pstate.into(),
            number::V..number::FPSR => self.q[number - number::V],
            number::FPSR => self.fpsr.into(),
            number::FPCR => self.fpcr.into(),
            number::SYSTEM..COUNT => self.system[number - number::SYSTEM].into(),
            _ => return None,
        })
    }

    /// Sets it.
    pub fn set(&mut self, number: usize, value: u128) -> Option<()> {
        let low = value as u64;
        match number {
            0..number::SP => self.x[number] = low,
            number::SP => self.system[self.sp_place()] = low,
            number::PC => self.pc = low,
            number::CPSR => self.pstate = low,
            number::V..number::FPSR => self.q[number - number::V] = value,
            number::FPSR => self.fpsr = low,
            number::FPCR => self.fpcr = low,
            number::SYSTEM..COUNT => self.system[number - number::SYSTEM] = low,
            _ => return None,
        }
        Some(())
    }
}

/// PSTATE's fields that a kernel's author looks at, as flags for gdb: name, lowest bit, highest bit.
const FLAGS: [(&str, u32, u32); 17] = [
    ("SP", 0, 0),
    ("EL", 2, 3),
    ("nRW", 4, 4),
    ("F", 6, 6),
    ("I", 7, 7),
    ("A", 8, 8),
    ("D", 9, 9),
    ("BTYPE", 10, 11),
    ("SSBS", 12, 12),
    ("IL", 20, 20),
    ("SS", 21, 21),
    ("PAN", 22, 22),
    ("UAO", 23, 23),
    ("V", 28, 28),
    ("C", 29, 29),
    ("Z", 30, 30),
    ("N", 31, 31),
];

/// The kinds of elements that a SIMD register is shown as: field, gdb's type, how many.
const VECTORS: [(&str, &str, usize); 8] = [
    ("df", "ieee_double", 2),
    ("d", "int64", 2),
    ("f", "ieee_single", 4),
    ("s", "int32", 4),
    ("h", "int16", 8),
    ("b", "int8", 16),
    ("du", "uint64", 2),
    ("su", "uint32", 4),
];

/// The description, `target.xml`.
pub fn description() -> String {
    let mut text = String::with_capacity(12 << 10);
    // Writing to a text does not fail.
    let _ = write_description(&mut text);
    text
}

fn write_description(text: &mut String) -> core::fmt::Result {
    text.push_str(
        "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n<target version=\"1.0\">\n\
         <architecture>aarch64</architecture>\n<feature name=\"org.gnu.gdb.aarch64.core\">\n\
         <flags id=\"cpsr_flags\" size=\"4\">\n",
    );
    for (name, first, last) in FLAGS {
        writeln!(
            text,
            "<field name=\"{name}\" start=\"{first}\" end=\"{last}\"/>"
        )?;
    }
    text.push_str("</flags>\n");
    for n in 0..31 {
        let more = match n {
            29 => " generic=\"fp\"",
            30 => " generic=\"ra\"",
            _ => "",
        };
        writeln!(
            text,
            "<reg name=\"x{n}\" bitsize=\"64\" regnum=\"{n}\" group=\"general\"{more}/>"
        )?;
    }
    writeln!(
        text,
        "<reg name=\"sp\" bitsize=\"64\" type=\"data_ptr\" group=\"general\" generic=\"sp\"/>\n\
         <reg name=\"pc\" bitsize=\"64\" type=\"code_ptr\" group=\"general\" generic=\"pc\"/>\n\
         <reg name=\"cpsr\" bitsize=\"32\" type=\"cpsr_flags\" group=\"general\" generic=\"flags\"/>\n</feature>\n\
         <feature name=\"org.gnu.gdb.aarch64.fpu\">"
    )?;
    for (name, kind, count) in VECTORS {
        writeln!(
            text,
            "<vector id=\"v_{name}\" type=\"{kind}\" count=\"{count}\"/>"
        )?;
    }
    text.push_str("<union id=\"aarch64v\">\n");
    for (name, ..) in VECTORS {
        writeln!(text, "<field name=\"{name}\" type=\"v_{name}\"/>")?;
    }
    text.push_str("<field name=\"q\" type=\"uint128\"/>\n</union>\n");
    for n in 0..32 {
        let number = number::V + n;
        writeln!(
            text,
            "<reg name=\"v{n}\" bitsize=\"128\" type=\"aarch64v\" regnum=\"{number}\" group=\"float\"/>"
        )?;
    }
    writeln!(
        text,
        "<reg name=\"fpsr\" bitsize=\"32\" type=\"int\" group=\"float\"/>\n\
         <reg name=\"fpcr\" bitsize=\"32\" type=\"int\" group=\"float\"/>\n</feature>\n\
         <feature name=\"org.avisor.aarch64.system\">"
    )?;
    for (n, name) in SYSTEM.into_iter().enumerate() {
        let number = number::SYSTEM + n;
        writeln!(
            text,
            "<reg name=\"{name}\" bitsize=\"64\" type=\"int\" regnum=\"{number}\" group=\"system\"/>"
        )?;
    }
    text.push_str("</feature>\n</target>\n");
    Ok(())
}
