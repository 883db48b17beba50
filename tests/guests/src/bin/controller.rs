//! Drives `controlled`: runs it, stops it, and takes it back, by the calls of a VM that controls another.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use avisor_guest::check::{Group, Outcome, equal, holds, run};
use avisor_guest::control::{State, Stop, Target};
use avisor_guest::timer::{Timer, frequency};
use avisor_guest::{Checkpoint, Error, Id, checkpoint, entry, gic, restore_with};

const TARGET: Target = Target(0);
const NOBODY: Target = Target(1);
/// 50 ms.
const LIMIT: Option<u64> = Some(50_000_000);

/// The target's own snapshot, at which it does what the restorer's value says.
static READY: AtomicU64 = AtomicU64::new(0);

entry!(main);

fn main(_device_tree: usize) -> ! {
    run(
        "controller",
        &[
            Group::of_snapshots("begins", begins),
            Group::of_snapshots("denied", denied),
            Group::of_snapshots("commands", commands),
            Group::of_snapshots("snapshots", snapshots),
            Group::of_snapshots("limit", limit),
            Group::of_snapshots("interrupted", interrupted),
            Group::of_snapshots("time", time),
            Group::of_snapshots("controller goes back", goes_back),
            Group::of_snapshots("memory", memory),
            Group::of_snapshots("alignments", alignments),
            Group::of_snapshots("registers", registers),
            Group::of_snapshots("reset", reset),
            Group::of_snapshots("off", off),
            Group::of_snapshots("many rounds", many_rounds),
        ],
        || (),
    )
}

/// Runs the target until it says `code`.
fn says(code: u64) -> Result<(u64, u64), avisor_guest::check::Failure> {
    match TARGET.run(None)? {
        Stop::Event { code: said, a, b } => equal("event", code, said).map(|()| (a, b)),
        stop => {
            avisor_guest::println!("controller: {stop:?}");
            Err(avisor_guest::check::Failure::Says("no event"))
        }
    }
}

/// Takes the target to where it does `command`.
fn command(command: u64) -> Outcome {
    let ready = Id(READY.load(Relaxed));
    equal("restored", ready.0, TARGET.restore_with(ready, command)?.0)
}

fn state_is(wanted: State) -> Outcome {
    holds(TARGET.status()?.state == wanted, "another state")
}

fn begins() -> Outcome {
    let status = TARGET.status()?;
    holds(status.state == State::Stopped, "it should wait")?;
    equal("vCPUs", 1, status.vcpus)?;
    equal("pages", 16 << 8, status.pages)?;
    equal("rounds", 7, says(100)?.0)?;
    READY.store(says(101)?.0, Relaxed);
    state_is(State::Stopped)
}

fn denied() -> Outcome {
    let denied = Err(Error::Denied);
    holds(NOBODY.status().err() == Some(Error::Denied), "status")?;
    holds(NOBODY.run(None) == Err(Error::Denied), "run")?;
    holds(NOBODY.stop() == denied, "stop")?;
    holds(NOBODY.checkpoint() == Err(Error::Denied), "checkpoint")?;
    holds(NOBODY.restore(Id::LATEST) == Err(Error::Denied), "restore")?;
    holds(NOBODY.delete(Id(0)) == denied, "delete")?;
    holds(NOBODY.info(Id(0)) == Err(Error::Denied), "info")?;
    holds(NOBODY.next(Id(0)) == Err(Error::Denied), "next")?;
    holds(NOBODY.stats() == Err(Error::Denied), "stats")
}

fn commands() -> Outcome {
    for _ in 0..3 {
        command(2)?;
        let (before, after) = says(102)?;
        equal("before", 7, before)?;
        equal("after", 8, after)?;
        equal("later", 8, says(2)?.0)?;
    }
    Ok(())
}

fn snapshots() -> Outcome {
    command(2)?;
    says(102)?;
    let eight = TARGET.checkpoint()?;
    equal(
        "parent",
        READY.load(Relaxed),
        TARGET.info(eight)?.parent.map_or(0, |id| id.0),
    )?;
    equal("next", eight.0, TARGET.next(Id(READY.load(Relaxed) + 1))?.0)?;
    let line = TARGET.line(None)?;
    let parent = Some(Id(READY.load(Relaxed)));
    holds(line[..2] == [Some(eight), parent], "what it comes from")?;
    holds(TARGET.line(Some(eight))? == line, "the same by its number")?;
    equal("snapshots", 2, TARGET.stats()?.snapshots)?;
    command(1)?;
    equal("seven", 7, says(1)?.0)?;
    equal("latest", eight.0, TARGET.restore(Id::LATEST)?.0)?;
    equal("eight", 8, says(2)?.0)?;
    TARGET.delete(eight)?;
    holds(
        TARGET.restore(eight) == Err(Error::NotFound),
        "it is deleted",
    )?;
    // One's own is no target's.
    holds(
        TARGET.restore(Id(u64::MAX - 1)) == Err(Error::NotFound),
        "nobody's",
    )
}

