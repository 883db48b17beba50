//! Writes snapshots of the VMs that it controls as ELF cores, into files of the host by semihosting: one by itself, or as it is told on its console.
//! `make core` boots it beside the VMs of a configuration.

#![no_std]
#![no_main]
// It gives its RAM to the heap.
#![allow(unsafe_code)]

extern crate alloc;

mod typed;

use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::vec;

use avisor_elf_core::Core;
use avisor_elf_core::request::{Options, Request, USAGE};
use avisor_elf_core::target::Snapshot;
use avisor_guest::control::{State, Target};
use avisor_guest::device_tree::DeviceTree;
use avisor_guest::semihosting::{self, File};
use avisor_guest::timer::{Timer, frequency};
use avisor_guest::{Error, Id, entry, mmu, print, println};

/// What is written at a time.
const PIECE: usize = 1 << 20;

entry!(main);

fn main(device_tree: usize) -> ! {
    mmu::enable();
    // SAFETY: it is the first thing, the one CPU keeps interrupts masked, and nothing else is behind the image.
    unsafe { avisor_heap::start(device_tree, None) };
    let line = DeviceTree::at(device_tree).map_or("", DeviceTree::command_line);
    match Options::parse(line) {
        Ok(options) => match &options.once {
            Some(request) => once(&options, request),
            None => typed(&options),
        },
        Err(why) => fails(&why),
    }
}

/// Writes one core after a while, and ends the run.
fn once(options: &Options<'_>, request: &Request<'_>) -> ! {
    let end = options.after.saturating_mul(frequency());
    typed::wait_until(end);
    match write(options, request) {
        Ok(()) => semihosting::exit(0),
        Err(why) => fails(&why),
    }
}

fn fails(why: &str) -> ! {
    println!("core: {why}");
    semihosting::exit(1)
}

/// Writes those that are asked for.
fn typed(options: &Options<'_>) -> ! {
    println!(
        "core: {USAGE} writes a core; VM is {}",
        options.vms.join(", ")
    );
    typed::start();
    loop {
        print!("core> ");
        let line = typed::line();
        let done = options.request(&line).and_then(|request| match request {
            Some(request) => write(options, &request),
            None => Ok(()),
        });
        if let Err(why) = done {
            println!("core: {why}");
        }
    }
}

/// Writes a core, and says so.
fn write(options: &Options<'_>, request: &Request<'_>) -> Result<(), String> {
    let start = Timer::Virtual.count();
    let name = options.vms.get(request.vm).copied().unwrap_or("?");
    let target = Target(request.vm as u64);
    let failed = |error: Error| format!("{name}: {error}");
    let id = match request.snapshot {
        Some(id) => Some(Id(id)),
        // One that is off stays as it is, and there is no snapshot of it.
        None if target.status().map_err(failed)?.state == State::Off => None,
        None => Some(target.checkpoint().map_err(failed)?),
    };
    let written = Snapshot::of(target, id).map_err(failed);
    let written = written.and_then(|mut machine| write_file(&mut machine, request.file, failed));
    if request.snapshot.is_none()
        && let Some(id) = id
    {
        target.delete(id).map_err(failed)?;
    }
    let core = written?;
    let milliseconds = (Timer::Virtual.count() - start) * 1000 / frequency();
    println!(
        "core: {name} is in {}: {} bytes, {milliseconds} ms",
        request.file,
        core.size()
    );
    if core.is_cut() {
        println!("core: it maps so much that some virtual addresses are left out");
    }
    Ok(())
}

fn write_file(
    machine: &mut Snapshot,
    path: &str,
    failed: impl Fn(Error) -> String,
) -> Result<Core, String> {
    let core = Core::new(machine).map_err(&failed)?;
    let cannot = || format!("the host cannot write {path}");
    let name = CString::new(path).map_err(|_| cannot())?;
    let mut file = File::create(&name).ok_or_else(cannot)?;
    let mut buffer = vec![0; PIECE];
    let mut offset = 0;
    let written = loop {
        let count = core.read(machine, offset, &mut buffer).map_err(&failed)?;
        if count == 0 {
            break true;
        }
        if !file.write(&buffer[..count]) {
            break false;
        }
        offset += count as u64;
    };
    let closed = file.close();
    (written && closed).then_some(core).ok_or_else(cannot)
}
