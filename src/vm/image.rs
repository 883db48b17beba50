//! A VM's image, initial RAM disk and device tree, loaded into its RAM.

use super::memory::RAM_BASE;
use super::{StartError, VmBackend, VmShared};
use crate::addr::{Ipa, PAGE_SIZE};
use crate::config::VmConfig;
use crate::guest_image::Image;
use crate::guest_image::device_tree::{self, TreeParams};
use crate::snapshot::{Backend, Mapping, Reach};
use log::Level;

/// Where a VM's vCPU 0 starts.
pub(super) struct BootEntry {
    /// Its first pc.
    pub pc: Ipa,
    /// The address of the device tree, for x0.
    pub tree: Ipa,
}

impl<B: VmBackend> VmShared<B> {
    /// Loads image, initial RAM disk and device tree into RAM, which is all absent.
    pub(super) fn load_image(&mut self, config: &VmConfig) -> Result<BootEntry, StartError> {
        let ram = RAM_BASE..Ipa(RAM_BASE.0 + self.memory_bytes());
        let image = &config.image;
        let initrd = config
            .initrd
            .map(|disk| image.initrd(&ram, disk.len() as u64));
        let initrd = initrd.transpose()?;
        let tree = device_tree::generate(&TreeParams {
            ram: ram.clone(),
            vcpus: config.vcpus,
            cmdline: config.cmdline,
            initrd: initrd.clone(),
            windows: config.windows,
        })?;
        let places = image.device_tree(&ram, tree.len() as u64, initrd.as_ref())?;
        // What follows a segment's bytes is zero already.
        for segment in image.segments {
            self.write_ram(segment.ipa, segment.bytes);
        }
        if let (Some(disk), Some(at)) = (config.initrd, initrd) {
            self.write_ram(at.start, disk);
        }
        for at in places.at_start.into_iter().chain([places.passed]) {
            self.write_ram(at, &tree);
        }
        self.announce(config, image);
        Ok(BootEntry {
            pc: image.entry,
            tree: places.passed,
        })
    }

    fn announce(&mut self, config: &VmConfig, image: &Image<'_>) {
        let (mib, Image { format, entry, .. }) = (self.memory_bytes() >> 20, image);
        let what = format_args!("{mib} MiB of RAM, {format:?} image, entered at {entry:#x}");
        self.log_named(config.name, Level::Info, what);
    }

    /// Writes into the guest's RAM, as the guest would: the contents that snapshots hold stay as they are.
    fn write_ram(&mut self, at: Ipa, mut bytes: &[u8]) {
        let mut at = at;
        while !bytes.is_empty() {
            let room = (PAGE_SIZE - at.page_offset()) as usize;
            let (chunk, rest) = bytes.split_at(room.min(bytes.len()));
            let stage2 = &self.memory.stage2;
            let page = stage2.page_at(at).expect("build.rs keeps to RAM");
            if !matches!(
                self.memory.mapping(page),
                Mapping::Write | Mapping::WriteBlock
            ) {
                self.memory.faulting = None;
                while !self.fault_in(page, true, Reach::Around) {}
            }
            let stage2 = &self.memory.stage2;
            let pa = stage2.translate(at).expect("it was just made present");
            self.memory.backend.write(pa, chunk);
            at = Ipa(at.0 + chunk.len() as u64);
            bytes = rest;
        }
    }
}
