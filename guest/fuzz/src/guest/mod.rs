//! What runs on Avisor.

mod files;
mod vm;

use avisor_fuzz::exchange::{self, Exchange};
use avisor_fuzz::layout::{WINDOW_BYTES, Window, names};
use avisor_fuzz::options::Options;
use avisor_fuzz::pace::Pace;
use avisor_fuzz::{engine, replay};
use avisor_guest::device_tree::DeviceTree;
use avisor_guest::timer::{self, Timer};
use avisor_guest::{entry, mmu, power_off, println, window};

use files::Files;
use vm::Vm;

entry!(main);

fn main(device_tree: usize) -> ! {
    mmu::enable();
    if let Err(text) = run(device_tree) {
        println!("fuzz: {text}");
        // The exit code of a run that could not be.
        files::exit(1);
    }
    power_off()
}

fn run(device_tree: usize) -> Result<(), alloc::string::String> {
    let tree = DeviceTree::at(device_tree).ok_or("there is no device tree")?;
    let initrd = tree.initrd();
    // SAFETY: this is the only call; there is one CPU, interrupts are masked, and RAM behind the image up to there is nobody's.
    unsafe { avisor_heap::start(device_tree, initrd.map(|(start, _)| start)) };
    let options = Options::parse(tree.command_line())
        .map_err(|word| alloc::format!("{word:?} on the command line makes no sense"))?;
    files::set_semihosting(!options.folder.is_empty());
    // SAFETY: the hypervisor put it there, behind the heap, and nobody changes it.
    let archive = initrd.map_or(&[][..], |(start, bytes)| unsafe {
        core::slice::from_raw_parts(start as *const u8, bytes)
    });
    let found = names().find_map(|name| window::Window::find(device_tree, name));
    let found = found.filter(|window| window.size() >= WINDOW_BYTES);
    let found = found.ok_or("there is no window \"fuzz\" that is large enough")?;
    let exchange = match options.jobs {
        1 => Exchange::alone(),
        jobs if options.job < jobs => {
            let found = window::Window::find(device_tree, exchange::NAME);
            let found = found.ok_or("there is no window \"found\", by which jobs talk")?;
            Exchange::new(found.words(), options.job, jobs)
        }
        jobs => return Err(alloc::format!("job {} of {jobs}", options.job)),
    };
    // SAFETY: it is memory, of which nothing else of this program knows; the target is stopped whenever this VM runs.
    let window = unsafe { Window::at(found.address() as *mut u8) };
    let (mut target, map_bytes) = Vm::start(window, options.limit)?;
    let mut files = Files::new(&options.folder);
    if options.replay {
        replay::run(&mut target, archive, &mut files);
        files::exit(0);
        return Ok(());
    }
    let ends = Exchange::clone(&exchange);
    engine::run(
        &mut target,
        map_bytes,
        &options,
        archive,
        exchange,
        &mut files,
    )?;
    ends.end();
    // The first job ends QEMU, and the others have files to write first.
    if options.job == 0 {
        while !ends.others_are_through() {
            core::hint::spin_loop();
        }
        files::exit(0);
    }
    Ok(())
}

/// LibAFL's clock. Its unit is the microsecond: rounds take few of them, LibAFL compares what they take, and to it milliseconds would mostly be 0.
// SAFETY: the name that LibAFL's clock has without std; a second definition fails to link.
#[unsafe(no_mangle)]
extern "C" fn external_current_millis() -> u64 {
    static PACE: Pace = Pace::new();
    PACE.at(now() / 1000)
}

/// Nanoseconds of this VM's time.
fn now() -> u64 {
    vm::nanoseconds(Timer::Virtual.count(), timer::frequency())
}
