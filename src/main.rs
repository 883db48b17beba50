//! The hypervisor's image: start-up, in order.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod image {
    extern crate alloc;

    use alloc::vec::Vec;

    use avisor::arch::Relax;
    use avisor::arch::vcpu::control;
    use avisor::board::{cores, gic};
    use avisor::metal::start::{self, Board};
    use avisor::metal::{self, BoardBackend, console, failure, second};
    use avisor::vm::Vm;
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
        board.claim_memory();
        console::start(CONFIG.vms);
        let gic = gic::open(&board.tree, board.console.interrupt)
            .unwrap_or_else(|missing| failure::fail(format_args!("{missing}: no interrupts")));
        second::open(&board.tree, &board.console, CONFIG.vms);
        control::set_up();
        let cores = cores::start(
            &board.tree,
            cores::CoreEntry {
                set_up: metal::set_up_core,
                run: other_core,
            },
        );
        second::listen(CONFIG.vms, gic, cores);
        VMS.call_once(|| metal::make_vms(&CONFIG, gic, cores, board.tree.rng_seed()));
        if board.console.interrupt.is_some() {
            console::listen();
        }
        metal::run(0, VMS.wait())
    }

    /// Runs on each of the other cores.
    fn other_core(number: usize) -> ! {
        metal::run(number, VMS.wait())
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo) -> ! {
        avisor::arch::entry::panicked(info)
    }
}
