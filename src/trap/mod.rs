//! What a guest's trap means, as pure functions on plain values.
//!
//! - [`syndrome`]: ESR_EL2, FAR_EL2 and HPFAR_EL2 into an [`Exit`], once, in one place;
//! - [`memory_fault`]: the part of it about accesses that stage 2 refused;
//! - [`access`]: the register side of an emulated load or store, and stepping over an instruction;
//! - [`instruction`]: loads and stores that no syndrome describes;
//! - [`inject`]: an exception into the guest, as the CPU would have taken it;
//! - [`sysreg`]: the answer to a trapped system register;
//! - [`debug`]: which debug register it is;
//! - [`registers`]: what becomes of each register, as a table;
//! - [`aarch32`]: what of that AArch32 code at EL0 reaches;
//! - [`id_registers`]: what of the CPU a guest is shown.
//!
//! Nothing here fails: whatever a guest does has a decoding, and the rarest one is "undefined instruction".

pub mod aarch32;
pub mod access;
pub mod debug;
pub mod id_registers;
pub mod inject;
pub mod instruction;
pub mod memory_fault;
pub mod registers;
pub mod syndrome;
pub mod sysreg;

pub use access::Access;
pub use memory_fault::{FaultKind, MemoryFault};
pub use syndrome::{Esr, Exit, SysRegAccess, Wfx};
