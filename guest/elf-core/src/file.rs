//! The file: any part of it, at any time.

use alloc::vec::Vec;

use crate::layout::Layout;
use crate::machine::Machine;
use crate::notes;
use crate::pages::Pages;
use crate::ranges::Mapped;

/// An ELF core of a machine. It knows what is where, and asks the machine for pages when they are read.
pub struct Core {
    layout: Layout,
    has_vmcoreinfo: bool,
    is_cut: bool,
}

impl Core {
    /// Looks at a machine: at all of its RAM, once. Until the last [`read`](Self::read) it stays as it is.
    pub fn new<M: Machine>(machine: &mut M) -> Result<Self, M::Error> {
        let pages = Pages::of(machine)?;
        let mapped = Mapped::of(machine)?;
        let mut notes = Vec::new();
        for n in 0..machine.vcpus() {
            notes::add_vcpu(&mut notes, n, &machine.vcpu(n)?);
        }
        if let Some(text) = &pages.vmcoreinfo {
            notes::add_vmcoreinfo(&mut notes, text);
        }
        let (start, _) = machine.ram();
        Ok(Self {
            layout: Layout::new(start, &pages, &mapped.ranges, &notes),
            has_vmcoreinfo: pages.vmcoreinfo.is_some(),
            is_cut: mapped.is_cut,
        })
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.layout.bytes()
    }

    /// Whether Linux is in the machine, and its VMCOREINFO in the file.
    pub fn has_vmcoreinfo(&self) -> bool {
        self.has_vmcoreinfo
    }

    /// Whether some virtual ranges are left out, as there were too many. Physical addresses are all there.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Reads the file from `offset` on: how many bytes, which is less than wanted at the end of the file only.
    pub fn read<M: Machine>(
        &self,
        machine: &mut M,
        offset: u64,
        to: &mut [u8],
    ) -> Result<usize, M::Error> {
        let Layout { head, runs } = &self.layout;
        let mut done = 0;
        if let Some(head) = head.get(offset as usize..) {
            done = head.len().min(to.len());
            to[..done].copy_from_slice(&head[..done]);
        }
        while done < to.len() {
            let at = offset + done as u64 - head.len() as u64;
            let run = runs.partition_point(|run| run.offset + run.bytes <= at);
            let Some(run) = runs.get(run) else { break };
            let skipped = at - run.offset;
            let count = (run.bytes - skipped).min((to.len() - done) as u64) as usize;
            machine.read(run.ipa + skipped, &mut to[done..done + count])?;
            done += count;
        }
        Ok(done)
    }
}
