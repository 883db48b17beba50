//! The board's GICv2 (Arm IHI 0048B): interrupts for Avisor itself, and the virtual CPU interface for guests.
//!
//! EL2 never takes an interrupt. One that comes while a guest runs is a trap, one that comes while the core sleeps wakes it,
//! and both lead to [`Gic::acknowledge`]. The CPU interface has EOImode 1: writing EOIR drops the priority only, so that the virtual
//! timer's interrupt stays active, and quiet, until the guest itself deactivates it through its list register; all others are
//! deactivated at once with DIR. Their sources are levels: one that is still up then is pending again, and no longer so when its
//! cause has been handled. So causes are handled after [`Gic::acknowledge`], before the next one.
//!
//! Where EL2 is Non-secure and the GIC knows two worlds (Raspberry Pi), all registers here are the Non-secure copies, and the firmware
//! has put all interrupts into group 1. Where it knows one world (QEMU), all interrupts are put into group 0. What is written
//! here means the same in both.

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use spin::Once;

use crate::addr::{PAGE_SIZE, Pa};
use crate::arch::isa;
use crate::arch::memory::mmio::{Block, DeviceRegisters};
use crate::arch::{percpu::CORES_MAX, timer};
use crate::board::readback::Ignored;
use crate::board::tree::Tree;

mod gich;
mod missing;
mod readback;

pub use gich::LRS_MAX;
pub use missing::Missing;

/// What trees call it.
const COMPATIBLE: [&str; 2] = ["arm,cortex-a15-gic", "arm,gic-400"];

// Physical interrupts that Avisor has a use for. The numbers of the timers are the same on all boards (BSA, "PPI assignments").
/// Another core wants this one to look around: an SGI.
pub const KICK: u32 = 0;
/// The virtual CPU interface wants its list registers looked after.
pub const MAINTENANCE: u32 = 25;
/// EL2's physical timer.
pub const ALARM: u32 = 26;
/// The loaded vCPU's virtual timer.
pub const VIRTUAL_TIMER: u32 = 27;
const PRIVATE_ENABLED: u32 = 1 << KICK | 1 << MAINTENANCE | 1 << ALARM | 1 << VIRTUAL_TIMER;
/// GICD_IIDR of QEMU's GIC (10.0): see [`Gic::lacks_resampling`].
const QEMU: u32 = 0x43b;
/// IAR: no interrupt is there, or none that is ours (IHI 0048B, 3.2.5).
pub const FIRST_SPECIAL: u32 = 1020;
/// The one priority of all: a lower number wins among those that are pending.
const PRIORITIES: u32 = 0xa0a0_a0a0;

// Distributor (4.3).
const GICD_CTLR: u64 = 0x000;
const GICD_TYPER: u64 = 0x004;
const GICD_IIDR: u64 = 0x008;
const GICD_IGROUPR: u64 = 0x080;
const GICD_ISENABLER: u64 = 0x100;
const GICD_ICENABLER: u64 = 0x180;
const GICD_ICPENDR: u64 = 0x280;
const GICD_ISACTIVER: u64 = 0x300;
const GICD_ICACTIVER: u64 = 0x380;
const GICD_IPRIORITYR: u64 = 0x400;
const GICD_ITARGETSR: u64 = 0x800;
const GICD_ICFGR: u64 = 0xc00;
const GICD_SGIR: u64 = 0xf00;
const GICD_CPENDSGIR: u64 = 0xf10;

// CPU interface (4.4).
const GICC_CTLR: u64 = 0x0000;
const GICC_PMR: u64 = 0x0004;
const GICC_BPR: u64 = 0x0008;
const GICC_IAR: u64 = 0x000c;
const GICC_EOIR: u64 = 0x0010;
const GICC_APR: u64 = 0x00d0;
const GICC_DIR: u64 = 0x1000;
/// What comes in beside the GIC stays out (IRQBypDisGrp, FIQBypDisGrp): these bits have other places in the Non-secure copy, so all
/// places are written, which are reserved where they mean nothing.
const GICC_NO_BYPASS: u32 = 0xf << 5;
const GICC_ENABLE: u32 = 1 << 0;
const GICC_EOI_MODE: u32 = 1 << 9;

/// The interrupt controller. Private registers are those of the core that asks.
pub struct Gic {
    distributor: Block<0x1000>,
    interface: Block<0x2000>,
    control: Block<0x200>,
    gicv_base: Pa,
    list_registers: usize,
    /// The console's interrupt.
    console: u32,
    /// The second UART's interrupt; [`FIRST_SPECIAL`] before [`Gic::enable_second`].
    second: AtomicU32,
    lacks_resampling: bool,
    /// For each core, its CPU interface as a bit of a target list; 0 before [`Gic::init_core`].
    targets: [AtomicU8; CORES_MAX],
}

static GIC: Once<Gic> = Once::new();

