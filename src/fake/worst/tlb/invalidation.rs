//! TLBIs: in effect at once, or later, and at the latest at a DSB of the core that issued them.

use super::super::entry::{Entry, Key, Kind, PAGE};
use super::super::luck::Chance;
use super::{Domain, Tlbi, Tlbs, Walk};

/// A TLBI that may not be done yet.
#[derive(Clone, Copy)]
pub(super) struct Pending {
    core: usize,
    domain: Domain,
    what: Tlbi,
    vmid: u32,
    at: u64,
}

impl Tlbs {
    /// TLBI.
    pub fn invalidate(
        &mut self,
        core: usize,
        domain: Domain,
        what: Tlbi,
        vmid: u32,
        chance: &mut Chance,
    ) {
        let at = self.now();
        let pending = Pending {
            core,
            domain,
            what,
            vmid,
            at,
        };
        if !chance.strikes(chance.luck.keep) {
            self.apply(&pending);
        }
        // In any case: a walk in flight may end after it.
        self.pending.push(pending);
    }

    /// A DSB of `core` for all kinds of accesses.
    pub fn complete(&mut self, core: usize, domain: Domain) {
        let mut i = 0;
        while i < self.pending.len() {
            let pending = self.pending[i];
            if pending.core == core && pending.domain <= domain {
                self.pending.swap_remove(i);
                self.apply(&pending);
                for core in self.within(&pending) {
                    let walks = &mut self.cores[core].walks;
                    walks.retain(|walk| walk.born >= pending.at || !pending.stops(walk));
                }
            } else {
                i += 1;
            }
        }
    }

    fn within(&self, pending: &Pending) -> core::ops::Range<usize> {
        match pending.domain {
            Domain::Core => pending.core..pending.core + 1,
            _ => 0..self.cores.len(),
        }
    }

    pub(super) fn apply(&mut self, pending: &Pending) {
        for core in self.within(pending) {
            let entries = &mut self.cores[core].entries;
            match pending.what {
                Tlbi::Stage2(ipa) => {
                    let (vmid, kinds) = (pending.vmid, [Kind::Table, Kind::Stage2]);
                    for (size, kind) in (0..3).flat_map(|size| kinds.map(|kind| (size, kind))) {
                        let number = ipa.0 / (PAGE << (9 * size));
                        let key = Key {
                            vmid,
                            kind,
                            size,
                            number,
                        };
                        entries.forget(key, |entry| pending.ends(entry));
                    }
                }
                Tlbi::El2(_) | Tlbi::AllEl2 => {}
                _ => entries.forget_all(|key, entry| pending.covers(key) && pending.ends(entry)),
            }
        }
    }
}

impl Pending {
    /// Whether it is for what is kept by `key`, if it is not for an address.
    fn covers(&self, key: &Key) -> bool {
        match self.what {
            Tlbi::Vm => key.vmid == self.vmid,
            Tlbi::Stage1 => key.vmid == self.vmid && matches!(key.kind, Kind::Combined(_)),
            Tlbi::Address(va) => {
                let number = va.0 / (PAGE << (9 * key.size));
                key.vmid == self.vmid
                    && matches!(key.kind, Kind::Combined(_))
                    && key.number == number
            }
            Tlbi::AllVms => true,
            _ => false,
        }
    }

    /// Whether it ends what it covers: what was there before it. What combines both stages is as young as its walk, for who asks for stage 1
    /// alone.
    fn ends(&self, entry: &Entry) -> bool {
        let age = match self.what {
            Tlbi::Stage1 | Tlbi::Address(_) => entry.began,
            _ => entry.born,
        };
        age < self.at
    }

    /// Whether a walk that began before it may leave nothing.
    fn stops(&self, walk: &Walk) -> bool {
        match self.what {
            Tlbi::Stage2(ipa) => {
                walk.vmid == self.vmid && walk.ipa / (PAGE << 9) == ipa.0 / (PAGE << 9)
            }
            Tlbi::Vm | Tlbi::Stage1 => walk.vmid == self.vmid,
            Tlbi::Address(va) => {
                let is_for = |(walked, _)| walked / PAGE == va.0 / PAGE;
                walk.vmid == self.vmid && walk.combined.is_some_and(is_for)
            }
            Tlbi::AllVms => true,
            _ => false,
        }
    }
}
