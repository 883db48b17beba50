//! A target's memory by the virtual addresses of one of its vCPUs: TRANSLATE, and READ and WRITE with a vCPU.
//!
//! The tables are those that the vCPU's registers name, as they are in memory, now or in a snapshot; what TLBs still have of older ones does not count.

use super::quiesce::STOPPED;
use super::reach::{BYTES_MAX, Memory};
use super::saved::SavedVcpus;
use super::stage1::Regime;
use super::vcpu::RunState;
use super::{Core, System, Vm, VmBackend, VmShared};
use crate::addr::{Ipa, PAGE_SIZE, Pa};
use crate::arch::vcpu::exchange::VcpuRegisters;
use crate::hvc::{Results, error};
use crate::snapshot::{MapOf, NotFound};
use zerocopy::FromZeros;

/// The most pages that the memory of one READ or WRITE lies in.
const PIECES_MAX: usize = (BYTES_MAX / PAGE_SIZE) as usize + 1;
/// Places of TTBR0_EL1 and TTBR1_EL1 in [`VcpuRegisters::el1`].
const TTBR: [usize; 2] = [11, 12];

/// Where a range of virtual addresses lies in RAM, piece by piece.
struct Pieces {
    all: [Memory; PIECES_MAX],
    count: usize,
}

impl<B: VmBackend> VmShared<B> {
    /// A doubleword of RAM, as it is in a snapshot or now, at a multiple of 8.
    fn word_at(&mut self, map: Option<MapOf>, ipa: Ipa) -> Option<u64> {
        let page = self.memory.stage2.page_at(ipa)?;
        let pa = match map {
            None => self.readable(ipa),
            Some(map) => self
                .snapshots
                .frame_in(&self.memory, map, page)
                .map(|frame| Pa(self.memory.stage2.pa(frame).0 + ipa.0 % PAGE_SIZE)),
        };
        // What is absent is all zeros.
        let mut bytes = [0; 8];
        if let Some(pa) = pa {
            self.memory.backend.read(pa, &mut bytes);
        }
        Some(u64::from_le_bytes(bytes))
    }

    /// Where the virtual addresses of `memory`, no more than [`BYTES_MAX`], lead: all of it to RAM, or it is an error.
    fn pieces(
        &mut self,
        regime: &Regime,
        map: Option<MapOf>,
        mut memory: Memory,
    ) -> Result<Pieces, i64> {
        let mut all = [Memory { ipa: 0, bytes: 0 }; PIECES_MAX];
        let mut count = 0;
        loop {
            let place = regime.translate(memory.ipa, |ipa| self.word_at(map, ipa));
            let place = place.ok_or(error::NOT_FOUND)?;
            let piece = Memory {
                ipa: place.ipa.0,
                bytes: place.bytes.min(memory.bytes),
            };
            self.check(piece)?;
            // No page is smaller than those that they were counted by.
            all[count] = piece;
            count += 1;
            memory.ipa = memory.ipa.wrapping_add(piece.bytes);
            memory.bytes -= piece.bytes;
            if memory.bytes == 0 {
                return Ok(Pieces { all, count });
            }
        }
    }
}

