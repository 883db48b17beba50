//! Writes the configuration as Rust: the `CONFIG` that `main.rs` includes.

use std::path::PathBuf;

use crate::config::{Config, OnReset, Vm, Window};
use crate::guests::Files;

/// The source of `plan.rs`.
pub fn source(config: &Config, files: &[Files]) -> String {
    let mut source = format!(
        "/// A file, at the start of a page: it is copied to one, in larger steps than bytes.\n\
         #[repr(C, align(4096))]\n\
         struct File<T: ?Sized>(T);\n\n\
         /// What the configuration says.\n\
         pub static CONFIG: avisor::config::Config = avisor::config::Config {{\n    \
             log: log::LevelFilter::{},\n    vms: &[\n",
        config.log
    );
    for (number, (vm, files)) in config.vms.iter().zip(files).enumerate() {
        source += &vm_source(
            vm,
            files,
            &windows(config, |window| window.vms.contains(&number)),
        );
    }
    source + "    ],\n    windows: " + &windows(config, |_| true) + ",\n};\n"
}

/// The windows that `has` is true for.
fn windows(config: &Config, has: impl Fn(&Window) -> bool) -> String {
    let windows = config.windows.iter().enumerate();
    let source = windows
        .filter(|(_, window)| has(window))
        .map(|(number, window)| {
            let Window { name, size, vms: _ } = window;
            format!(
                "avisor::device::Window {{ number: {number}, name: {name:?}, bytes: {size:#x} }}, "
            )
        });
    format!("&[{}]", source.collect::<String>())
}

fn vm_source(vm: &Vm, files: &Files, windows: &str) -> String {
    let Vm {
        name,
        guest: _,
        initrd: _,
        cmdline,
        vcpus,
        cores,
        memory,
        // The image's plan has them.
        load_address: _,
        entry: _,
        on_reset,
        checkpoint_every,
        time,
        pool_capacity,
        accounting,
        controls,
        controlled_by,
        start,
        uart,
    } = vm;
    let image = image(files);
    let initrd = match &files.initrd {
        Some(path) => format!("Some({})", included(path)),
        None => "None".into(),
    };
    let on_reset = match on_reset {
        OnReset::Restart => "Restart".into(),
        OnReset::Restore { tries } => format!("Restore {{ tries: {tries} }}"),
    };
    format!(
        "        avisor::config::VmConfig {{
            name: {name:?},
            image: {image},
            initrd: {initrd},
            cmdline: {cmdline:?},
            vcpus: {vcpus},
            cores: &{cores:?},
            memory: {memory:#x},
            windows: {windows},
            on_reset: avisor::config::OnReset::{on_reset},
            checkpoint_every: {checkpoint_every:?},
            time: avisor::config::Time::{time},
            pools: avisor::config::PoolPlan {{
                capacity: {pool_capacity},
                accounting: avisor::config::Accounting::{accounting},
            }},
            controls: &{controls:?},
            controlled_by: {controlled_by:?},
            start: avisor::config::Start::{start},
            uart: avisor::config::Uart::{uart},
        }},\n"
    )
}

/// The image as `avisor::guest_image` has it: pieces of one file.
fn image(files: &Files) -> String {
    let plan = &files.plan;
    let segments: String = plan
        .segments
        .iter()
        .map(|segment| {
            format!(
                "Segment {{ ipa: Ipa({:#x}), bytes: FILE.split_at({}).1.split_at({}).0, zeroes: {:#x} }}, ",
                segment.at,
                segment.file.start,
                segment.file.len(),
                segment.zeroes
            )
        })
        .collect();
    format!(
        "{{
                use avisor::addr::Ipa;
                use avisor::guest_image::{{Format, Image, Segment}};
                static FILE: &[u8] = {};
                static SEGMENTS: [Segment<'static>; {}] = [{segments}];
                Image {{ format: Format::{:?}, entry: Ipa({:#x}), segments: &SEGMENTS }}
            }}",
        included(&files.image),
        plan.segments.len(),
        plan.format,
        plan.entry
    )
}

fn included(path: &PathBuf) -> String {
    format!("{{ static FILE: &File<[u8]> = &File(*include_bytes!({path:?})); &FILE.0 }}")
}
