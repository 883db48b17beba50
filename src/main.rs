//! The hypervisor's image: start-up, in order.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod image {
    use avisor::arch::aarch64::{self, Core};
    use avisor::driver::{self, Board, gic, smp};
    use avisor::vm::{self, Vm};

    include!(concat!(env!("OUT_DIR"), "/plan.rs"));

    avisor::entry!(main);

    /// Runs on the boot core, MMU and caches on; what ran before is in `arch/aarch64/boot.S`.
    fn main(tree: u64) -> ! {
        let board = Board::open(tree, PLAN.log);
        log::info!(
            "Avisor {} on {}",
            env!("CARGO_PKG_VERSION"),
            board.tree.model()
        );
        board.claim_memory();
        smp::park_other_cores(&board.tree);
        gic::silence(&board.tree);
        aarch64::control::set_up();
        for plan in PLAN.vms {
            let (core, memory) =
                Core::with_memory(1, vm::bookkeeping(plan, aarch64::heap::free_bytes()));
            aarch64::cpu::runs(plan.name, 0);
            aarch64::control::set_vcpu_number(0);
            let ended = Vm::new(plan, core, &memory).and_then(|mut vm| vm.run());
            if let Err(error) = ended {
                driver::fail(format_args!("{}: {error}", plan.name));
            }
            log::info!("{}: off", plan.name);
        }
        driver::power_off()
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo) -> ! {
        aarch64::panicked(info)
    }
}
