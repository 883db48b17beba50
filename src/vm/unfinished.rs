//! What EL2 does for a vCPU in pieces, and is in the midst of: what the vCPU remembers of it.

use crate::snapshot::{Count, Page};
use crate::trap::Esr;
use crate::trap::sysreg::SysRegAccess;

/// A trap that has not happened yet.
#[derive(Clone, Copy)]
pub enum Begun {
    /// `hvc` with this immediate; or `smc`, which is the same here.
    Hypercall(u16),
    /// An access to a system register.
    Register(SysRegAccess, Esr),
}

/// A trap is handled.
const BEGUN: u8 = 1 << 0;
/// Before the vCPU goes on, all of the VM's memory is cleaned, as its caches are off and were found to be unwatched.
const REARMING: u8 = 1 << 1;
/// Before the vCPU goes on, the VM's image is loaded, as the VM was reset; or pages are written back, as it was restored.
const LOADING: u8 = 1 << 2;

/// What EL2 does for a vCPU in pieces, and is in the midst of.
#[derive(Clone, Copy)]
pub struct Unfinished {
    /// What there is: [`BEGUN`], [`REARMING`] and [`LOADING`]. In one place, as each interrupt, and each time that the vCPU is run, asks whether there is
    /// any.
    what: u8,
    /// The trap that is handled.
    begun: Option<Begun>,
    /// How far the VM's memory is cleaned: the first page that is not; 0 if that has not begun.
    pub cleaned: Page,
    /// How far the pages are counted that a snapshot keeps alone.
    pub count: Count,
}

impl Unfinished {
    /// It is in the midst of nothing.
    pub const NOTHING: Self = Self {
        what: 0,
        begun: None,
        cleaned: 0,
        count: Count::NOT_BEGUN,
    };

    /// The trap that has not happened yet never will: another VM set the vCPU's registers.
    pub fn forget_trap(&mut self) {
        *self = Self {
            what: self.what & !BEGUN,
            ..Self::NOTHING
        };
    }

    /// Whether anything is remembered.
    #[inline]
    pub fn has_begun(&self) -> bool {
        self.is_some() || self.cleaned != 0
    }

    /// Whether there is something to go on with.
    #[inline]
    pub fn is_some(&self) -> bool {
        self.what != 0
    }

    fn set(&mut self, what: u8, is: bool) {
        self.what = self.what & !what | if is { what } else { 0 };
    }

    /// A trap has not happened yet.
    pub fn begin(&mut self, trap: Begun) {
        self.begun = Some(trap);
        self.set(BEGUN, true);
    }

    /// Takes out the trap that has not happened yet, if there is one.
    pub fn take_begun(&mut self) -> Option<Begun> {
        self.set(BEGUN, false);
        self.begun.take()
    }

    /// Whether all of the VM's memory is to be cleaned before the vCPU goes on.
    pub fn is_rearming(&self) -> bool {
        self.what & REARMING != 0
    }

    /// Sets that.
    pub fn set_rearming(&mut self, is_rearming: bool) {
        self.set(REARMING, is_rearming);
    }

    /// Whether the VM's image is to be loaded before the vCPU goes on.
    pub fn is_loading(&self) -> bool {
        self.what & LOADING != 0
    }

    /// Sets that.
    pub fn set_loading(&mut self, is_loading: bool) {
        self.set(LOADING, is_loading);
    }
}
