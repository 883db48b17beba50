//! Writes the configuration as Rust: the `PLAN` that `main.rs` includes.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::config::{Config, Vm};

/// The source of `plan.rs`.
pub fn source(config: &Config, images: &[PathBuf]) -> String {
    let mut source = format!(
        "/// What the configuration says.\n\
         pub static PLAN: avisor::config::Plan = avisor::config::Plan {{\n    \
             log: log::LevelFilter::{},\n    vms: &[\n",
        config.log
    );
    for (vm, image) in config.vms.iter().zip(images) {
        source += &vm_source(vm, image);
    }
    source + "    ],\n};\n"
}

fn vm_source(vm: &Vm, image: &Path) -> String {
    let mut source = String::new();
    let Vm {
        name,
        memory,
        load_address,
        pool_capacity,
        accounting,
        ..
    } = vm;
    write!(
        source,
        "        avisor::config::VmPlan {{
            name: {name:?},
            image: include_bytes!({image:?}),
            memory: {memory:#x},
            load_address: {load_address:?},
            pools: avisor::config::PoolPlan {{
                capacity: {pool_capacity},
                accounting: avisor::config::Accounting::{accounting},
            }},
        }},\n"
    )
    .expect("a String takes everything");
    source
}
