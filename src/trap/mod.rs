//! What a guest's trap means, as pure functions on plain values. Each file uses the ones below it only.
//!
//! | file | what is in it |
//! | --- | --- |
//! | [`syndrome`] | ESR_EL2, FAR_EL2 and HPFAR_EL2 into an [`Exit`], once, in one place |
//! | [`answer`] | the answer to a trapped system register |
//! | [`inject`] | an exception into the guest, as the CPU would have taken it |
//! | [`memory_fault`] | the part of a syndrome about accesses that stage 2 refused |
//! | [`aarch32`] | the traps of AArch32 code at EL0 that have an answer |
//! | [`debug`] | which debug register a trapped access is to |
//! | [`id_registers`] | which parts of the identification registers a guest is shown |
//! | [`instruction`] | loads and stores that no syndrome describes |
//! | [`sysreg`] | system registers by encoding and by name, and a trapped access to one |
//! | [`access`] | the register side of an emulated load or store, and stepping over an instruction |
//! | [`esr`] | ESR_EL2 with its fields by name |
//! | [`registers`] | what becomes of each register, as a table for the tests |
//!
//! Nothing here fails: whatever a guest does has a decoding, and the rarest one is "undefined instruction".

pub mod aarch32;
pub mod access;
pub mod answer;
pub mod debug;
pub mod esr;
pub mod id_registers;
pub mod inject;
pub mod instruction;
pub mod memory_fault;
pub mod registers;
pub mod syndrome;
pub mod sysreg;

pub use access::Access;
pub use esr::Esr;
pub use memory_fault::{FaultKind, MemoryFault};
pub use syndrome::{Exit, Wfx};
pub use sysreg::SysRegAccess;
