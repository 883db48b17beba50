//! QEMU's own snapshots, `savevm` and `loadvm`: they go to a disk in qcow2, of which there is none but the one made here.

use std::fs;
use std::path::Path;

use super::machine::{Machine, Time};
use super::monitor::Monitor;

/// What QEMU's snapshots took, in nanoseconds.
#[derive(Default)]
pub struct Times {
    pub save: Vec<f64>,
    pub load: Vec<f64>,
}

/// Takes `times` snapshots of the guest and goes back to each, once for each contents of RAM, in that order.
pub fn measure(
    guest: &Path,
    scratch: &Path,
    contents: &[&str],
    times: usize,
) -> Result<Vec<Times>, String> {
    let disk = scratch.join("savevm.qcow2");
    let socket = Monitor::socket();
    fs::write(&disk, qcow2()).map_err(|error| format!("{}: {error}", disk.display()))?;
    let drive = format!("if=none,format=qcow2,file={}", disk.display());
    let more = [
        vec!["-drive".to_owned(), drive],
        Monitor::arguments(&socket),
    ]
    .concat();
    let mut machine = Machine::plain(guest, Time::Wall, &more)?;
    let mut monitor = Monitor::connect(&socket)?;
    machine.send("idle 128")?;
    let mut all = Vec::new();
    for contents in contents {
        machine.wait_for(&format!("bench: RAM {contents}"))?;
        let mut taken = Times::default();
        for _ in 0..times {
            taken.save.push(monitor.timed("savevm a")?);
            taken.load.push(monitor.timed("loadvm a")?);
            monitor.timed("delvm a")?;
        }
        all.push(taken);
        machine.send("next")?;
    }
    // Neither is worth keeping, nor worth failing for.
    let _ = fs::remove_file(disk);
    let _ = fs::remove_file(socket);
    Ok(all)
}

/// An empty disk in qcow2, version 2 (docs/interop/qcow2.txt in QEMU's source).
pub fn qcow2() -> Vec<u8> {
    const CLUSTER_BITS: u32 = 16;
    const CLUSTER: usize = 1 << CLUSTER_BITS;
    const SIZE: u64 = 1 << 20;
    // Clusters: the header, the table of reference count blocks, the one block, the level 1 table.
    const REFERENCE_TABLE: usize = CLUSTER;
    const REFERENCE_BLOCK: usize = 2 * CLUSTER;
    const LEVEL_1: usize = 3 * CLUSTER;
    let mut disk = vec![0; 4 * CLUSTER];
    let header = [
        b"QFI\xfb".to_vec(),
        2_u32.to_be_bytes().to_vec(),
        vec![0; 8 + 4], // no backing file
        CLUSTER_BITS.to_be_bytes().to_vec(),
        SIZE.to_be_bytes().to_vec(),
        vec![0; 4],                   // not encrypted
        1_u32.to_be_bytes().to_vec(), // level 1 entries
        (LEVEL_1 as u64).to_be_bytes().to_vec(),
        (REFERENCE_TABLE as u64).to_be_bytes().to_vec(),
        1_u32.to_be_bytes().to_vec(), // clusters of that table
        vec![0; 4 + 8],               // no snapshots
    ]
    .concat();
    disk[..header.len()].copy_from_slice(&header);
    disk[REFERENCE_TABLE..][..8].copy_from_slice(&(REFERENCE_BLOCK as u64).to_be_bytes());
    for used in 0..4 {
        disk[REFERENCE_BLOCK + 2 * used + 1] = 1;
    }
    disk
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_as_the_format_says() {
        let disk = qcow2();
        assert_eq!(disk.len(), 4 << 16);
        // Magic, cluster bits, offset of the level 1 table, and of the reference count table, each where the format has it.
        assert_eq!(disk[..8], *b"QFI\xfb\0\0\0\x02");
        assert_eq!(disk[20..24], 16_u32.to_be_bytes());
        assert_eq!(disk[36..48], [0, 0, 0, 1, 0, 0, 0, 0, 0, 3, 0, 0]);
        assert_eq!(disk[48..60], [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    }
}
