//! A controller reaches into its target: memory, and where two snapshots differ. What the calls return is x0, or an error.
//!
//! What an argument names is checked to its end before anything happens: memory lies in the RAM of its VM, snapshots and vCPUs exist.

use super::quiesce::{OFF, STOPPED};
use super::{Core, Vm, VmBackend, VmShared};
use crate::addr::{Ipa, PAGE_SIZE, Pa};
use crate::hvc::{Results, error};
use crate::snapshot::{Backend, Count, MapOf, Mapping, NotFound, Page, Reach};
use core::hint::cold_path;
use core::task::Poll;

/// In place of an error: the call is not done yet, and is made again. So far nothing is changed that a guest could tell: what was left to load is loaded,
/// and pages are writable.
pub(super) const UNFINISHED: i64 = i64::MIN;

/// The most bytes of one READ or WRITE: EL2's time for a call is bounded.
pub(super) const BYTES_MAX: u64 = 1 << 16;

/// A range of a VM's memory.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    pub ipa: u64,
    pub bytes: u64,
}

impl Memory {
    /// The part at the beginning that crosses no page here, nor in `other`, and both without that part.
    fn split(self, other: Self) -> (u64, [Self; 2]) {
        let room = |memory: Self| PAGE_SIZE - memory.ipa % PAGE_SIZE;
        let part = self.bytes.min(room(self)).min(room(other));
        let rest = |memory: Self| Self {
            ipa: memory.ipa + part,
            bytes: memory.bytes - part,
        };
        (part, [rest(self), rest(other)])
    }
}

impl<B: VmBackend> VmShared<B> {
    /// Whether all of that is RAM, and not too much of it.
    pub(super) fn check(&self, memory: Memory) -> Result<(), i64> {
        let last = memory.ipa.checked_add(memory.bytes.max(1) - 1);
        let is_ram = |ipa| self.memory.stage2.page_at(Ipa(ipa)).is_some();
        match memory.bytes <= BYTES_MAX && is_ram(memory.ipa) && last.is_some_and(is_ram) {
            true => Ok(()),
            false => Err(error::INVALID_PARAMETER),
        }
    }

    /// Where the byte at `ipa` can be read, if it is in RAM, and its page is not absent. A restore may have left it to the first access to map the
    /// page.
    #[inline]
    pub(super) fn readable(&self, ipa: Ipa) -> Option<Pa> {
        let stage2 = &self.memory.stage2;
        stage2.translate(ipa).or_else(|| {
            let page = stage2.page_at(ipa)?;
            let frame = self.snapshots.frame_in_base(&self.memory, page)?;
            Some(Pa(stage2.pa(frame).0 + ipa.page_offset()))
        })
    }

    /// Has all of RAM loaded, and that memory writable, as by the guest's stores; or a piece of it, and [`UNFINISHED`]. The core is in the VM's stage 2.
    ///
    /// What a restore dropped is freed before, as each first store would free a piece of that. A VM that runs, and goes back again and again, does not keep
    /// this from its end: to free an entry takes some 20 instructions, and to have it dropped a first store.
    ///
    /// What a VM that runs could undo is done in one piece with what it is for: 17 pages at the most, some 2,000 instructions each if each is the first of
    /// its block.
    #[inline(never)]
    pub(super) fn prepare_stores(&mut self, memory: Memory) -> Result<(), i64> {
        if !self.is_loaded() && !self.load_piece() {
            return Err(UNFINISHED);
        }
        self.cleaned = 0;
        if self.snapshots.free_dropped() {
            return Err(UNFINISHED);
        }
        let mut rest = memory;
        while rest.bytes != 0 {
            let page = self.page_at(rest.ipa);
            if !matches!(
                self.memory.mapping(page),
                Mapping::Write | Mapping::WriteBlock
            ) {
                self.memory.faulting = None;
                if !self.fault_in(page, true, Reach::Around) {
                    return Err(UNFINISHED);
                }
            }
            (_, [rest, _]) = rest.split(rest);
        }
        Ok(())
    }

