//! Avisor: a type-1 hypervisor for AArch64 whose speciality is the snapshot.
//!
//! This crate is all of it but the start-up order, which is `main.rs`. Built for the host it leaves out what needs the
//! hardware, and the rest runs under `cargo test`.
//!
//! # Principles
//!
//! - **A trap is a function that returns.** [`vm::Core::run`] takes a vCPU's registers and comes back with a trap; interrupts, too, are
//!   such traps. Around it is an ordinary loop, one on each core, that holds the vCPU's lock ([`vm::run`]).
//! - **Decode first, act later.** A syndrome becomes an enum in one pure place ([`trap`]), a hypercall in another
//!   ([`hvc`]). What is not known there is answered as hardware without it would: no default is missing.
//! - **Guest mistakes are values, ours are panics.** Nothing that a guest does reaches a panic. A panic or an exception
//!   at EL2 is Avisor's own bug: it is printed with the vCPU that was on, and ends the run with a failing code.
//! - **Prepare may fail, commit may not.** A restore that will be refused is refused before it touches anything; what runs
//!   out of memory on the way leaves everything as valid as it was. Nothing is ever undone.
//! - **Narrow seams.** [`snapshot::Backend`] (pages and mappings) and [`snapshot::SaveState`] (the rest of a VM), [`stage2::Maintenance`] (TLBs
//!   and barriers), [`vm::VmBackend`] (a VM's memory) and [`vm::Core`] (a core), [`device::gic::Gich`] (list registers),
//!   [`device::Console`] (characters), [`monitor::VmControl`] (the VMs, seen from outside). Tests stand on the other side of each.
//! - **One `cfg` decides the world**, `target_os = "none"`, and chooses modules, not statements. What differs between
//!   boards is data from the device tree.
//! - **`unsafe` is fenced**: denied in the crate, allowed in [`arch`] (whose `memory::ram::Ram` trusts its callers with a VM's frames), in the one line of `board/ram.rs` that hands the board's RAM to the heap,
//!   and in the tests' `fake`.
//! - **Addresses are types** ([`addr`]). Mixing up IPA and PA is *the* hypervisor bug.
//!
//! # Map
//!
//! From the top to the ground: a room uses those below it, and none above (`tests/layout.rs` holds it to that).
//!
//! | room | what it is | hardware |
//! | --- | --- | --- |
//! | `metal` | the seams of [`vm`] filled in for the board, the console's UART, the start and the end of a run | all |
//! | `fake` | the same for tests: cores, TLBs and caches that take every liberty that the Arm ARM leaves them | none |
//! | [`vm`] | a VM: its vCPUs, what their traps lead to, how it is stopped and saved; the scheduler of a core | through a seam |
//! | [`console`] | a UART shared by the VMs, the log and the monitor, and one that is a single VM's | none |
//! | [`monitor`] | the lines that an operator types, and what the VMs are asked for them | none |
//! | [`hvc`] | hypercalls decoded: SMCCC, PSCI, snapshot calls | none |
//! | [`stage2`] | the guest's memory as the CPU sees it, changed by the rules for live tables | through a seam |
//! | [`snapshot`] | page maps, dirty list, pools: what Avisor exists for | none |
//! | [`config`] | what `configs/*.toml` says, as `build.rs` wrote it out | none |
//! | [`guest_image`] | where an image that the build has read goes, with its RAM disk and the device tree made for the VM | none |
//! | [`device`] | the devices of a VM: a PL011, the interrupt controller, the physical timer, and what answers where `virt` has more | none |
//! | [`trap`] | syndromes decoded, exceptions into the guest, system registers answered | none |
//! | [`board`] | the board's device tree and RAM; its UART, interrupt controller, other cores and power switch | all |
//! | [`arch`] | the CPU at EL2: entry and exit, registers, tables, TLBs, caches | all |
//! | [`addr`] | physical, guest-physical, virtual addresses; page and block sizes | none |
//! | [`limits`] | how many VMs, vCPUs, cores and windows there may be | none |
//!
//! # The path of a trap
//!
//! ```text
//! guest        hvc, a store to a clean page, a device, ...
//!   vectors    arch/entry/switch.S: general registers into memory, and `run` returns
//!   lock       vm/loaded.rs: what the vCPUs share; or the trap is dropped, as the VM is being stopped
//!   decode     trap::syndrome::Exit::decode: ESR, FAR, HPFAR -> Exit
//!   match      vm/dispatch.rs, `handle_exception`: everything that a guest can make happen, on one screen
//!   handler    vm/calls.rs, vm/faults.rs, vm/registers.rs, vm/power.rs -> ExitAction
//! guest        `run` again; or, in vm/schedule.rs, another vCPU's turn
//! ```
//!
//! An interrupt takes the same way as far as `run`, then that of vm/interrupts.rs. All that a vCPU has besides its general registers
//! stays in the core from trap to trap; only a checkpoint, a restore and another vCPU's slice move it.
//!
//! # Words that are ours
//!
//! Those that a user may meet are in `docs/glossary.md`: gate, base, fold, dirty list, pool. Besides, in the code:
//!
//! | word | what it means |
//! | --- | --- |
//! | initiator | the core that has a VM stopped, with the vCPU that asked for it, if one did |
//! | request | a bit of a vCPU's slot: its core must look at what other cores have written for that vCPU |
//! | review | a look for what changes without a trap: a timer's line, a CPU interface |
//! | share | the part of the board's memory that one VM has |
//! | slot | a vCPU's place in its VM: its lock, and the atomics that cores may use without it |
#![no_std]

// With a name, `cargo test` wants all tests for the board, whatever Cargo.toml says. One line instead of hundreds: so there is no module
// then. Plain items, each with its `cfg`: cargo-mutants, rustfmt and rust-analyzer find no module behind a macro of ours.
#[cfg(all(test, target_os = "none"))]
compile_error!("tests run on the host: `cargo ht NAME` runs some of them, `make test` all");

extern crate alloc;
#[cfg(all(test, not(target_os = "none")))]
extern crate std;

#[cfg(not(all(test, target_os = "none")))]
pub mod addr;
#[cfg(not(all(test, target_os = "none")))]
pub mod arch;
#[cfg(not(all(test, target_os = "none")))]
pub mod board;
#[cfg(not(all(test, target_os = "none")))]
pub mod config;
#[cfg(not(all(test, target_os = "none")))]
pub mod console;
#[cfg(not(all(test, target_os = "none")))]
pub mod device;
#[cfg(all(test, not(target_os = "none")))]
pub mod fake;
#[cfg(not(all(test, target_os = "none")))]
pub mod guest_image;
#[cfg(not(all(test, target_os = "none")))]
pub mod hvc;
#[cfg(not(all(test, target_os = "none")))]
pub mod limits;
#[cfg(all(not(test), target_os = "none"))]
pub mod metal;
#[cfg(not(all(test, target_os = "none")))]
pub mod monitor;
#[cfg(not(all(test, target_os = "none")))]
pub mod snapshot;
#[cfg(not(all(test, target_os = "none")))]
pub mod stage2;
#[cfg(not(all(test, target_os = "none")))]
pub mod trap;
#[cfg(not(all(test, target_os = "none")))]
pub mod vm;
