//! What the caches may have that memory has not, by EL2's doing, and which vCPUs that matters to: those that go around the caches. Decides who
//! cleans what, and when.

/// In [`Coherence::around`]: a vCPU went around the caches behind a restore that had left something in them.
const MIXES: u16 = 1 << 15;
/// vCPU 0 is on, with its caches off.
const FIRST: u16 = 1;

/// How the caches and the memory of a VM are to each other.
pub struct Coherence {
    /// The caches may be ahead of memory: what was copied through them is in frames that snapshots have.
    is_ahead: bool,
    /// The same of frames that are mapped. Then no vCPU that is on goes around the caches, and each traps before it does.
    is_mapped_ahead: bool,
    /// Who goes around the caches: a bit for each vCPU that is on, as far as was seen last, and [`MIXES`].
    around: u16,
    /// The vCPUs whose writes of stage 1 registers trap because of a restore: a bit for each.
    watched: u8,
    /// A restore writes pages back around the caches, and cleans what else it maps.
    restores_around: bool,
    /// It wrote a page back through the caches.
    is_written_back: bool,
    /// A restore has left pages to be mapped at their first access.
    has_deferred: bool,
    /// The caches may be ahead of memory in frames of these pages, by EL2's doing.
    is_deferred_ahead: bool,
    /// Caches and memory were made to agree on all that was mapped, for the guest, since a restore had left pages to be mapped later: these have to
    /// be cleaned as they are mapped.
    is_deferred_behind: bool,
}

impl Coherence {
    /// Nothing is mapped, and vCPU 0 alone is on.
    pub fn new() -> Self {
        Self {
            is_ahead: false,
            is_mapped_ahead: false,
            around: FIRST,
            watched: 0,
            restores_around: false,
            is_written_back: false,
            has_deferred: false,
            is_deferred_ahead: false,
            is_deferred_behind: false,
        }
    }

    /// Nothing is mapped any more, and vCPU 0 alone is on, as the VM starts again.
    pub fn forget_mapped(&mut self) {
        (self.is_mapped_ahead, self.around, self.watched) = (false, FIRST, 0);
        (self.has_deferred, self.is_deferred_ahead) = (false, false);
    }

    /// Whether all vCPUs that are on, but for number `own`, go through the caches, and EL2 may copy through them as well.
    #[inline]
    pub fn others_go_through(&self, own: usize) -> bool {
        self.around & !(1 << own) == 0
    }

    /// Notes how vCPU number `index` reaches memory, which is on.
    pub fn note(&mut self, index: usize, around: bool) {
        self.around = self.around & !(1 << index) | u16::from(around) << index;
    }

    /// Notes which vCPUs that are on go around the caches, a bit for each. The others go through them, or are off.
    #[inline]
    pub fn note_all(&mut self, around: u8) {
        self.around = self.around & MIXES | u16::from(around);
    }

    /// A vCPU goes around the caches while what is mapped may be in them: from here on all is copied around them.
    pub fn note_mix(&mut self) {
        self.around |= MIXES;
    }

    /// Notes the vCPUs whose writes of stage 1 registers trap because of a restore, a bit for each.
    pub fn note_watched(&mut self, vcpus: u8) {
        self.watched = vcpus;
    }

    /// Whether vCPU number `index` is among those.
    pub fn is_watched(&self, index: usize) -> bool {
        self.watched & 1 << index != 0
    }

    /// vCPU number `index` is not among those any more.
    pub fn forget_watched(&mut self, index: usize) {
        self.watched &= !(1 << index);
    }

    /// Whether memory may lack what the caches have in frames that are mapped, by EL2's doing.
    #[inline]
    pub fn is_mapped_ahead(&self) -> bool {
        self.is_mapped_ahead
    }

    /// All that is mapped is about to be cleaned, a piece at a time. What a restore left to be mapped later is cleaned then, from here on.
    pub fn note_cleaning(&mut self) {
        self.is_deferred_behind |= self.has_deferred;
    }

    /// All that is mapped was cleaned.
    pub fn note_cleaned(&mut self) {
        self.is_mapped_ahead = false;
    }

    /// A snapshot's frame was copied through the caches.
    #[inline]
    pub fn note_copy(&mut self) {
        self.is_ahead = true;
    }

    /// A page was written back through the caches.
    #[inline]
    pub fn note_write_back(&mut self) {
        self.is_written_back = true;
    }

    /// A restore leaves pages to be mapped at their first access.
    #[inline]
    pub fn note_deferred(&mut self) {
        self.has_deferred = true;
    }

