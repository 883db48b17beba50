//! The VMs of the configuration: made on the boot core, and run on all of them.
//!
//! All code of `vm` that is generic over the board is compiled here, with the library and once: an image of another configuration only links it.

use alloc::vec::Vec;
use core::ops::Range;

use super::{BoardBackend, BoardCore, console, failure, second};
use crate::addr::Pa;
use crate::arch::memory::heap;
use crate::arch::memory::ram::Ram;
use crate::board::gic::{self, Gic};
use crate::board::power;
use crate::board::seed::Seeds;
use crate::config::Config;
use crate::console::Input;
use crate::device::Window;
use crate::monitor::VmControl;
use crate::vm::{self, ConsoleHost, Vm};

/// All VMs of the configuration, on `cores` cores; `seed` is what the firmware has for random number generators. Ends the run where one does not fit.
pub fn make_vms(
    config: &'static Config,
    gic: &'static Gic,
    cores: usize,
    seed: &[u8],
) -> Vec<Vm<BoardBackend>> {
    let configs = config.vms;
    vm::check_cores(configs, cores)
        .unwrap_or_else(|no_core| failure::fail(format_args!("{no_core}")));
    let free = heap::free_bytes();
    let keep = configs
        .iter()
        .map(|config| vm::heap_bytes(config, free))
        .sum();
    let mut memory = heap::take_blocks(keep);
    let windows = take_windows(config.windows, &mut memory);
    let shares = vm::carve_memory::<BoardCore>(configs, &memory);
    let mut seeds = Seeds::new(seed);
    let vms = configs.iter().zip(shares).enumerate();
    let vms = vms.map(|(number, (config, share))| {
        let seeds = seeds.as_mut().map(Seeds::divide);
        let backend = BoardBackend::new(number, config.uart, share.clone(), windows, gic, seeds);
        let vm = Vm::new(config, number, backend, &share, |vcpu| {
            vm::core_of(configs, cores, number, vcpu)
        });
        vm.unwrap_or_else(|error| failure::fail(format_args!("{}: {error}", config.name)))
    });
    vms.collect()
}

/// Takes memory for the windows out of `memory`, and zeroes it: no VM runs yet.
fn take_windows(windows: &[Window], memory: &mut Vec<Range<Pa>>) -> &'static [Range<Pa>] {
    let taken = vm::carve_windows(windows, memory).unwrap_or_else(|| {
        failure::fail(format_args!(
            "no memory is left for the windows: give the machine more"
        ))
    });
    let mut ram = Ram::new(taken.clone());
    for window in &taken {
        ram.zero(window.start, window.end.0 - window.start.0);
    }
    taken.leak()
}

/// Runs what is pinned to this core, number `number`. The GIC is open, and this core's part of it has been set up.
pub fn run(number: usize, vms: &[Vm<BoardBackend>]) -> ! {
    let mut core = BoardCore::new(number, gic::get());
    vm::run(&mut core, vms, &BoardConsole)
}

/// The console on the board's UART, at which the operator sits, and the second UART.
struct BoardConsole;

impl ConsoleHost<BoardBackend> for BoardConsole {
    fn drain_uart(&self) -> Input {
        console::drain_uart()
    }

    fn poll_due(&self) -> u64 {
        console::poll_due()
    }

    fn run_command(&self, control: &mut impl VmControl) -> Input {
        console::run_command(control)
    }

    fn attached(&self) -> usize {
        console::attached()
    }

    fn attach(&self, vm: usize) {
        console::attach(vm);
    }

    fn serve_second(&self) -> Option<usize> {
        second::serve()
    }

    fn power_off(&self) -> ! {
        console::flush();
        power::power_off()
    }
}
