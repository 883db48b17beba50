//! SErrors: errors of accesses that were executed long ago.
//!
//! - The External abort of a store, or of a load that was not reported with it, becomes pending at any time until a DSB has completed the
//!   access (D1.3.5, "Asynchronous exception types"; B2, "Data Synchronization Barrier").
//! - With FEAT_RAS there are errors that only an error synchronization event makes pending; ESB is one. It defers a pending SError to DISR_EL1
//!   if PSTATE.A is set, and else it is taken (ESB's description and its operation).
//! - One that is pending while PSTATE.A is clear is taken at any time, and at the latest with a context synchronization event (D1.3.5).
//! - ISR_EL1 may be read before a DSB in front of the MRS has ended, but not before an ISB has (B2: a DSB does not hold up the reading of
//!   registers without side effects). What an ESB wrote to DISR_EL1 is read behind it without that (DISR_EL1's description).

use super::Domain;
use super::luck::Chance;
use std::vec::Vec;

/// What makes an error pending at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The end of an access.
    Access,
    /// An error synchronization event.
    Other,
}

/// An exception that EL2 takes from itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// The instruction's own.
    Synchronous,
    /// An SError.
    SError,
}

#[derive(Default)]
struct Core {
    /// PSTATE.DAIF, as MRS has it.
    daif: u64,
    /// Errors that nobody knows of.
    latent: Vec<Source>,
    /// ISR_EL1.A.
    pending: bool,
    /// The same at the last context synchronization event.
    was_pending: bool,
    /// DISR_EL1.
    deferred: u64,
    exception: Option<Exception>,
    /// SErrors that EL2 took where it expects none.
    own: usize,
}

/// Those of all cores.
pub struct Errors {
    cores: Vec<Core>,
    /// FEAT_RAS.
    pub ras: bool,
    /// Addresses where nothing answers.
    silent: Vec<u64>,
}

/// PSTATE.A in DAIF.
const MASKED: u64 = 1 << 8;
/// DISR_EL1.A, and a syndrome.
const DEFERRED: u64 = 1 << 31 | 0x11;

impl Errors {
    /// No errors.
    pub fn new(cores: usize) -> Self {
        Self {
            cores: (0..cores).map(|_| Core::default()).collect(),
            ras: true,
            silent: Vec::new(),
        }
    }

    /// An access, or what it read, was in error.
    pub fn leave(&mut self, core: usize, source: Source) {
        self.cores[core].latent.push(source);
    }

    /// Nothing answers at an address.
    pub fn silence(&mut self, at: u64) {
        self.silent.push(at);
    }

    /// Whether that is so.
    #[inline]
    pub fn is_silent(&self, at: u64) -> bool {
        self.silent.contains(&at)
    }

    /// A load from there: an External abort, of one kind or the other.
    pub fn answer_nothing(&mut self, core: usize, chance: &mut Chance) {
        match chance.pick(2) {
            0 => self.raise(core, Exception::Synchronous),
            _ => self.leave(core, Source::Access),
        }
    }

    /// A core takes an exception.
    pub fn raise(&mut self, core: usize, exception: Exception) {
        self.cores[core].exception = Some(exception);
    }

    /// Errors become pending.
    pub fn disturb(&mut self, chance: &mut Chance) {
        for core in &mut self.cores {
            if !core.latent.is_empty() && !chance.strikes(chance.luck.drift) {
                let latent = chance.pick(core.latent.len());
                core.latent.remove(latent);
                core.pending = true;
            }
        }
    }

    /// A DSB for all kinds of accesses.
    pub fn complete(&mut self, core: usize, domain: Domain) {
        if domain == Domain::System {
            self.cores[core].appear(Source::Access);
        }
    }

    /// ESB; without FEAT_RAS a NOP.
    pub fn esb(&mut self, core: usize) {
        if !self.ras {
            return;
        }
        let core = &mut self.cores[core];
        core.appear(Source::Other);
        if core.pending && core.daif & MASKED != 0 {
            core.pending = false;
            core.deferred = DEFERRED;
        }
        core.take();
    }

    /// A context synchronization event.
    pub fn synchronize(&mut self, core: usize) {
        let core = &mut self.cores[core];
        core.take();
        core.was_pending = core.pending;
    }

    /// PSTATE.DAIF.
    pub fn daif(&self, core: usize) -> u64 {
        self.cores[core].daif
    }

    /// Writes it: what is pending may be taken at once.
    pub fn set_daif(&mut self, core: usize, daif: u64, chance: &mut Chance) {
        let core = &mut self.cores[core];
        core.daif = daif;
        if !chance.strikes(chance.luck.half) {
            core.take();
        }
    }

    /// PSTATE.A is set, or clear.
    pub fn mask(&mut self, core: usize, masked: bool, chance: &mut Chance) {
        let daif = self.daif(core) & !MASKED;
        self.set_daif(core, daif | if masked { MASKED } else { 0 }, chance);
    }

    /// ISR_EL1.A.
    pub fn is_pending(&self, core: usize, chance: &mut Chance) -> bool {
        let core = &self.cores[core];
        match chance.strikes(chance.luck.half) {
            true => core.was_pending,
            false => core.pending,
        }
    }

    /// DISR_EL1.
    pub fn deferred(&mut self, core: usize) -> &mut u64 {
        &mut self.cores[core].deferred
    }

    /// The exception that was taken, if one was; DAIF is set by that.
    pub fn exception(&mut self, core: usize) -> Option<Exception> {
        let core = &mut self.cores[core];
        let exception = core.exception.take()?;
        core.daif = 0xf << 6;
        Some(exception)
    }

    /// The exception that was taken, if one was, had nobody who expected it.
    pub fn end_of_run(&mut self, core: usize) {
        if self.cores[core].exception.take().is_some() {
            self.cores[core].own += 1;
        }
    }

    /// SErrors that EL2 took where it expects none.
    pub fn own(&self, core: usize) -> usize {
        self.cores[core].own
    }

    /// Errors that may still come.
    pub fn left(&self, core: usize) -> usize {
        let core = &self.cores[core];
        core.latent.len() + usize::from(core.pending)
    }
}

impl Core {
    fn appear(&mut self, source: Source) {
        let before = self.latent.len();
        self.latent.retain(|latent| *latent != source);
        self.pending |= self.latent.len() < before;
    }

    fn take(&mut self) {
        if self.pending && self.daif & MASKED == 0 {
            self.pending = false;
            self.exception = Some(Exception::SError);
        }
    }
}
