//! The hypervisor's image: start-up, in order.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod image {
    extern crate alloc;

    use alloc::vec::Vec;

    use avisor::arch::Relax;
    use avisor::arch::memory::heap;
    use avisor::arch::vcpu::control;
    use avisor::board::{cores, gic, power};
    use avisor::console::Input;
    use avisor::metal::start::{self, Board};
    use avisor::metal::{self, BoardBackend, BoardCore, console, failure};
    use avisor::monitor::VmControl;
    use avisor::vm::{self, ConsoleHost, Vm};
    use spin::once::Once;

    include!(concat!(env!("OUT_DIR"), "/plan.rs"));

    avisor::entry! {
        main: main,
        secondary: cores::enter,
        wrong_level: start::report_wrong_level,
        failed: failure::fail_or_exit,
    }

    /// All VMs, once the boot core has made them.
    static VMS: Once<Vec<Vm<BoardBackend>>, Relax> = Once::new();

    /// Runs on the boot core, MMU and caches on; what ran before is in `arch/boot/boot.S`.
    fn main(tree: u64) -> ! {
        let board = Board::open(tree, CONFIG.log);
        log::info!(
            "Avisor {} on {}; Ctrl-] opens the monitor",
            env!("CARGO_PKG_VERSION"),
            board.tree.model()
        );
        console::start(CONFIG.vms);
        board.claim_memory();
        let gic = gic::open(&board.tree, board.console_interrupt)
            .unwrap_or_else(|missing| failure::fail(format_args!("{missing}: no interrupts")));
        control::set_up();
        let cores = cores::start(
            &board.tree,
            cores::CoreEntry {
                set_up: metal::set_up_core,
                run: other_core,
            },
        );
        VMS.call_once(|| make_vms(gic, cores));
        if board.console_interrupt.is_some() {
            console::listen();
        }
        run(BoardCore::new(0, gic))
    }

    /// Runs on each of the other cores.
    fn other_core(number: usize) -> ! {
        run(BoardCore::new(number, gic::get()))
    }

    fn run(mut core: BoardCore) -> ! {
        vm::run(&mut core, VMS.wait(), &BoardConsole)
    }

    /// All VMs of the configuration. Their vCPUs are pinned to the cores in turn.
    fn make_vms(gic: &gic::Gic, cores: usize) -> Vec<Vm<BoardBackend>> {
        let free = heap::free_bytes();
        let keep = CONFIG
            .vms
            .iter()
            .map(|config| vm::heap_bytes(config, free))
            .sum();
        let shares = vm::carve_memory::<BoardCore>(CONFIG.vms, &heap::take_blocks(keep));
        let mut first = 0;
        let vms = CONFIG.vms.iter().zip(shares).enumerate();
        let vms = vms.map(|(number, (config, share))| {
            let backend = BoardBackend::new(number, share.clone(), gic);
            let vm = Vm::new(config, number, backend, &share, |vcpu| {
                (first + vcpu) % cores
            });
            first += config.vcpus as usize;
            vm.unwrap_or_else(|error| failure::fail(format_args!("{}: {error}", config.name)))
        });
        vms.collect()
    }

    /// The console on the board's UART, at which the operator sits.
    struct BoardConsole;

    impl ConsoleHost<BoardBackend> for BoardConsole {
        fn drain_uart(&self) -> Input {
            console::drain_uart()
        }

        fn poll_due(&self) -> u64 {
            console::poll_due()
        }

        fn run_commands(&self, control: &mut impl VmControl) -> Option<usize> {
            console::run_commands(control)
        }

        fn attached(&self) -> usize {
            console::attached()
        }

        fn attach(&self, vm: usize) {
            console::attach(vm);
        }

        fn power_off(&self) -> ! {
            power::power_off()
        }
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo) -> ! {
        avisor::arch::entry::panicked(info)
    }
}