    /// A restore begins, with a vCPU that goes `around` the caches or without. Returns whether it unmaps all, so that what is accessed is cleaned
    /// instead of all that is mapped.
    #[inline]
    pub fn begin_restore(&mut self, around: bool) -> bool {
        let unmaps_all = around && self.is_mapped_ahead;
        if unmaps_all {
            self.note_mix();
            self.is_mapped_ahead = false;
        }
        self.restores_around = around || self.around & MIXES != 0;
        unmaps_all
    }

    /// Whether the restore that began writes pages back around the caches.
    #[inline]
    pub fn restores_around(&self) -> bool {
        self.restores_around
    }

    /// Whether a restore cleans the frames that it maps.
    #[inline]
    pub fn cleans_what_it_maps(&self) -> bool {
        self.is_deferred_behind || self.restores_around && self.is_ahead
    }

    /// Whether a page that a restore left is cleaned as its first access maps it:
    /// - What EL2 copied through the caches may be in frames that a vCPU reaches around them; unless those that are on are watched, so that all that is
    ///   mapped is cleaned before one of them does.
    /// - What the guest itself stored through the caches, it may have had cleaned since, by set and way.
    #[inline]
    pub fn cleans_what_is_accessed(&self) -> bool {
        let is_watched = self.around == 0 && self.is_mapped_ahead;
        self.is_deferred_behind || self.is_deferred_ahead && !is_watched
    }

    /// What a restore mapped is mapped.
    #[inline]
    pub fn end_remap(&mut self) {
        self.end_write_back();
        self.is_mapped_ahead |= self.is_ahead && !self.restores_around;
        self.is_deferred_ahead |= self.is_ahead && self.has_deferred;
    }

    /// What a restore wrote back through the caches is mapped, and a snapshot's after the next checkpoint.
    #[inline]
    pub fn end_write_back(&mut self) {
        let written = core::mem::take(&mut self.is_written_back);
        self.is_ahead |= written;
        self.is_mapped_ahead |= written;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// vCPU 0 goes through the caches, and a page was copied through them.
    fn copied() -> Coherence {
        let mut caches = Coherence::new();
        caches.note(0, false);
        caches.note_copy();
        caches
    }

    #[test]
    fn a_snapshots_copy_matters_once_it_is_mapped() {
        let mut caches = copied();
        assert!(!caches.is_mapped_ahead());
        assert!(!caches.begin_restore(false) && !caches.cleans_what_it_maps());
        caches.end_remap();
        assert!(caches.is_mapped_ahead());
        caches.note_cleaned();
        assert!(!caches.is_mapped_ahead());
    }

    #[test]
    fn a_restore_around_the_caches_cleans_what_it_maps() {
        let mut caches = copied();
        caches.begin_restore(true);
        assert!(caches.restores_around() && caches.cleans_what_it_maps());
        caches.end_remap();
        assert!(!caches.is_mapped_ahead());
    }

    #[test]
    fn behind_a_mix_all_goes_around_the_caches() {
        let mut caches = copied();
        caches.begin_restore(false);
        caches.end_remap();
        // Instead of cleaning all that is mapped, the restore unmaps it.
        assert!(caches.begin_restore(true));
        caches.note_all(0);
        assert!(!caches.others_go_through(0));
        assert!(!caches.begin_restore(false) && caches.restores_around());
    }

    #[test]
    fn what_is_written_back_is_mapped_already() {
        let mut caches = Coherence::new();
        caches.note(0, false);
        caches.begin_restore(false);
        caches.note_write_back();
        assert!(!caches.is_mapped_ahead());
        caches.end_write_back();
        assert!(caches.is_mapped_ahead());
    }

    #[test]
    fn what_was_left_for_later_is_cleaned_when_caches_are_switched_meanwhile() {
        let mut caches = copied();
        caches.begin_restore(false);
        caches.note_deferred();
        caches.end_remap();
        // Nobody goes around the caches, and who is about to is watched.
        assert!(!caches.cleans_what_is_accessed());
        caches.note_cleaning();
        caches.note_cleaned();
        assert!(caches.cleans_what_is_accessed());
    }

    #[test]
    fn others_are_all_but_one() {
        let mut caches = Coherence::new();
        assert!(caches.others_go_through(0) && !caches.others_go_through(1));
        caches.note(1, true);
        assert!(!caches.others_go_through(0));
        caches.note_watched(0b10);
        caches.forget_watched(1);
        assert!(!caches.is_watched(1));
    }
}
