//! What comes, by its number.
//!
//! | interrupt | what it means |
//! | --- | --- |
//! | SGI 0 to 7 | mail in a [`storm`](crate::storm) |
//! | SGI 8 to 15 | counted for [`apart`](crate::apart), by sender |
//! | 27, 30 | a tick |
//! | 33, 44 | counted for `apart` |
//! | 42 | mail to nobody in particular |

use avisor_guest::console;
use avisor_guest::exception::Frame;
use avisor_guest::gic;
use avisor_guest::smp;
use avisor_guest::timer::Timer;

use crate::apart::{self, COUNTED_SPI};
use crate::cpu::fail;
use crate::storm::{self, STORM_SPI};
use crate::ticks;

/// All interrupts of all CPUs.
pub fn handle(_frame: &mut Frame) {
    let acknowledged = gic::acknowledge();
    let cpu = smp::this_cpu();
    let sender = (acknowledged >> 10 & 7) as usize;
    match acknowledged & 0x3ff {
        sgi @ 0..8 => storm::mail_came(sender, cpu, sgi),
        sgi @ 8..16 => apart::sgi_came(sender, cpu, sgi),
        27 => ticks::came(Timer::Virtual, cpu),
        30 => ticks::came(Timer::Physical, cpu),
        console::INTID => {
            console::set_interrupts(0);
            apart::spi_came(cpu);
        }
        COUNTED_SPI => apart::spi_came(cpu),
        STORM_SPI => storm::shared_came(),
        // What another CPU took, or what ended by itself.
        gic::SPURIOUS => return,
        _ => fail(format_args!("interrupt {acknowledged:#x} is nobody's")),
    }
    gic::end(acknowledged);
}