/// Finds the GIC and switches it on, with no shared interrupt enabled but `console`, which goes to this core: the boot core. Other cores
/// switch it on by [`Gic::init_core`].
pub fn open(tree: &Tree, console: Option<u32>) -> Result<&'static Gic, Missing> {
    let mut found = COMPATIBLE
        .iter()
        .filter_map(|model| tree.find_compatible(model));
    let device = found.next().ok_or(Missing::Gic)?;
    let [distributor, interface, control, guest] =
        [0, 1, 2, 3].map(|index| device.registers(index));
    let distributor = distributor.and_then(|at| Block::map(at.base, at.size));
    let interface = interface.and_then(|at| Block::map(at.base, at.size));
    let (Some(distributor), Some(interface)) = (distributor, interface) else {
        return Err(Missing::Gic);
    };
    let control: Option<Block<0x200>> = control.and_then(|at| Block::map(at.base, at.size));
    // Stage 2 maps the first page, which must be whole.
    let guest = guest.filter(|at| at.base % PAGE_SIZE == 0 && at.size >= PAGE_SIZE);
    // A guest gets it: it must be registers, and no RAM. That is mapped by now, so that mapping it again is refused.
    let guest = guest.filter(|at| DeviceRegisters::map(at.base, PAGE_SIZE).is_some());
    let (Some(control), Some(guest)) = (control, guest) else {
        return Err(Missing::VirtualInterface);
    };
    let list_registers = gich::list_registers(control);
    let gic = GIC.call_once(|| Gic {
        distributor,
        interface,
        control,
        gicv_base: Pa(guest.base),
        list_registers,
        console: console.unwrap_or(FIRST_SPECIAL),
        second: AtomicU32::new(FIRST_SPECIAL),
        lacks_resampling: distributor.read(GICD_IIDR) == QEMU,
        targets: [const { AtomicU8::new(0) }; CORES_MAX],
    });
    gic.init_distributor(console).map_err(Missing::Ignored)?;
    gic.init_core(0).map_err(Missing::Ignored)?;
    Ok(gic)
}

/// The board's GIC, for a core that is started once it is open.
pub fn get() -> &'static Gic {
    GIC.get().expect("the boot core opened it")
}

/// Kicks core `core`, if there is an interrupt controller to do it with.
pub fn kick(core: usize) {
    if let Some(gic) = GIC.get() {
        gic.kick(core);
    }
}

impl Gic {
    fn init_distributor(&self, console: Option<u32>) -> Result<(), Ignored> {
        let gicd = self.distributor;
        gicd.write(GICD_CTLR, 0);
        // ITLinesNumber. Private interrupts, the first 32, are each core's own business.
        let words = u64::from(gicd.read(GICD_TYPER) & 0x1f) + 1;
        for word in 1..words {
            gicd.write(GICD_ICENABLER + 4 * word, !0);
            gicd.write(GICD_ICPENDR + 4 * word, !0);
            gicd.write(GICD_ICACTIVER + 4 * word, !0);
            gicd.write(GICD_IGROUPR + 4 * word, 0);
        }
        let console = console.filter(|id| (32..32 * words as u32).contains(id));
        if let Some(console) = console {
            self.enable(console, self.own_target());
        } else {
            log::warn!("the console has no interrupt: nothing that is typed comes in");
        }
        gicd.write(GICD_CTLR, 1);
        self.check_distributor(console)
    }

    /// Enables shared interrupt `id`, a level-sensitive one, for the core whose bit is in `target`.
    #[inline(never)]
    fn enable(&self, id: u32, target: u8) {
        let (gicd, id) = (self.distributor, u64::from(id));
        set_field(gicd, GICD_IPRIORITYR, id, 8, PRIORITIES & 0xff);
        set_field(gicd, GICD_ITARGETSR, id, 8, target.into());
        set_field(gicd, GICD_ICFGR, id, 2, 0);
        gicd.write(GICD_ISENABLER + id / 32 * 4, 1 << (id % 32));
    }

    /// Enables `id`, a shared interrupt, as the second UART's, for core `core`, which has been set up. If the console has the same, it stays with the boot
    /// core. No other core changes the distributor meanwhile. Returns whether there is such an interrupt.
    pub fn enable_second(&self, id: u32, core: usize) -> bool {
        let words = (self.distributor.read(GICD_TYPER) & 0x1f) + 1;
        if id != self.console {
            if !(32..32 * words).contains(&id) {
                return false;
            }
            self.second.store(id, Ordering::Release);
            self.enable(id, self.targets[core].load(Ordering::Acquire));
        }
        true
    }

