//! A guest that crashes: it resets its machine again and again. With `on_reset = "restore"` it comes back to its snapshot, until its
//! tries are used up and it starts from its image.

#![no_std]
#![no_main]

use avisor_guest::psci::{self, SYSTEM_RESET};
use avisor_guest::{Checkpoint, checkpoint, entry, power_off, println, snapshot};

entry!(main);

fn main(_device_tree: usize) -> ! {
    // Counts the restores, over resets too.
    let restores = snapshot::generation().unwrap_or_default();
    println!("crash: start, {restores} restores so far");
    if restores > 0 {
        power_off();
    }
    match checkpoint() {
        Ok(Checkpoint::Taken(id)) => println!("crash: snapshot {id}, and down"),
        Ok(Checkpoint::Restored { value, .. }) => {
            println!("crash: back with {value}, and down again")
        }
        Err(error) => println!("crash: no checkpoint: {error}"),
    }
    let error = psci::call(SYSTEM_RESET, [0; 3]);
    println!("crash: SYSTEM_RESET returned {error}");
    power_off()
}
