//! The second table: time, on this machine, beside what people would use instead.

use super::counted::Images;
use super::figures::{median, written};
use super::machine::{Machine, Time};
use super::savevm;
use std::path::Path;

/// Figures of which the median is taken.
const TIMES: usize = 21;
const RUNNING_TIMES: usize = 11;
const CONTENTS: [&str; 2] = ["zero", "random"];
const MICROSECOND: f64 = 1000.0;

/// Avisor beside QEMU's own snapshots and a full copy, with the same guest and the same contents of RAM.
pub fn side_by_side(images: &Images, scratch: &Path) -> Result<(), String> {
    let qemu = savevm::measure(&images.plain, scratch, &CONTENTS, TIMES)?;
    println!("time, 128 MiB guest, all in this machine's QEMU: microseconds, medians of {TIMES}");
    println!(
        "{:<8} {:<11} {:>12} {:>14} {:>10} {:>10}   Avisor with 100 pages is faster than",
        "RAM", "", "Avisor, 100", "Avisor, 10,000", "full copy", "QEMU's own"
    );
    println!(
        "{:<8} {:<11} {:>12} {:>14} {:>10} {:>10}   {:>9} {:>14}",
        "", "", "pages dirty", "pages dirty", "(LDP/STP)", "snapshot", "full copy", "QEMU's own"
    );
    for (contents, qemu) in CONTENTS.iter().zip(qemu) {
        let avisor = Machine::avisor(images.smallest(), 1024, Time::Wall)?
            .measure(&format!("wall-{contents} 128 {TIMES}"))?;
        let copy = avisor.median("full copy", None)?;
        for (name, command, qemu) in [
            ("checkpoint", "savevm", qemu.save),
            ("restore", "loadvm", qemu.load),
        ] {
            let few = avisor.median(name, Some(100))?;
            let many = avisor.median(name, Some(10_000))?;
            let qemu = median(qemu).ok_or_else(|| format!("no {command} was measured"))?;
            println!(
                "{:<8} {name:<11} {:>12} {:>14} {:>10} {:>10}   {:>7} x {:>12} x",
                contents,
                microseconds(few),
                microseconds(many),
                microseconds(copy),
                microseconds(qemu),
                written((copy / few).round()),
                written((qemu / few).round())
            );
        }
    }
    println!(
        "RAM zero: all but the program. RAM random: 112 of 128 MiB. QEMU's own: savevm and loadvm, to a qcow2 file, of the guest\n\
         on plain `-M virt`. A full copy of RAM is the least that a snapshot without sharing takes, either way.\n"
    );
    Ok(())
}

/// What a guest that runs on pays for the snapshots that are held.
pub fn running(images: &Images) -> Result<(), String> {
    let mut columns = Vec::new();
    for time in [Time::Counted, Time::Wall] {
        let times = if time == Time::Counted {
            1
        } else {
            RUNNING_TIMES
        };
        let part = format!("running 128 {times}");
        let plain = Machine::plain(&images.plain, time, &[])?.measure(&part)?;
        let avisor = Machine::avisor(images.smallest(), 1024, time)?.measure(&part)?;
        columns.push((time, plain, avisor));
    }
    println!("a guest that runs on, with so many snapshots held");
    println!(
        "{:<26} {:<13} {:>13} {:>12} {:>12} {:>12}   {:>17}",
        "", "", "plain QEMU", "Avisor, 0", "1", "100", "times plain QEMU"
    );
    for name in [
        "pointer chase",
        "memory loop, first pass",
        "memory loop, second pass",
    ] {
        for (time, plain, avisor) in &columns {
            let (unit, scale) = match time {
                Time::Counted => ("instructions", 1.0),
                Time::Wall => ("microseconds", MICROSECOND),
            };
            let plain = plain.median(name, Some(0))?;
            let held = [0, 1, 100].map(|held| avisor.median(name, Some(held)));
            let [none, one, many] = held;
            let held = [none?, one?, many?];
            let shown = |value: f64| written((value / scale).round());
            println!(
                "{name:<26} {unit:<13} {:>13} {:>12} {:>12} {:>12}   {}",
                shown(plain),
                shown(held[0]),
                shown(held[1]),
                shown(held[2]),
                held.map(|value| format!("{:>5.2}", value / plain))
                    .join(" ")
            );
        }
    }
    println!(
        "The chase reads 16 MiB, the loop changes 64 MiB; its first pass has the copies of all {} pages.\n",
        written(f64::from(64 << 20 >> 12))
    );
    Ok(())
}

fn microseconds(nanoseconds: f64) -> String {
    let value = nanoseconds / MICROSECOND;
    if value < 100.0 {
        format!("{value:.1}")
    } else {
        written(value.round())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_times_have_a_digit_more() {
        assert_eq!(microseconds(52_349.0), "52.3");
        assert_eq!(microseconds(1_999_600.0), "2,000");
    }
}
