//! Memory as EL2 has it: translation tables ([`table`], [`el2_tables`], [`mmu`]), page contents and caches ([`page`]), TLBs of guests ([`tlb`]), device
//! registers (`mmio`), the heap, and one VM's share of memory (`ram`).

pub mod el2_tables;
pub mod table;

#[cfg(any(target_os = "none", test))]
pub mod mmu;
#[cfg(any(target_os = "none", test))]
pub mod page;
#[cfg(any(target_os = "none", test))]
pub mod tlb;

#[cfg(target_os = "none")]
pub mod heap;
#[cfg(target_os = "none")]
pub mod mmio;
#[cfg(target_os = "none")]
pub mod ram;
