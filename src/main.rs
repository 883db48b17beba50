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
    use avisor::metal::{self, Core, VmMemory, console, failure};
    use avisor::vm::{self, Desk, Vm, World};
    use spin::once::Once;

    include!(concat!(env!("OUT_DIR"), "/plan.rs"));

    avisor::entry! {
        main: main,
        secondary: cores::enter,
        wrong_level: start::report_wrong_level,
        failed: failure::failed,
    }

    /// What the cores run, once the boot core has made it.
    static WORLD: Once<World<VmMemory>, Relax> = Once::new();

    /// Runs on the boot core, MMU and caches on; what ran before is in `arch/boot/boot.S`.
    fn main(tree: u64) -> ! {
        let board = Board::open(tree, PLAN.log);
        log::info!(
            "Avisor {} on {}; Ctrl-] opens the monitor",
            env!("CARGO_PKG_VERSION"),
            board.tree.model()
        );
        console::start(PLAN.vms);
        board.claim_memory();
        let gic = gic::open(&board.tree, board.console_interrupt)
            .unwrap_or_else(|missing| failure::fail(format_args!("{missing}: no interrupts")));
        control::set_up();
        let cores = cores::start(
            &board.tree,
            cores::Entry {
                set_up: metal::set_up_core,
                run: other_core,
            },
        );
        WORLD.call_once(|| world(gic, cores));
        if board.console_interrupt.is_some() {
            console::listen();
        }
        run(Core::new(0, gic))
    }

    /// Runs on each of the other cores.
    fn other_core(number: usize) -> ! {
        run(Core::new(number, gic::get()))
    }

    fn run(mut core: Core) -> ! {
        vm::run(&mut core, WORLD.wait(), &Operator)
    }

    /// All VMs of the plan. Their vCPUs go to the cores in turn.
    fn world(gic: &gic::Gic, cores: usize) -> World<VmMemory> {
        let free = heap::free_bytes();
        let keep = PLAN
            .vms
            .iter()
            .map(|plan| vm::bookkeeping(plan, free))
            .sum();
        let shares = vm::shares::<Core>(PLAN.vms, &heap::take_blocks(keep));
        let mut first = 0;
        let vms = PLAN.vms.iter().zip(shares).enumerate();
        let vms = vms.map(|(number, (plan, share))| {
            let memory = VmMemory::new(number, share.clone(), gic);
            let vm = Vm::new(plan, number, memory, &share, |vcpu| (first + vcpu) % cores);
            first += plan.vcpus as usize;
            vm.unwrap_or_else(|error| failure::fail(format_args!("{}: {error}", plan.name)))
        });
        World {
            vms: vms.collect::<Vec<_>>(),
        }
    }

    /// The operator, at the board's console.
    struct Operator;

    impl Desk<VmMemory> for Operator {
        fn input(&self) -> Input {
            console::interrupt()
        }

        fn input_due(&self) -> u64 {
            console::look_at()
        }

        fn command(&self, operator: &mut impl avisor::monitor::Operator) -> Option<usize> {
            console::serve(operator)
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