impl<B: VmBackend> Vm<B> {
    /// Does something with the registers of vCPU number `vcpu` that its translation depends on, and with the memory of the same moment: now, while none of the
    /// vCPUs runs, or in a snapshot. The caller holds the shared part, and its core has no vCPU of this VM loaded.
    fn with_regime<R>(
        &self,
        core: &mut B::Core,
        shared: &mut VmShared<B>,
        id: Option<u64>,
        vcpu: u64,
        action: impl FnOnce(&mut B::Core, &mut VmShared<B>, &Regime, Option<MapOf>) -> Result<R, i64>,
    ) -> Result<R, i64> {
        let index = usize::try_from(vcpu).ok();
        let index = index
            .filter(|&index| index < self.vcpus.len())
            .ok_or(error::INVALID_PARAMETER)?;
        let mut registers = VcpuRegisters::new_zeroed();
        let Some(id) = id else {
            self.load_before(core, shared)?;
            let mut held = self.quiesce(core, None);
            if let Some(vcpu) = held.get(index)
                && self.vcpus[index].run_state() != RunState::Off
            {
                registers.state = 1;
                B::Core::export(&vcpu.system, &mut registers);
            }
            let done = match regime(&registers) {
                Some(regime) => action(core, shared, &regime, None),
                None => Err(error::DENIED),
            };
            self.release(core, held);
            if !self.gate.is_closed_for(STOPPED) {
                // It may want this core, which it did not want before.
                core.set_alarm_no_later(B::Core::physical_count());
            }
            return done;
        };
        let not_found = |NotFound| error::NOT_FOUND;
        let map = shared.snapshots.map_of(&shared.memory, id);
        let map = map.map_err(not_found)?;
        let part = SavedVcpus::<System<B>>::part_of(index);
        let nodes = shared.snapshots.saved_part(&shared.memory, id, part);
        SavedVcpus::new(part, nodes.map_err(not_found)?).export::<B::Core>(index, &mut registers);
        let regime = regime(&registers).ok_or(error::DENIED)?;
        action(core, shared, &regime, Some(map))
    }

    /// TRANSLATE of this VM.
    #[inline(never)]
    pub(super) fn translate(
        &self,
        core: &mut B::Core,
        id: Option<u64>,
        vcpu: u64,
        va: u64,
    ) -> Result<Results, i64> {
        let shared = &mut *self.lock_from_outside();
        self.with_regime(core, shared, id, vcpu, |_, shared, regime, map| {
            let place = regime.translate(va, |ipa| shared.word_at(map, ipa));
            let place = place.ok_or(error::NOT_FOUND)?;
            Ok(Results::of([0, place.ipa.0, place.bytes]))
        })
    }

    /// READ of this VM by virtual addresses of vCPU number `vcpu`.
    #[cold]
    #[inline(never)]
    pub(super) fn read_virtual(
        &self,
        core: &mut B::Core,
        to: (&mut VmShared<B>, u64),
        id: Option<u64>,
        from: Memory,
        vcpu: u64,
    ) -> Result<u64, i64> {
        let (own, mut ipa) = to;
        let shared = &mut *self.lock_from_outside();
        let to = Memory { ipa, ..from };
        own.check(to)?;
        self.with_regime(core, shared, id, vcpu, |_, shared, regime, map| {
            let pieces = shared.pieces(regime, map, from)?;
            own.prepare_stores(to)?;
            for piece in &pieces.all[..pieces.count] {
                let bytes = piece.bytes;
                own.copy_parts(shared, map, [*piece, Memory { ipa, bytes }]);
                ipa += bytes;
            }
            Ok(0)
        })
    }

    /// WRITE to this VM by virtual addresses of vCPU number `vcpu`.
    #[cold]
    #[inline(never)]
    pub(super) fn write_virtual(
        &self,
        core: &mut B::Core,
        from: (&mut VmShared<B>, u64),
        to: Memory,
        vcpu: u64,
    ) -> Result<u64, i64> {
        let (own, mut ipa) = from;
        let shared = &mut *self.lock_from_outside();
        own.check(Memory { ipa, ..to })?;
        self.with_regime(core, shared, None, vcpu, |core, shared, regime, _| {
            let pieces = shared.pieces(regime, None, to)?;
            let pieces = &pieces.all[..pieces.count];
            core.borrow_stage2(self.number, shared.memory.stage2.root());
            let prepared = pieces
                .iter()
                .try_for_each(|piece| shared.prepare_stores(*piece));
            if prepared.is_ok() {
                for piece in pieces {
                    let bytes = piece.bytes;
                    shared.write_parts(own, [Memory { ipa, bytes }, *piece]);
                    ipa += bytes;
                }
            }
            core.return_stage2();
            prepared.map(|()| 0)
        })
    }
}

/// What a vCPU's translation depends on; `None` if it is off.
fn regime(registers: &VcpuRegisters) -> Option<Regime> {
    (registers.state != 0).then_some(Regime {
        sctlr: registers.sctlr,
        tcr: registers.tcr,
        ttbr: TTBR.map(|place| registers.el1[place]),
    })
}