    /// The page of the byte at `ipa`, which is in RAM.
    fn page_at(&self, ipa: u64) -> Page {
        let page = self.memory.stage2.page_at(Ipa(ipa));
        page.expect("it was checked")
    }

    /// Where the byte at `ipa`, in RAM, is stored to. [`prepare_stores`](Self::prepare_stores) was done.
    #[inline]
    fn writable(&self, ipa: u64) -> Pa {
        debug_assert!(matches!(
            self.memory.mapping(self.page_at(ipa)),
            Mapping::Write | Mapping::WriteBlock
        ));
        let pa = self.memory.stage2.translate(Ipa(ipa));
        pa.expect("it was made writable")
    }

    /// Copies a part that crosses no page into RAM; nothing means zeros.
    fn copy_in(&mut self, to: Pa, from: Option<(&mut B, Pa)>, bytes: u64) {
        const ZEROS: [u8; 256] = [0; 256];
        if let Some((other, from)) = from {
            return self.memory.backend.copy_from(other, from, to, bytes);
        }
        if bytes == PAGE_SIZE {
            return self.memory.backend.zero(to, bytes);
        }
        for at in (0..bytes).step_by(ZEROS.len()) {
            let part = &ZEROS[..(bytes - at).min(ZEROS.len() as u64) as usize];
            self.memory.backend.write_beside_guests(Pa(to.0 + at), part);
        }
    }

    /// Copies memory of `other`, as it is now or in a snapshot, part by part: from the first range to the second.
    pub(super) fn copy_parts(
        &mut self,
        other: &mut Self,
        map: Option<MapOf>,
        mut rests: [Memory; 2],
    ) {
        while rests[0].bytes != 0 {
            let [from, to] = rests;
            let part;
            (part, rests) = from.split(to);
            let source = match map {
                None => other.readable(Ipa(from.ipa)),
                Some(map) => {
                    let stage2 = &other.memory.stage2;
                    let page = stage2.page_at(Ipa(from.ipa)).expect("it was checked");
                    let frame = other.snapshots.frame_in(&other.memory, map, page);
                    frame.map(|frame| Pa(stage2.pa(frame).0 + from.ipa % PAGE_SIZE))
                }
            };
            let pa = self.writable(to.ipa);
            let source = source.map(|source| (&mut other.memory.backend, source));
            self.copy_in(pa, source, part);
        }
    }

    /// Copies memory of `other`, part by part, from the first range to the second, as stores of this VM would; what is fetched from there is what was written.
    /// None of the VM's vCPUs runs, and the core is in its stage 2.
    pub(super) fn write_parts(&mut self, other: &mut Self, mut rests: [Memory; 2]) {
        while rests[0].bytes != 0 {
            let [from, to] = rests;
            let part;
            (part, rests) = from.split(to);
            let source = other.readable(Ipa(from.ipa));
            let (page, pa) = (self.page_at(to.ipa), self.writable(to.ipa));
            let source = source.map(|source| (&mut other.memory.backend, source));
            self.copy_in(pa, source, part);
            let memory = &mut self.memory;
            memory.stage2.invalidate_code(&mut memory.backend, page);
        }
    }

    /// Writes `bytes` into RAM, from `ipa` on.
    #[inline(never)]
    pub(super) fn put(&mut self, ipa: u64, mut bytes: &[u8]) {
        let mut to = Memory {
            ipa,
            bytes: bytes.len() as u64,
        };
        while !bytes.is_empty() {
            let (count, [rest, _]) = to.split(to);
            let (part, further) = bytes.split_at(count as usize);
            let pa = self.writable(to.ipa);
            self.memory.backend.write_beside_guests(pa, part);
            (to, bytes) = (rest, further);
        }
    }

    /// Reads RAM, from `ipa` on.
    #[inline(never)]
    pub(super) fn get(&mut self, ipa: u64, mut to: &mut [u8]) {
        let mut from = Memory {
            ipa,
            bytes: to.len() as u64,
        };
        while !to.is_empty() {
            let (count, [rest, _]) = from.split(from);
            let (part, further) = to.split_at_mut(count as usize);
            match self.readable(Ipa(from.ipa)) {
                Some(pa) => self.memory.backend.read(pa, part),
                None => part.fill(0),
            }
            (from, to) = (rest, further);
        }
    }
}

