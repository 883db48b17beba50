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

/// What EL2 does for a vCPU in pieces, and is in the midst of.
#[derive(Clone, Copy)]
pub struct Unfinished {
    /// The trap that is handled.
    pub begun: Option<Begun>,
    /// Before the vCPU goes on, all of the VM's memory is cleaned, as its caches are off and were found to be unwatched.
    pub is_rearming: bool,
    /// Before the vCPU goes on, the VM's image is loaded, as the VM was reset; or pages are written back, as it was restored.
    pub is_loading: bool,
    /// How far the VM's memory is cleaned: the first page that is not; 0 if that has not begun.
    pub cleaned: Page,
    /// How far the pages are counted that a snapshot keeps alone.
    pub count: Count,
}

impl Unfinished {
    /// It is in the midst of nothing.
    pub const NOTHING: Self = Self {
        begun: None,
        is_rearming: false,
        is_loading: false,
        cleaned: 0,
        count: Count::NOT_BEGUN,
    };

    /// The trap that has not happened yet never will: another VM set the vCPU's registers.
    pub fn forget_trap(&mut self) {
        *self = Self {
            is_rearming: self.is_rearming,
            is_loading: self.is_loading,
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
        self.begun.is_some() || self.is_rearming || self.is_loading
    }
}