fn limit() -> Outcome {
    for number in [3, 6] {
        command(number)?;
        let start = Timer::Virtual.count();
        holds(TARGET.run(LIMIT)? == Stop::Limit, "it should take too long")?;
        let took = Timer::Virtual.count() - start;
        holds(took >= frequency() / 20, "too early")?;
        state_is(State::Stopped)?;
        // It goes on where it was.
        holds(TARGET.run(LIMIT)? == Stop::Limit, "it should go on")?;
    }
    Ok(())
}

fn interrupted() -> Outcome {
    gic::enable();
    gic::enable_cpu();
    gic::enable_interrupt(Timer::Virtual.intid());
    command(3)?;
    Timer::Virtual.start(Timer::Virtual.count() + frequency() / 100);
    holds(TARGET.run(None)? == Stop::Interrupted, "the timer is due")?;
    state_is(State::Running)?;
    Timer::Virtual.stop();
    let acknowledged = gic::acknowledge();
    equal(
        "interrupt",
        Timer::Virtual.intid().into(),
        acknowledged.into(),
    )?;
    gic::end(acknowledged);
    holds(TARGET.run(LIMIT)? == Stop::Limit, "it runs on")?;
    command(3)?;
    Timer::Virtual.start(Timer::Virtual.count());
    holds(TARGET.run(None)? == Stop::Interrupted, "it was due before")?;
    Timer::Virtual.stop();
    gic::end(gic::acknowledge());
    TARGET.stop()?;
    state_is(State::Stopped)?;
    command(2)?;
    says(102).map(drop)
}

/// A target's clock stands still while it does.
fn time() -> Outcome {
    command(7)?;
    let (first, _) = says(107)?;
    let start = Timer::Virtual.count();
    while Timer::Virtual.count() - start < frequency() / 5 {}
    let (second, _) = says(107)?;
    holds(second - first < frequency() / 10, "its clock went on")
}

/// A restore of the controller leaves its target as it is.
fn goes_back() -> Outcome {
    command(2)?;
    match checkpoint()? {
        Checkpoint::Taken(id) => {
            says(102)?;
            Err(restore_with(id, 1).into())
        }
        Checkpoint::Restored { .. } => equal("later", 8, says(2)?.0),
    }
}

/// Where the target's image begins, and RAM that it does not use.
const IMAGE: u64 = 0x4008_0000;
const FREE: u64 = 0x4060_0ffc;

fn memory() -> Outcome {
    command(2)?;
    let status = TARGET.status()?;
    let mut first = [0; 16];
    TARGET.read(None, IMAGE, &mut first)?;
    holds(first != [0; 16], "it has an image")?;
    // The block is there, and no longer all of one piece when a page of it is stored to.
    TARGET.write(FREE, &[0; 21])?;
    let before = TARGET.checkpoint()?;
    let text = *b"from one to the other";
    TARGET.write(FREE, &text)?;
    let mut back = [0xff; 21];
    TARGET.read(None, FREE, &mut back)?;
    holds(back == text, "not what was written")?;
    TARGET.read(Some(before), FREE, &mut back)?;
    holds(back == [0; 21], "a snapshot changed")?;
    let page = (FREE - 0x4000_0000) >> 12;
    equal("differs", page, TARGET.differs(Some(before), None, 0)?)?;
    equal(
        "the next",
        page + 1,
        TARGET.differs(Some(before), None, page + 1)?,
    )?;
    equal(
        "no more",
        status.pages,
        TARGET.differs(None, Some(before), page + 2)?,
    )?;
    let after = TARGET.checkpoint()?;
    equal(
        "of both",
        page,
        TARGET.differs(Some(before), Some(after), 0)?,
    )?;
    TARGET.restore(before)?;
    equal("none", status.pages, TARGET.differs(Some(before), None, 0)?)?;
    TARGET.read(Some(after), FREE, &mut back)?;
    holds(back == text, "another snapshot changed")?;
    let refused = Err(Error::InvalidParameter);
    holds(
        TARGET.read(None, 0x4100_0000 - 8, &mut back) == refused,
        "beyond its RAM",
    )?;
    holds(
        TARGET.write(0x4000_0000 - 8, &text) == refused,
        "before its RAM",
    )?;
    holds(
        TARGET.read(None, 0x0900_0000, &mut back) == refused,
        "a device",
    )?;
    TARGET.delete(before)?;
    Ok(TARGET.delete(after)?)
}