impl<B: VmBackend> Vm<B> {
    /// Does something while none of the VM's vCPUs runs. The caller holds its shared part, and its core has no vCPU of it loaded.
    #[inline(always)]
    fn held(&self, core: &mut B::Core, mut action: impl FnMut(&mut B::Core)) {
        if self.gate.is_closed_for(STOPPED | OFF) {
            return action(core);
        }
        cold_path();
        let stopped = self.quiesce(core, None);
        action(core);
        self.release(core, stopped);
        // It may want this core, which it did not want before.
        core.set_alarm_no_later(B::Core::physical_count());
    }

    /// A piece of what is left to load, before the VM's RAM is looked at; [`UNFINISHED`], if that is not all.
    #[inline(never)]
    pub(super) fn load_before(
        &self,
        core: &mut B::Core,
        shared: &mut VmShared<B>,
    ) -> Result<(), i64> {
        if shared.is_loaded() {
            return Ok(());
        }
        core.borrow_stage2(self.number, shared.memory.stage2.root());
        let is_loaded = shared.load_piece();
        core.return_stage2();
        // Not later: what is loaded now, a restore of the VM's own could have to be loaded again.
        if is_loaded { Ok(()) } else { Err(UNFINISHED) }
    }

    /// READ of this VM: into the memory of its controller, whose shared part is `to`.
    pub(super) fn read(
        &self,
        core: &mut B::Core,
        to: (&mut VmShared<B>, u64),
        id: Option<u64>,
        from: Memory,
    ) -> Result<u64, i64> {
        let (own, ipa) = to;
        let rests = [
            from,
            Memory {
                ipa,
                bytes: from.bytes,
            },
        ];
        let shared = &mut *self.lock_from_outside();
        own.check(rests[1])?;
        shared.check(from)?;
        let map = match id {
            None => None,
            Some(id) => {
                let map = shared.snapshots.map_of(&shared.memory, id);
                Some(map.map_err(|NotFound| error::NOT_FOUND)?)
            }
        };
        own.prepare_stores(rests[1])?;
        match map {
            None => {
                self.load_before(core, shared)?;
                self.held(core, |_| own.copy_parts(shared, None, rests));
            }
            map => own.copy_parts(shared, map, rests),
        }
        Ok(0)
    }

    /// WRITE to this VM: from the memory of its controller, whose shared part is `from`.
    #[inline(never)]
    pub(super) fn write(
        &self,
        core: &mut B::Core,
        from: (&mut VmShared<B>, u64),
        to: Memory,
    ) -> Result<u64, i64> {
        let (own, ipa) = from;
        let rests = [
            Memory {
                ipa,
                bytes: to.bytes,
            },
            to,
        ];
        let shared = &mut *self.lock_from_outside();
        own.check(rests[0])?;
        shared.check(to)?;
        let root = shared.memory.stage2.root();
        let mut done = Ok(0);
        self.held(core, |core| {
            core.borrow_stage2(self.number, root);
            match shared.prepare_stores(to) {
                Ok(()) => shared.write_parts(own, rests),
                Err(error) => done = Err(error),
            }
            core.return_stage2();
        });
        done
    }

    /// DIFFERS of this VM.
    #[inline(never)]
    pub(super) fn differs(
        &self,
        core: &mut B::Core,
        ids: [Option<u64>; 2],
        from: u64,
        count: &mut Count,
    ) -> Result<Results, i64> {
        let mut shared = self.lock_from_outside();
        if ids.contains(&None) {
            self.load_before(core, &mut shared)?;
        }
        let pages = shared.snapshots.pages();
        let from = u32::try_from(from).unwrap_or(pages).min(pages);
        let (snapshots, memory) = (&shared.snapshots, &shared.memory);
        let Poll::Ready(found) = snapshots.first_difference(memory, ids, from, count) else {
            return Err(UNFINISHED);
        };
        *count = Count::NOT_BEGUN;
        found
            .map(|page| Results::of([page.unwrap_or(pages).into()]))
            .map_err(|NotFound| error::NOT_FOUND)
    }
}
