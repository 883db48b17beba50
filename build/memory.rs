//! Whether a machine of a given size can be large enough for a configuration.
//!
//! What EL2 says is exact. It knows what the image, the tables and the bookkeeping take, too; here is only what guests' RAM and the windows do.

#[path = "../src/snapshot/promise.rs"]
mod promise;

use crate::config::{Config, Vm, size};
use promise::ram_pages;

const PAGE_SIZE: u64 = 4 << 10;
const MIB: u64 = 1 << 20;

/// What is wrong with `MEM=memory` for the configuration in `file`, if anything can be said before the image is built.
pub fn check(config: &Config, file: &str, memory: &str) -> Result<(), String> {
    let windows: u64 = config.windows.iter().map(|window| window.size).sum();
    let least = config.vms.iter().map(least).sum::<u64>() + windows;
    match size(memory) {
        Some(bytes) if bytes <= least => Err(format!(
            "MEM: {memory} is too little for {file}, whose VMs need more than {} MiB, each with one pool of snapshots: give the machine \
             more, or the VMs less `memory`, a smaller `pool_capacity` or `accounting = \"on-demand\"`",
            least / MIB
        )),
        _ => Ok(()),
    }
}

/// Bytes of RAM that a VM is promised.
fn least(vm: &Vm) -> u64 {
    let snapshots = match vm.accounting {
        "Reserved" => vm.pool_capacity.into(),
        _ => 0,
    };
    ram_pages(vm.memory / PAGE_SIZE, snapshots) * PAGE_SIZE
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::config::parse;

    #[test]
    fn a_machine_without_room_for_the_guests_ram_is_too_small() {
        let vms = |accounting: &str| {
            let vm = |name: &str| {
                format!(
                    "[[vm]]\nname = \"{name}\"\nimage = \"b\"\nmemory = \"64M\"\n[vm.snapshots]\naccounting = \"{accounting}\"\n"
                )
            };
            parse(&(vm("a") + &vm("b"))).unwrap()
        };
        for (accounting, small, large) in [
            ("reserved", ["64M", "512M"], ["513M", "1G"]),
            ("on-demand", ["32M", "128M"], ["129M", "8G"]),
        ] {
            let config = vms(accounting);
            for memory in small {
                let error = check(&config, "x.toml", memory).unwrap_err();
                let start = format!(
                    "MEM: {memory} is too little for x.toml, whose VMs need more than {} MiB",
                    small[1].trim_end_matches('M')
                );
                assert!(error.starts_with(&start), "{error}");
            }
            for memory in large {
                assert_eq!(check(&config, "x.toml", memory), Ok(()));
            }
        }
        // A window more.
        let window = "[[window]]\nname = \"w\"\nsize = \"1M\"\nvms = [\"a\"]\n";
        let vm = "[[vm]]\nname = \"a\"\nimage = \"b\"\nmemory = \"64M\"\n[vm.snapshots]\naccounting = \"on-demand\"\n";
        let config = parse(&[vm, window].concat()).unwrap();
        assert!(check(&config, "x.toml", "65M").is_err());
        assert_eq!(check(&config, "x.toml", "66M"), Ok(()));
        // tools/qemu says what is wrong with that.
        assert_eq!(check(&vms("reserved"), "x.toml", "banana"), Ok(()));
    }
}