/// From anywhere to anywhere, also into the next page: these bytes, and no others.
fn alignments() -> Outcome {
    const BYTES: usize = 96;
    const AT: u64 = FREE - 36;
    command(2)?;
    let numbers: [u8; BYTES] = core::array::from_fn(|i| i as u8 + 1);
    for from in 0..9 {
        for to in 0..9 {
            for bytes in [0, 1, 2, 3, 7, 8, 13, 16, 31, 32, 33, 64, 79, 87] {
                TARGET.write(AT, &[0xff; BYTES])?;
                TARGET.write(AT + to as u64, &numbers[from..][..bytes])?;
                let mut all = [0; BYTES];
                TARGET.read(None, AT, &mut all)?;
                let mut expected = [0xff; BYTES];
                expected[to..][..bytes].copy_from_slice(&numbers[from..][..bytes]);
                holds(all == expected, "written")?;
                let mut back = [0xee; BYTES];
                TARGET.read(None, AT + to as u64, &mut back[from..][..bytes])?;
                let mut expected = [0xee; BYTES];
                expected[from..][..bytes].copy_from_slice(&numbers[from..][..bytes]);
                holds(back == expected, "read")?;
            }
        }
    }
    Ok(())
}

fn registers() -> Outcome {
    command(2)?;
    says(102)?;
    let snapshot = TARGET.checkpoint()?;
    let before = TARGET.registers(None, 0)?;
    equal("version", 1, before.version)?;
    equal("on", 1, before.state)?;
    equal("EVENT's result", 0, before.x[0])?;
    equal("its code", 102, before.x[1])?;
    holds(
        before == TARGET.registers(Some(snapshot), 0)?,
        "a snapshot's are others",
    )?;
    // Its event fails, as far as it sees, and it switches itself off.
    let mut changed = before;
    changed.x[0] = -9_i64 as u64;
    changed.q[7] = 7;
    TARGET.set_registers(0, &changed)?;
    holds(TARGET.registers(None, 0)? == changed, "not what was set")?;
    holds(TARGET.run(None)? == Stop::Off, "it should give up")?;
    equal("off", 0, TARGET.registers(None, 0)?.state)?;
    let (denied, refused) = (Err(Error::Denied), Err(Error::InvalidParameter));
    holds(TARGET.set_registers(0, &before) == denied, "it is off")?;
    TARGET.restore(snapshot)?;
    for (pstate, version) in [(0x3c9, 1), (0x3cd, 1), (0x3c5 | 1 << 40, 1), (0x3c5, 2)] {
        changed.pstate = pstate;
        changed.version = version;
        holds(
            TARGET.set_registers(0, &changed) == refused,
            "no guest has that",
        )?;
    }
    holds(
        TARGET.registers(None, 1) == Err(Error::InvalidParameter),
        "it has one CPU",
    )?;
    equal("it goes on", 8, says(2)?.0)?;
    Ok(TARGET.delete(snapshot)?)
}

fn reset() -> Outcome {
    command(4)?;
    holds(TARGET.run(None)? == Stop::Reset, "it should reset")?;
    state_is(State::Stopped)?;
    equal("from its image", 7, says(100)?.0)
}

fn off() -> Outcome {
    command(5)?;
    holds(TARGET.run(None)? == Stop::Off, "it should be off")?;
    state_is(State::Off)?;
    holds(TARGET.run(None)? == Stop::Off, "it still is")?;
    holds(
        TARGET.checkpoint() == Err(Error::Denied),
        "there is nothing to save",
    )?;
    command(2)?;
    state_is(State::Stopped)?;
    equal("before", 7, says(102)?.0)
}

fn many_rounds() -> Outcome {
    for _ in 0..10_000 {
        command(2)?;
        equal("after", 8, says(102)?.1)?;
    }
    Ok(())
}
