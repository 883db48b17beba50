//! The end of a run: power-off, or failure.

use spin::Once;

use super::tree::Tree;
use crate::arch::firmware::{self, Conduit};
use crate::arch::memory::mmio::DeviceRegisters;

/// How this board's power goes off, and whether somebody listens for an exit code.
#[derive(Debug, Clone, Copy)]
pub struct Power {
    switch: Switch,
    semihosting: bool,
}

#[derive(Debug, Clone, Copy)]
enum Switch {
    Psci(Conduit),
    Bcm2835(DeviceRegisters),
    None,
}

static POWER: Once<Power> = Once::new();

/// In `/chosen/bootargs`: the run is watched through semihosting, which is no harmless thing to try.
const SEMIHOSTING: &str = "avisor.semihosting";

impl Power {
    /// What the tree names, for code at exception level `level`; `registers` makes a block accessible.
    pub fn find(
        tree: &Tree,
        level: u64,
        registers: impl Fn(u64, u64) -> Option<DeviceRegisters>,
    ) -> Self {
        let semihosting = tree
            .bootargs()
            .split_ascii_whitespace()
            .any(|word| word == SEMIHOSTING);
        let bcm2835 = || {
            tree.find_compatible("brcm,bcm2835-pm-wdt")
                .filter(|device| device.size >= BCM2835_SIZE)
                .and_then(|device| registers(device.base, device.size))
        };
        let switch = match (tree.psci_method(), level) {
            (Some("smc"), 1 | 2) => Switch::Psci(Conduit::Smc),
            // At EL2 an HVC would come back to us, at EL3 there is nobody above.
            (Some("hvc"), 1) => Switch::Psci(Conduit::Hvc),
            _ => bcm2835().map_or(Switch::None, Switch::Bcm2835),
        };
        Self {
            switch,
            semihosting,
        }
    }

    /// Makes this the board's power switch, for [`power_off`] and [`exit_failure`].
    pub fn install(self) {
        POWER.call_once(|| self);
    }

    fn off(self) -> ! {
        match self.switch {
            Switch::Psci(conduit) => firmware::psci_system_off(conduit),
            Switch::Bcm2835(registers) => bcm2835_off(registers),
            Switch::None => {}
        }
        firmware::halt()
    }

    /// Ends a run that failed: with an exit code if something takes one, else asleep, with the message on the screen.
    pub fn exit_failure(self) -> ! {
        if self.semihosting {
            firmware::semihosting_exit(1);
        }
        firmware::halt()
    }
}

/// Bytes of registers that [`bcm2835_off`] uses.
const BCM2835_SIZE: u64 = 0x28;

/// The power management block of BCM2835 to BCM2711 has no "off": a watchdog reset into partition 63 makes the boot ROM
/// halt. As Linux's bcm2835_wdt does it.
fn bcm2835_off(registers: DeviceRegisters) {
    const RSTC: u64 = 0x1c;
    const RSTS: u64 = 0x20;
    const WDOG: u64 = 0x24;
    const PASSWORD: u32 = 0x5a00_0000;
    const RSTS_HALT: u32 = 0x555;
    const WDOG_TICKS: u32 = 10;
    const RSTC_CONFIG: u32 = 0x30;
    const RSTC_FULL_RESET: u32 = 0x20;
    registers.write(RSTS, PASSWORD | registers.read(RSTS) | RSTS_HALT);
    registers.write(WDOG, PASSWORD | WDOG_TICKS);
    registers.write(
        RSTC,
        PASSWORD | registers.read(RSTC) & !RSTC_CONFIG | RSTC_FULL_RESET,
    );
}

/// The machine goes off; the run was a success.
pub fn power_off() -> ! {
    match POWER.get() {
        Some(power) => power.off(),
        None => firmware::halt(),
    }
}

/// Ends the run with a failing exit code if something takes one, else asleep.
pub fn exit_failure() -> ! {
    match POWER.get() {
        Some(power) => power.exit_failure(),
        None => firmware::halt(),
    }
}

/// Whether something takes an exit code. If not, the message on the console is all that is seen of a failure.
pub fn reports_failures() -> bool {
    POWER.get().is_some_and(|power| power.semihosting)
}
