//! What it finds, and that it does not find what is not there.

use super::fake::{Probe, archive, run, run_job};
use crate::exchange::Exchange;
use crate::target::Ending;

/// The bug of guest/fuzz-targets/src/bin/planted.rs.
fn planted(input: &[u8], probe: &Probe, is_mended: bool) -> Ending {
    probe.edge(0);
    if input.len() < 6 {
        return Ending::Done;
    }
    probe.edge(10);
    for (index, byte) in b"AVIS".iter().enumerate() {
        if input[index] != *byte {
            return Ending::Done;
        }
        probe.edge(1 + index);
    }
    let length = usize::from(u16::from_le_bytes([input[4], input[5]]));
    if length > input.len() - 6 && !is_mended {
        return Ending::Crash { place: 7 };
    }
    probe.edge(9);
    Ending::Done
}

#[test]
fn a_bug_behind_four_bytes_and_a_length() {
    for seed in 1..4 {
        let line = format!("seed={seed} rounds=200000 until_crash");
        let (files, result) = run(&line, &[], |input, probe| planted(input, probe, false));
        assert_eq!(result, Ok(()));
        let crashes = files.of("crashes");
        assert_eq!(crashes.len(), 1, "{}", files.shown);
        assert!(crashes[0].0.starts_with("id:000000,sig:06,src:"));
        assert!(crashes[0].1.starts_with(b"AVIS"));
    }
}

#[test]
fn a_job_goes_on_with_what_another_found() {
    let window: Vec<_> = (0..2048)
        .map(|_| std::sync::atomic::AtomicU64::new(0))
        .collect();
    let window = window.leak();
    let job = |number| Exchange::new(window, number, 2);
    let (first, result) = run_job("seed=1 rounds=200000", &[], job(0), |input, probe| {
        planted(input, probe, true)
    });
    assert_eq!(result, Ok(()));
    assert!(first.of("queue").len() >= 5);
    // So few rounds would never do.
    let (second, result) = run_job(
        "seed=9 rounds=2000 job=1 jobs=2",
        &[],
        job(1),
        |input, probe| planted(input, probe, true),
    );
    assert_eq!(result, Ok(()));
    let queue = second.of("queue");
    let given = queue.iter().filter(|(name, _)| name.contains(",sync:job,"));
    assert!(
        given.clone().any(|(_, bytes)| bytes.starts_with(b"AVIS")),
        "{queue:?}"
    );
    assert!(
        second.shown.contains("fuzz 1: 0 s: 2000 rounds, "),
        "{}",
        second.shown
    );
    assert!(
        second.shown.contains("all 2 jobs: 202000 rounds"),
        "{}",
        second.shown
    );
}

#[test]
fn nothing_where_the_bug_is_mended() {
    let (files, result) = run("rounds=200000", &[], |input, probe| {
        planted(input, probe, true)
    });
    assert_eq!(result, Ok(()));
    assert_eq!((files.of("crashes").len(), files.of("hangs").len()), (0, 0));
    let queue = files.of("queue");
    assert!(queue.len() >= 5, "{queue:?}");
    // Made as short as they can be.
    let whole = queue.iter().filter(|(_, bytes)| bytes.starts_with(b"AVIS"));
    assert!(
        whole.clone().any(|(_, bytes)| bytes.len() == 6),
        "{queue:?}"
    );
}

#[test]
fn a_number_that_no_chance_finds_is_fed_back() {
    let (files, result) = run("rounds=20000 until_crash", &[], |input, probe| {
        probe.edge(0);
        let word = |at: usize| {
            let bytes = input.get(at..at + 4)?;
            Some(u32::from_le_bytes(bytes.try_into().unwrap()))
        };
        match (word(0), word(4)) {
            (Some(first), Some(second)) => {
                probe.edge(2);
                if !probe.compares(3, 0xdead_10cc, first) {
                    return Ending::Done;
                }
                probe.edge(1);
                if probe.compares(200, 0x1234_5678, second) {
                    return Ending::Crash { place: 1 };
                }
            }
            _ => {}
        }
        Ending::Done
    });
    assert_eq!(result, Ok(()));
    let crashes = files.of("crashes");
    assert_eq!(crashes.len(), 1);
    assert!(
        crashes[0]
            .1
            .starts_with(&[0xcc, 0x10, 0xad, 0xde, 0x78, 0x56, 0x34, 0x12])
    );
}

#[test]
fn a_token_is_put_into_each_place() {
    let archive = archive(&[
        (
            "seeds/a",
            b"------------------------------------------------",
        ),
        ("dictionary", b"\"token that no chance makes\"\n"),
    ]);
    let (files, result) = run("rounds=1000 until_crash", &archive, |input, probe| {
        // As many edges as bytes, so that the seed is not made shorter.
        (0..input.len().min(48)).for_each(|edge| probe.edge(edge));
        match input
            .get(17..)
            .is_some_and(|rest| rest.starts_with(b"token that no chance makes"))
        {
            true => Ending::Crash { place: 1 },
            false => Ending::Done,
        }
    });
    assert_eq!(result, Ok(()));
    let crashes = files.of("crashes");
    assert!(
        crashes.len() == 1 && crashes[0].0.contains(",op:token,"),
        "{crashes:?}"
    );
}

#[test]
fn crashes_are_told_by_their_place_and_hangs_by_their_edges() {
    let (files, result) = run("rounds=20000", &[], |input, probe| {
        probe.edge(usize::from(input.first() == Some(&0)));
        match input.first() {
            Some(1..4) => Ending::Crash {
                place: input[0].into(),
            },
            Some(4..7) => Ending::Hang,
            Some(7) => Ending::Reset,
            Some(8) => Ending::Off,
            _ => Ending::Done,
        }
    });
    assert_eq!(result, Ok(()));
    let firsts = |folder: &str| {
        let mut firsts: Vec<_> = files.of(folder).iter().map(|(_, bytes)| bytes[0]).collect();
        firsts.sort();
        firsts
    };
    assert_eq!(firsts("crashes"), [1, 2, 3, 7, 8]);
    assert_eq!(firsts("hangs").len(), 1);
    // LibAFL goes on with none of them.
    assert!(firsts("queue").iter().all(|first| !(1..9).contains(first)));
}

#[test]
fn where_every_seed_crashes_it_says_so() {
    let (files, result) = run("rounds=10", &[], |_, _| Ending::Crash { place: 0 });
    let text = result.unwrap_err();
    assert!(
        text.contains("no seed lets the target come to its end"),
        "{text}"
    );
    assert_eq!(files.of("crashes").len(), 1);
}

#[test]
fn a_first_round_that_takes_long_is_no_hang() {
    let mut rounds = 0;
    let (files, result) = run("rounds=100", &[], |_, probe| {
        probe.edge(1);
        rounds += 1;
        match rounds {
            1 | 2 => Ending::Hang,
            _ => Ending::Done,
        }
    });
    assert_eq!(result, Ok(()));
    assert_eq!((files.of("queue").len(), files.of("hangs").len()), (1, 0));
    // One that always does is one.
    let (files, result) = run("rounds=100", &[], |_, _| Ending::Hang);
    assert!(result.is_err_and(|text| text.contains("LIMIT_MS")));
    assert_eq!(files.of("hangs").len(), 1);
}
