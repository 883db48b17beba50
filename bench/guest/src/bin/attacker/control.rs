//! What takes EL2's time, done to another VM, a large one, that this one controls.

use avisor_guest::control::{Stop, Target};
use avisor_guest::{Id, RAM_START, image_end};
use core::sync::atomic::{AtomicU64, Ordering};

use crate::{PAGE, done};

const TARGET: Target = Target(0);
/// The most bytes of a READ or a WRITE, on as many pages as they can lie on, and where the first ones are: no word there is one of this VM's.
const BYTES: usize = 1 << 16;
const FIRST: u64 = RAM_START as u64 + (16 << 20) + 9;
/// All of it is another place each time, up to this one.
const WRITTEN: u64 = FIRST + (32 << 20);
const READ: u64 = RAM_START as u64 + (512 << 20) - BYTES as u64;
/// SCTLR_EL1.C.
const CACHES: u64 = 1 << 2;

/// The snapshot that calls are about, and the next place.
static ID: AtomicU64 = AtomicU64::new(0);
static PLACE: AtomicU64 = AtomicU64::new(u64::MAX);

/// The attack of that name, when all is ready for it.
pub fn named(attack: &str) -> Option<fn()> {
    Some(match attack {
        "INFO of a target" => {
            all_twice();
            || {
                done(TARGET.info(id()));
            }
        }
        "DIFFERS of a target" => {
            all_once();
            run();
            || {
                done(TARGET.differs(Some(id()), None, 0));
            }
        }
        "CHECKPOINT of a target" => {
            all_once();
            || {
                dirty();
                snapshot();
            }
        }
        "RESTORE of a target" => {
            all_once();
            || {
                dirty();
                done(TARGET.restore(id()));
            }
        }
        "DELETE of a target" => {
            all_once();
            || {
                dirty();
                snapshot();
                done(TARGET.delete(id()));
            }
        }
        "WRITE to a target" => {
            run();
            write
        }
        "READ of a target" => {
            all_once();
            run();
            read
        }
        "SET_REGISTERS of a target" => {
            run();
            switch_caches
        }
        _ => return None,
    })
}

fn id() -> Id {
    Id(ID.load(Ordering::Relaxed))
}

fn run() {
    match TARGET.run(None) {
        Ok(Stop::Event { .. }) => {}
        other => panic!("{other:?}"),
    }
}

fn snapshot() {
    let Id(id) = done(TARGET.checkpoint());
    ID.store(id, Ordering::Relaxed);
}

/// It has a snapshot with all of its pages, and is about to store to the last quarter.
fn all_once() {
    run();
    snapshot();
}

/// And has stored to all of them since.
fn all_twice() {
    all_once();
    run();
    run();
}

/// The next place before `end`; `begins` says that all of them come anew.
fn place(end: u64, begins: impl FnOnce()) -> u64 {
    let mut place = PLACE.load(Ordering::Relaxed);
    if place >= end {
        begins();
        place = FIRST;
    }
    PLACE.store(place + BYTES as u64, Ordering::Relaxed);
    place
}

/// Stores to many of its pages: it would do that itself in a slice of its own.
fn dirty() {
    const TIMES: usize = 1024;
    for at in (FIRST..).step_by(BYTES).take(TIMES) {
        write_to(at);
    }
}

fn write() {
    let at = place(WRITTEN, snapshot);
    write_to(at);
}

fn write_to(at: u64) {
    // SAFETY: RAM, which nobody writes meanwhile.
    let from = unsafe { core::slice::from_raw_parts(RAM_START as *const u8, BYTES) };
    done(TARGET.write(at, from));
}

/// As they are now, and as they were.
fn read() {
    let to = image_end().next_multiple_of(PAGE) + 8;
    // SAFETY: RAM behind the image, which nothing else uses.
    let to = unsafe { core::slice::from_raw_parts_mut(to as *mut u8, BYTES) };
    let at = place(READ, || {});
    done(TARGET.read(None, at, to));
    done(TARGET.read(Some(id()), at, to));
}

pub fn read_word() {
    done(TARGET.read(None, RAM_START as u64, &mut [0; 8]));
}

/// Of which EL2 cleans the target's memory each time.
fn switch_caches() {
    let mut registers = done(TARGET.registers(None, 0));
    registers.sctlr ^= CACHES;
    done(TARGET.set_registers(0, &registers));
}
