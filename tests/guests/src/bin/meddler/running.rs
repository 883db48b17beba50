//! An interrupt that the meddler sends itself and does not take: as long as it is pending, RUN returns at once, and what is called next is about a
//! target that runs.

use avisor_guest::gic;

/// The SGI.
const SGI: u32 = 1;

/// Lets it through to the CPU, which takes no interrupts.
pub fn prepare() {
    gic::enable();
    gic::enable_cpu();
    gic::enable_interrupt(SGI);
}

/// Makes it pending, or takes it if it is.
pub fn set(is_pending: bool) {
    if is_pending {
        gic::send(gic::To::Myself, SGI);
        return;
    }
    let acknowledged = gic::acknowledge();
    if acknowledged != gic::SPURIOUS {
        gic::end(acknowledged);
    }
}
