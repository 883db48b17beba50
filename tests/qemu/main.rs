//! The hypervisor's image in QEMU, on both boards: guests run, and what the console shows is compared line by line.
//!
//! | module | what it covers |
//! | --- | --- |
//! | [`guests`] | guest programs: scenario, loops, self-test, hostile, memory that runs out, reset |
//! | [`formats`] | any guest: ELF, arm64 `Image`, raw binary; and files that are no guests |
//! | [`own`] | guests of one's own, in Rust and in C, built outside this repository |
//! | [`interrupts`] | interrupts, timers and several CPUs, as guest programs see them |
//! | [`linux`] | Debian's Linux, at work while it is taken back and forth |
//! | [`u_boot`] | Debian's U-Boot, to its prompt |
//! | [`machines`] | boards with more or fewer cores and more or less memory, other CPUs, large guests |
//! | [`encodings`] | every encoding of a system register, compared with QEMU alone, and brought back by a restore |
//! | [`faults`] | what EL2 says of its own faults, and the exit code |
//! | [`control`] | a VM that drives another one |
//! | [`cores`] | snapshots as ELF cores, opened by gdb, readelf and drgn |
//! | [`debugger`] | the debugger, with gdb and lldb as its clients |
//! | [`fights`] | a target that fights its debugger |
//! | [`sentences`] | what the book says of the debugger, with gdb: several VMs, back to the oldest stop, what `monitor` does, cores |
//! | [`who`] | gdb asks about the past of a program with a bug: the session of the book |
//! | [`fuzz`] | the fuzzer: what it finds, its files, inputs run once |
//! | [`console`] | characters that are typed faster than a guest reads, and log lines that a guest causes |
//! | [`second`] | a VM on the second UART, beside one at the console |
//! | [`firmware`] | a start from EL3, with garbage in all that the boot protocol does not promise |
//! | [`trees`] | device trees that are missing, broken or wrong |
//! | [`book`] | the transcripts of the README and the book, played line by line |
//! | [`refusals`] | wrong exception level, too little memory, a bad configuration: one clear line and a failing code |
//!
//! and, underneath, what they stand on: [`image`] builds, [`run`] boots, [`session`] types, [`transcript`] compares, [`files`] makes
//! guest images, [`fetched`] has those of others, [`gdb_client`] changes a machine that runs, [`socket`] has its sockets, [`self_test`] reads what that guest says, [`process`] has places on this machine, [`times`] says
//! how long each test takes. A test that fails prints everything that was on the console. Several images of one run are built one after the other,
//! in a target folder of their own; QEMU runs as often at a time as libtest has threads, one for each core; but once where several CPUs are busy.

mod answers;
mod board;
mod book;
mod console;
mod control;
mod cores;
mod debugger;
mod encodings;
mod faults;
mod fetched;
mod fights;
mod files;
mod firmware;
mod formats;
mod fuzz;
mod gdb_client;
mod guests;
mod image;
mod interrupts;
mod linux;
mod machines;
mod own;
mod process;
mod random;
mod refusals;
mod run;
mod second;
mod self_test;
mod sentences;
mod session;
mod socket;
mod times;
mod transcript;
mod trees;
mod u_boot;
mod who;

/// Makes tests out of functions that take a board: `name::virt` and `name::rpi4`.
macro_rules! on_both_boards {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            use crate::board::Board;

            #[test]
            fn virt() {
                super::$name(Board::Virt);
            }

            #[test]
            fn rpi4() {
                super::$name(Board::Rpi4);
            }
        })+
    };
}
use on_both_boards;
