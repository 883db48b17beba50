//! Files: their names, AFL++'s statistics, and a run that goes on.

use super::fake::{archive, run};
use crate::target::Ending;

fn first_byte_decides(input: &[u8], probe: &super::fake::Probe) -> Ending {
    let first = usize::from(input.first().copied().unwrap_or(0));
    probe.edge(first % 8);
    if first == 0x41 {
        return Ending::Crash { place: 1 };
    }
    Ending::Done
}

#[test]
fn they_are_where_afl_has_them() {
    let seeds = archive(&[
        ("seeds/a b", b"\x00"),
        ("seeds/c", b"\x01"),
        ("seeds/same", b"\x01"),
    ]);
    let (files, result) = run(
        "rounds=30000 epoch=1000 name=it",
        &seeds,
        first_byte_decides,
    );
    assert_eq!(result, Ok(()));
    let queue = files.of("queue");
    assert!(
        queue[0].0.starts_with("id:000000,time:0,execs:2,orig:a_b"),
        "{queue:?}"
    );
    assert!(queue[1].0.starts_with("id:000001,") && queue[1].0.ends_with(",orig:c"));
    assert!(queue[2].0.starts_with("id:000002,src:00000"), "{queue:?}");
    let stats = std::str::from_utf8(&files.files["fuzzer_stats"]).unwrap();
    let value = |key: &str| {
        let line = stats
            .lines()
            .find(|line| line.split(':').next().unwrap().trim() == key);
        line.and_then(|line| line.split_once(": "))
            .map(|(_, value)| value)
    };
    assert_eq!(value("start_time"), Some("1000"));
    assert_eq!(value("execs_done"), Some("30000"));
    assert_eq!(value("corpus_count"), Some(&*queue.len().to_string()));
    assert_eq!(value("saved_crashes"), Some("1"));
    assert_eq!(value("afl_banner"), Some("it"));
    // Few inputs, and many rounds: each had its turn again and again, and what was found was made of a seed.
    let number = |key: &str| value(key).unwrap().parse::<u64>().unwrap();
    assert_eq!((number("pending_total"), number("pending_favs")), (0, 0));
    assert!(number("cycles_done") > 0 && number("max_depth") > 0 && number("corpus_favored") > 0);
    assert_eq!(number("corpus_imported"), 0);
    let plot = std::str::from_utf8(&files.files["plot_data"]).unwrap();
    let columns = plot.lines().map(|line| line.split(',').count());
    assert!(
        columns.clone().count() >= 2 && columns.clone().all(|n| n == 13),
        "{plot}"
    );
}

#[test]
fn a_run_goes_on_where_the_last_was() {
    let (first, result) = run("rounds=30000", &[], first_byte_decides);
    assert_eq!(result, Ok(()));
    assert_eq!(first.of("crashes").len(), 1);
    let members: Vec<_> = first
        .files
        .iter()
        .map(|(path, bytes)| (&**path, &bytes[..]))
        .collect();
    let members: Vec<_> = members
        .into_iter()
        .filter(|(path, _)| path.contains('/'))
        .collect();
    let (second, result) = run("rounds=3000", &archive(&members), first_byte_decides);
    assert_eq!(result, Ok(()));
    assert_eq!(second.of("crashes"), [], "it is known");
    let names = |files: &super::fake::Files| {
        files
            .of("queue")
            .iter()
            .map(|(name, _)| name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&second), names(&first));
}

#[test]
fn it_ends_when_it_is_told_to() {
    // Each look at the clock is a microsecond.
    let mut rounds = 0;
    let (files, result) = run("seconds=1", &[], |_, probe| {
        probe.edge(1);
        rounds += 1;
        Ending::Done
    });
    assert_eq!(result, Ok(()));
    assert!((100_000..1_100_000).contains(&rounds), "{rounds}");
    assert!(files.shown.contains("fuzz: 1 s: "), "{}", files.shown);
}
