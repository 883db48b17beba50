//! What takes EL2's time, done to another VM, a large one, that this one controls.

use avisor_guest::control::{Stop, Target};
use avisor_guest::{Error, Id, RAM_START};
use core::sync::atomic::{AtomicU64, Ordering};

const TARGET: Target = Target(0);
/// The most bytes of a WRITE, on as many pages as they can lie on, and where: all of it is another place each time, up to this one.
const BYTES: usize = 1 << 16;
const FIRST: u64 = RAM_START as u64 + (16 << 20) + 8;
const END: u64 = FIRST + (32 << 20);

/// The snapshot that calls are about, and the next place.
static ID: AtomicU64 = AtomicU64::new(0);
static PLACE: AtomicU64 = AtomicU64::new(END);

/// The attack of that name, when all is ready for it.
pub fn named(attack: &str) -> Option<fn()> {
    Some(match attack {
        "INFO of a target" => {
            all_twice();
            || done(TARGET.info(id()))
        }
        "DIFFERS of a target" => {
            all_once();
            run();
            || done(TARGET.differs(Some(id()), None, 0))
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

/// An attack that is refused would measure nothing.
fn done<T>(result: Result<T, Error>) {
    if let Err(error) = result {
        panic!("{error}");
    }
}

fn snapshot() {
    match TARGET.checkpoint() {
        Ok(Id(id)) => ID.store(id, Ordering::Relaxed),
        Err(error) => panic!("{error}"),
    }
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

/// The next place; `begins` says that all of them are to be written anew.
fn place(begins: impl FnOnce()) -> u64 {
    let mut place = PLACE.load(Ordering::Relaxed);
    if place >= END {
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
    let at = place(snapshot);
    write_to(at);
}

fn write_to(at: u64) {
    // SAFETY: RAM, which nobody writes meanwhile.
    let from = unsafe { core::slice::from_raw_parts(RAM_START as *const u8, BYTES) };
    done(TARGET.write(at, from));
}
