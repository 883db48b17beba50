//! The console as the scheduler needs it.

use super::VmBackend;
use crate::console::Input;
use crate::monitor::VmControl;

/// The console at which the operator sits, the second UART, and the power switch. Only core 0 calls it, but for
/// [`serve_second`](Self::serve_second) and [`power_off`](Self::power_off).
pub trait ConsoleHost<B: VmBackend> {
    /// Takes what came in at the console, sends what waits there, and says who has to look.
    fn drain_uart(&self) -> Input;
    /// The physical count at which [`drain_uart`](Self::drain_uart) is to be called if no interrupt has come by then.
    fn poll_due(&self) -> u64;
    /// Carries out the command that the operator entered. Says which VM has something to read after that, if one has, and whether a further command waits.
    fn run_command(&self, control: &mut impl VmControl) -> Input;
    /// The number of the VM that has the keyboard.
    fn attached(&self) -> usize;
    /// Gives the keyboard to VM number `vm`.
    fn attach(&self, vm: usize);
    /// Sends and takes what there is to the board's second UART. Returns the number of the VM that has it, if that has something to read, or room for
    /// output again.
    fn serve_second(&self) -> Option<usize>;
    /// Ends the run, as all VMs are off.
    fn power_off(&self) -> !;
}