    /// Sets up what the GIC has for this core, number `core`, and lets its interrupts in. Whatever the firmware had pending or active is gone.
    pub fn init_core(&self, core: usize) -> Result<(), Ignored> {
        let (gicd, gicc) = (self.distributor, self.interface);
        gicc.write(GICC_CTLR, GICC_NO_BYPASS);
        gicd.write(GICD_ICENABLER, !0);
        gicd.write(GICD_IGROUPR, 0);
        gicd.write(GICD_ICPENDR, !0);
        gicd.write(GICD_ICACTIVER, !0);
        for word in 0..4 {
            gicd.write(GICD_CPENDSGIR + 4 * word, !0);
            gicc.write(GICC_APR + 4 * word, 0);
        }
        for word in 0..8 {
            gicd.write(GICD_IPRIORITYR + 4 * word, PRIORITIES);
        }
        gicd.write(GICD_ISENABLER, PRIVATE_ENABLED);
        self.init_virtual_interface();
        gicc.write(GICC_PMR, 0xff);
        gicc.write(GICC_BPR, 0);
        gicc.write(GICC_CTLR, GICC_ENABLE | GICC_EOI_MODE | GICC_NO_BYPASS);
        self.targets[core].store(self.own_target(), Ordering::Release);
        self.check_core()
    }

    /// This core's bit in target lists: its CPU interface has a number of its own. The first registers show it for the interrupts
    /// that are there (4.3.12); all of them are zero if there is but one core.
    fn own_target(&self) -> u8 {
        let registers = (0..8).map(|word| self.distributor.read(GICD_ITARGETSR + 4 * word));
        let seen = registers.fold(0, |seen, word| seen | word).to_ne_bytes();
        match seen.iter().fold(0, |all, byte| all | byte) {
            0 => 1,
            target => target,
        }
    }

    /// Takes what interrupt there is for this core, on which no guest runs. Returns its INTID; [`FIRST_SPECIAL`] or more if there is none any
    /// more. All but the virtual timer's are inactive again then, and the alarm is off.
    #[inline]
    pub fn acknowledge(&self) -> u32 {
        // With the core that sent it, if it is an SGI: EOIR and DIR want that back.
        let value = self.interface.read(GICC_IAR);
        let id = value & 0x3ff;
        if id >= FIRST_SPECIAL {
            return id;
        }
        self.interface.write(GICC_EOIR, value);
        if id == VIRTUAL_TIMER {
            return id;
        }
        if id == ALARM {
            timer::set_alarm(None);
        }
        self.interface.write(GICC_DIR, value);
        if id == KICK {
            // What the sender stored before it kicked is loaded after this.
            isa::dmb_ishld();
        }
        id
    }

    /// The INTID of the console's interrupt; [`FIRST_SPECIAL`] if it has none.
    #[inline]
    pub fn console_intid(&self) -> u32 {
        self.console
    }

    /// The INTID of the second UART's interrupt; [`FIRST_SPECIAL`] if it has none of its own.
    #[inline]
    pub fn second_intid(&self) -> u32 {
        self.second.load(Ordering::Acquire)
    }

    /// Switches off interrupt `id`, which nobody here has a use for.
    #[cold]
    pub fn refuse(&self, id: u32) {
        let register = GICD_ICENABLER + u64::from(id / 32) * 4;
        self.distributor.write(register, 1 << (id % 32));
        log::warn!("interrupt {id} has no taker: it is off now");
    }

    /// Sends [`KICK`] to core `core`, which sees all that this core stored before. Nothing happens if that core is not on.
    #[inline]
    pub fn kick(&self, core: usize) {
        let target = self.targets[core].load(Ordering::Acquire);
        // What came before reaches the other core before the interrupt does, which is a store to a device: nothing else would order it behind
        // that. A release, as the tests of `vm` take a kick for one: loads are done, too.
        isa::dsb_ish();
        self.distributor
            .write(GICD_SGIR, u32::from(target) << 16 | KICK);
    }

    /// Whether a line that is still up when a guest deactivates its interrupt, through a list register that is linked to it, goes
    /// unnoticed until something else happens at the physical GIC. QEMU's has no look at its own interrupts then.
    #[inline]
    pub fn lacks_resampling(&self) -> bool {
        self.lacks_resampling
    }

    /// Makes the physical interrupt of the virtual timer active on this core, or not. An active one does not come in.
    #[inline]
    pub fn set_vtimer_irq_active(&self, active: bool) {
        let register = if active {
            GICD_ISACTIVER
        } else {
            GICD_ICACTIVER
        };
        self.distributor.write(register, 1 << VIRTUAL_TIMER);
        if active {
            // The write has arrived when this is read: the timer may be switched on now.
            self.distributor.read(register);
        }
    }

    /// Whether the physical interrupt of the virtual timer is active on this core.
    pub fn is_vtimer_irq_active(&self) -> bool {
        self.distributor.read(GICD_ISACTIVER) >> VIRTUAL_TIMER & 1 != 0
    }

    /// The first page of the virtual CPU interface, for stage 2: each core finds its own there.
    pub fn gicv_base(&self) -> Pa {
        self.gicv_base
    }
}

/// Writes one of the fields of `bits` bits that the registers from `first` on hold, one for each interrupt.
fn set_field(gicd: Block<0x1000>, first: u64, id: u64, bits: u64, value: u32) {
    let at = first + id * bits / 32 * 4;
    let shift = id * bits % 32;
    let mask = ((1 << bits) - 1) << shift;
    gicd.write(at, gicd.read(at) & !mask | value << shift);
}
