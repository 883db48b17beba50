//! The instructions.

use super::{Inner, place};
use crate::machine::{self, Kind, Registers, Stop};

impl Inner {
    /// One instruction; what stops the machine.
    pub(super) fn execute(&mut self, vcpu: usize, is_step: bool) -> Option<Stop> {
        self.ticks += 1;
        if self.checkpoint_at == Some(self.ticks) {
            self.checkpoint();
        }
        let debug = |class: u64, far| {
            Some(Stop::Debug {
                vcpu,
                esr: class << 26 | 1 << 25,
                far,
            })
        };
        let pc = self.cpus[vcpu].pc;
        let breaks = |(&n, &(_, at, _)): (&usize, &(Kind, u64, u64))| n < 16 && at == pc;
        if !is_step && self.comparators.iter().any(breaks) {
            return debug(machine::BREAKPOINT, 0);
        }
        let from = place(pc).expect("the program stays where it is mapped");
        let word = u32::from_le_bytes(self.memory[from..from + 4].try_into().unwrap());
        let (d, n, m) = (
            word as usize & 31,
            word as usize >> 5 & 31,
            word as usize >> 16 & 31,
        );
        let x = |cpu: &Registers, n: usize| cpu.x.get(n).copied().unwrap_or(0);
        let imm12 = u64::from(word >> 10 & 0xfff);
        let imm19 = i64::from(word as i32) << 40 >> 45;
        let mut next = pc + 4;
        match word {
            0xd503_201f => {}
            // WFI
            0xd503_207f => {}
            // The counter.
            _ if word & 0xffff_ffe0 == 0xd53b_e040 => self.cpus[vcpu].x[d] = self.ticks,
            // ADD and SUB, immediate
            _ if word & 0xffc0_0000 == 0x9100_0000 => {
                self.cpus[vcpu].x[d] = x(&self.cpus[vcpu], n).wrapping_add(imm12)
            }
            _ if word & 0xffc0_0000 == 0xd100_0000 => {
                self.cpus[vcpu].x[d] = x(&self.cpus[vcpu], n).wrapping_sub(imm12)
            }
            _ if word & 0xfc00_0000 == 0x1400_0000 => {
                next = pc.wrapping_add_signed(i64::from(word as i32) << 38 >> 36)
            }
            // CBNZ, of x or w
            _ if word & 0x7f00_0000 == 0x3500_0000 => {
                if x(&self.cpus[vcpu], d) != 0 {
                    next = pc.wrapping_add_signed(imm19 * 4);
                }
            }
            // STR, LDR of x
            _ if word & 0xff80_0000 == 0xf900_0000 => {
                let is_store = word & 1 << 22 == 0;
                let va = x(&self.cpus[vcpu], n) + 8 * imm12;
                if self.watched(va, is_store) {
                    return debug(machine::WATCHPOINT, va);
                }
                let to = place(va).expect("mapped");
                if is_store {
                    let value = x(&self.cpus[vcpu], d);
                    self.write(to, &value.to_le_bytes());
                } else {
                    let value = self.memory[to..to + 8].try_into().unwrap();
                    self.cpus[vcpu].x[d] = u64::from_le_bytes(value);
                }
            }
            // LDXR, STXR
            _ if word & 0xffff_fc00 == 0xc85f_7c00 => {
                let va = x(&self.cpus[vcpu], n);
                let from = place(va).expect("mapped");
                let value = self.memory[from..from + 8].try_into().unwrap();
                self.cpus[vcpu].x[d] = u64::from_le_bytes(value);
                self.monitors[vcpu] = Some(va);
            }
            _ if word & 0xffe0_fc00 == 0xc800_7c00 => {
                let va = x(&self.cpus[vcpu], n);
                // The first store to a page after a checkpoint goes by way of EL2.
                let page = place(va).expect("mapped") / 4096;
                let is_first = core::mem::take(&mut self.clean[page]);
                let good = self.monitors[vcpu].take() == Some(va) && !is_first;
                if good && self.watched(va, true) {
                    return debug(machine::WATCHPOINT, va);
                }
                if good {
                    let value = x(&self.cpus[vcpu], d);
                    self.write(place(va).expect("mapped"), &value.to_le_bytes());
                    self.monitors.iter_mut().for_each(|monitor| *monitor = None);
                }
                self.cpus[vcpu].x[m] = u64::from(!good);
            }
            // BRK
            _ if word & 0xffe0_001f == 0xd420_0000 => {
                let immediate = (word >> 5) as u16;
                if self.brk == Some(immediate) {
                    return debug(machine::BRK, 0);
                }
                let cpu = &mut self.cpus[vcpu];
                crate::exception::enter(cpu, 0xf200_0000 | u64::from(immediate));
                next = cpu.pc;
            }
            // HVC: EVENT, SYSTEM_OFF, SYSTEM_RESET by x0
            0xd400_0002 => {
                self.cpus[vcpu].pc = next;
                return Some(self.call(vcpu));
            }
            _ => panic!("{word:#x} at {pc:#x} is beyond this machine"),
        }
        self.cpus[vcpu].pc = next;
        is_step.then(|| debug(machine::STEP, 0)).flatten()
    }
}
