//! The virtual interface control registers of a fake core, and its virtual timer's line.

use super::FakeCore;
use crate::device::gic::{CpuInterface, Gich, LRS_MAX, ListRegister};

impl Gich for FakeCore {
    fn empty_lrs(&mut self) -> u32 {
        let empty = |n: &usize| self.lists[*n].is_done();
        (0..LRS_MAX).filter(empty).fold(0, |bits, n| bits | 1 << n)
    }

    fn list_register(&mut self, n: usize) -> ListRegister {
        self.lists[n]
    }

    fn set_list_register(&mut self, n: usize, value: ListRegister) {
        self.lists[n] = value;
    }

    fn hcr(&mut self) -> u32 {
        self.control
    }

    fn set_hcr(&mut self, hcr: u32) {
        self.control = hcr;
    }

    fn vtimer_line(&mut self) -> bool {
        self.system.timer_line != 0
    }

    fn deactivate_vtimer(&mut self) {
        self.timer_active = false;
    }

    fn cpu_interface(&mut self) -> CpuInterface {
        self.interface.into()
    }
}
