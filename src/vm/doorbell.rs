//! The doorbell of a window: what EL0 has in place of the call EVENT, as it cannot HVC.

use super::VmBackend;
use super::exit::{ExitAction, ExitContext};
use crate::addr::Ipa;
use crate::trap::Esr;
use crate::trap::access::Access;

impl<B: VmBackend> ExitContext<'_, B> {
    /// Whether `ipa` is in the doorbell of one of the VM's windows.
    pub(super) fn is_doorbell(&self, ipa: Ipa) -> bool {
        let page = Ipa(ipa.0 - ipa.page_offset());
        let windows = self.vm.config.windows;
        windows.iter().any(|window| window.doorbell() == page)
    }

    /// A load from a doorbell, which reads zero, or with `write` a store to it. Where in the page makes no difference. Only a store of 32 bits
    /// means anything.
    #[cold]
    pub(super) fn access_doorbell(mut self, access: Access, write: bool, esr: Esr) -> ExitAction {
        // First: when the VM runs again after an event, the store is done.
        self.step_over(esr);
        match (write, access.size) {
            (true, 4) => {
                let word = access.store_value(&self.vcpu.registers.x) as u32;
                self.doorbell(word)
            }
            (true, _) => ExitAction::Resume,
            (false, _) => {
                access.complete_load(&mut self.vcpu.registers.x, 0);
                ExitAction::Resume
            }
        }
    }

    /// EVENT(word, 0, 0) by the vCPU. The answer, where nobody controls its VM, is one that a store does not see.
    fn doorbell(mut self, word: u32) -> ExitAction {
        self.event([word.into(), 0, 0])
            .unwrap_or(ExitAction::Resume)
    }
}
