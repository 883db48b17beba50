//! From a trap to what becomes of it: VMs on a fake core.

mod bare_calls;
mod caches;
mod clock;
mod control;
mod control_ends;
mod control_time;
mod control_waits;
mod debug_registers;
mod devices;
mod errors;
mod guest;
mod hardware;
mod held_back;
mod history;
mod holes;
mod instructions;
mod interrupts;
mod load_stores;
mod loading;
mod logged;
#[cfg(loom)]
mod loom;
#[cfg(loom)]
mod loom_control;
mod operator;
mod ordinary_calls;
mod pieces;
mod pins;
mod pools;
mod power;
mod ram;
mod random_traps;
mod reach;
mod requests;
mod resets;
mod review;
mod scheduling;
mod shares;
mod smp;
mod smp_power;
mod snapshot_calls;
mod stopping;
mod time;
mod two_vms;
mod windows;
mod worst;
