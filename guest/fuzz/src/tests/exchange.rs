//! Jobs that tell each other what they found.

use std::sync::atomic::AtomicU64;
use std::thread;

use crate::exchange::{Exchange, Sums};

fn window(words: usize) -> &'static [AtomicU64] {
    (0..words)
        .map(|_| AtomicU64::new(0))
        .collect::<Vec<_>>()
        .leak()
}

fn jobs(words: usize, count: usize) -> Vec<Exchange> {
    let window = window(words);
    (0..count)
        .map(|job| Exchange::new(window, job, count))
        .collect()
}

#[test]
fn each_takes_what_the_others_give_once() {
    let mut jobs = jobs(3 * 64, 3);
    for (job, text) in [(0, "a"), (1, "12345678"), (2, ""), (0, "123456789")] {
        jobs[job].give(text.as_bytes());
    }
    let taken = |job: &mut Exchange| -> Vec<_> {
        std::iter::from_fn(|| job.take())
            .map(|bytes| String::from_utf8(bytes).unwrap())
            .collect()
    };
    assert_eq!(taken(&mut jobs[0]), ["12345678", ""]);
    assert_eq!(taken(&mut jobs[1]), ["a", "123456789", ""]);
    assert_eq!(taken(&mut jobs[2]), ["a", "123456789", "12345678"]);
    assert_eq!(taken(&mut jobs[2]), [""; 0]);
    jobs[0].give(&[0; 1000]);
    assert_eq!(jobs[1].take(), None, "it has no room");
    assert_eq!(Exchange::alone().take(), None);
}

#[test]
fn figures_are_added_up_and_ends_are_told() {
    let jobs = jobs(2 * 16, 2);
    let sums = Sums {
        rounds: 5,
        saved: 1,
        crashes: 3,
        hangs: 2,
    };
    assert_eq!(jobs[0].publish(sums), sums);
    assert_eq!(jobs[1].publish(sums).rounds, 10);
    assert!(!jobs[0].ends() && !jobs[0].others_are_through());
    jobs[1].end_all();
    assert!(jobs[0].ends());
    jobs[1].end();
    assert!(!jobs[0].ends() && jobs[0].others_are_through());
    assert!(!jobs[1].others_are_through());
    assert!(Exchange::alone().others_are_through());
}

/// A writer that fills its region again and again, and a reader: nothing that it takes was never given.
#[test]
fn what_is_taken_was_given() {
    let mut jobs = jobs(2 * 40, 2);
    let (mut reader, mut writer) = (jobs.pop().unwrap(), jobs.pop().unwrap());
    let whole = |bytes: &[u8]| {
        bytes.iter().all(|byte| *byte == bytes[0]) && bytes.len() == usize::from(bytes[0])
    };
    let writes = thread::spawn(move || {
        for number in 0..200_000_u32 {
            let byte = (number % 90) as u8 + 1;
            writer.give(&vec![byte; byte.into()]);
        }
    });
    let mut taken = 0;
    while !writes.is_finished() || taken == 0 {
        if let Some(bytes) = reader.take() {
            assert!(whole(&bytes), "{bytes:?}");
            taken += 1;
        }
    }
    writes.join().unwrap();
}
