//! A VM's image, initial RAM disk and device tree, loaded into its RAM: in pieces, before its vCPU 0 goes on.

use super::memory::RAM_BASE;
use super::{StartError, VmBackend, VmShared};
use crate::addr::{Ipa, PAGE_SIZE};
use crate::config::VmConfig;
use crate::guest_image::TreePlaces;
use crate::guest_image::device_tree::{self, TreeParams};
use crate::snapshot::{Backend, Mapping, Reach};
use alloc::vec::Vec;
use log::Level;

/// Bytes that are written in a piece: some 3,000 instructions for each page.
const WRITTEN_AT_A_TIME: usize = 8 * PAGE_SIZE as usize;

/// Where a VM's vCPU 0 starts.
pub(super) struct BootEntry {
    /// Its first pc.
    pub pc: Ipa,
    /// The address of the device tree, for x0.
    pub tree: Ipa,
}

/// What is being loaded into a VM's RAM, and how far that is. The vCPU that is to run it is in the midst of it meanwhile
/// ([`Unfinished::is_loading`](super::unfinished::Unfinished::is_loading)), and all others are off. Who else would see the VM's RAM has it loaded to its
/// end first ([`finish_loading`](VmShared::finish_loading)).
pub(super) struct Loading {
    /// The configuration that names the image.
    config: &'static VmConfig,
    /// Where the initial RAM disk goes, if there is one.
    initrd: Option<Ipa>,
    tree: Vec<u8>,
    places: TreePlaces,
    /// The part that is being written, and how much of it is.
    part: usize,
    written: usize,
}

impl Loading {
    /// The parts that are written: address and bytes. What follows a segment's bytes is zero already.
    fn parts(&self) -> impl Iterator<Item = (Ipa, &[u8])> {
        let segments = self.config.image.segments.iter();
        let initrd = self.initrd.zip(self.config.initrd);
        let trees = self.places.at_start.into_iter().chain([self.places.passed]);
        segments
            .map(|segment| (segment.ipa, segment.bytes))
            .chain(initrd)
            .chain(trees.map(|at| (at, &*self.tree)))
    }
}

impl<B: VmBackend> VmShared<B> {
    /// Begins to load image, initial RAM disk and device tree into RAM, which is all absent.
    pub(super) fn begin_loading(
        &mut self,
        config: &'static VmConfig,
    ) -> Result<BootEntry, StartError> {
        self.loading = None;
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
            seed: self.memory.backend.draw_seed(),
        })?;
        let places = image.device_tree(&ram, tree.len() as u64, initrd.as_ref())?;
        let entry = BootEntry {
            pc: image.entry,
            tree: places.passed,
        };
        self.loading = Some(Loading {
            config,
            initrd: initrd.map(|at| at.start),
            tree,
            places,
            part: 0,
            written: 0,
        });
        Ok(entry)
    }

    /// Whether RAM has all that the VM's vCPUs are to find there: a reset, or a restore, may have left some of it for later.
    #[inline]
    pub(super) fn is_loaded(&self) -> bool {
        self.loading.is_none() && !self.snapshots.owes_pages() && self.unclean_windows.is_none()
    }

    /// Goes on with what a reset or a restore has left to load, a piece of it. Returns whether nothing is left. The core is in the VM's stage 2; if it has
    /// a vCPU of the VM loaded, that one's state is loaded again afterwards.
    #[cold]
    #[inline(never)]
    pub(super) fn load_piece(&mut self) -> bool {
        if self.snapshots.owes_pages() {
            self.snapshots.write_back_piece(&mut self.memory);
            return self.is_loaded();
        }
        if let Some(mut next) = self.unclean_windows {
            let is_clean = self.clean_windows(&mut next);
            self.unclean_windows = (!is_clean).then_some(next);
            return self.is_loaded();
        }
        let Some(mut loading) = self.loading.take() else {
            return true;
        };
        let mut left = WRITTEN_AT_A_TIME;
        while left != 0 {
            let Some((at, bytes)) = loading.parts().nth(loading.part) else {
                self.announce(loading.config);
                return true;
            };
            let rest = &bytes[loading.written..];
            if rest.is_empty() {
                (loading.part, loading.written) = (loading.part + 1, 0);
                continue;
            }
            let at = Ipa(at.0 + loading.written as u64);
            let room = (PAGE_SIZE - at.page_offset()) as usize;
            let count = room.min(rest.len()).min(left);
            if !self.write_ram(at, &rest[..count]) {
                break;
            }
            loading.written += count;
            left -= count;
        }
        self.loading = Some(loading);
        false
    }

    /// Loads all that is left to load.
    #[inline]
    pub(super) fn finish_loading(&mut self) {
        if !self.is_loaded() {
            while !self.load_piece() {}
        }
    }

    /// What is being loaded is not wanted any more.
    #[cold]
    #[inline(never)]
    pub(super) fn forget_loading(&mut self) {
        self.loading = None;
    }

    fn announce(&mut self, config: &VmConfig) {
        let (mib, image) = (self.memory_bytes() >> 20, &config.image);
        let (format, entry) = (image.format, image.entry);
        let what = format_args!("{mib} MiB of RAM, {format:?} image, entered at {entry:#x}");
        self.log_named(config.name, Level::Info, what);
    }

    /// Writes `bytes`, which cross no page, into the guest's RAM, as the guest would: the contents that snapshots hold stay as they are. Or does a
    /// piece of what makes their page writable, and returns `false`.
    fn write_ram(&mut self, at: Ipa, bytes: &[u8]) -> bool {
        let stage2 = &self.memory.stage2;
        let page = stage2.page_at(at).expect("build.rs keeps to RAM");
        if !matches!(
            self.memory.mapping(page),
            Mapping::Write | Mapping::WriteBlock
        ) {
            self.memory.faulting = None;
            if !self.fault_in(page, true, Reach::Around) {
                return false;
            }
        }
        let stage2 = &self.memory.stage2;
        let pa = stage2.translate(at).expect("it was just made present");
        self.memory.backend.write(pa, bytes);
        true
    }
}
