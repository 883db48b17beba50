//! What fuzzers on other machines found, and how it gets here.

use super::fake::{Files, Probe, archive, run_with};
use crate::exchange::Exchange;
use crate::names::{Origin, input};
use crate::others::Others;
use crate::target::Ending;
use std::sync::atomic::AtomicU64;

/// The archive of these, which ends where another one would begin.
fn growing(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = archive(files);
    let end = "TRAILER!!!".len() + 1 + 110;
    archive.truncate(archive.len() - end.next_multiple_of(4));
    archive
}

fn named(by: &str, number: usize) -> Origin {
    Origin::Synced {
        by: by.into(),
        number,
    }
}

#[test]
fn an_archive_is_read_as_it_grows() {
    const SECOND: u64 = 1_000_000_000;
    let all = growing(&[
        ("a/id:000007", b"first"),
        ("b-1/id:000000", b""),
        ("c", b"odd"),
    ]);
    let first = growing(&[("a/id:000007", b"first")]).len();
    // Whatever of it is there so far, each is taken once.
    for part in 0..=all.len() {
        let mut files = Files::default();
        let mut others = Others::new("given");
        assert_eq!(others.take(&mut files, 0), None, "there is no file");
        files.files.insert("given".into(), all[..part].into());
        let mut taken = Vec::new();
        taken.extend(others.take(&mut files, SECOND));
        // Its padding is nothing to wait for.
        assert_eq!(taken.len(), usize::from(part >= first - 3), "{part}");
        while let Some(more) = others.take(&mut files, 3 * SECOND) {
            taken.push(more);
        }
        files.files.insert("given".into(), all.clone());
        while let Some(more) = others.take(&mut files, 4 * SECOND) {
            taken.push(more);
        }
        let wanted = [
            (named("a", 7), b"first".to_vec()),
            (named("b-1", 0), b"".to_vec()),
            (named("", 0), b"odd".to_vec()),
        ];
        assert_eq!(taken, wanted, "{part}");
    }
    // Nobody looks all the time.
    let mut files = Files::default();
    let mut others = Others::new("given");
    assert_eq!(others.take(&mut files, 5 * SECOND), None);
    files.files.insert("given".into(), all);
    assert_eq!(others.take(&mut files, 6 * SECOND - 1), None);
    assert!(others.take(&mut files, 6 * SECOND).is_some());
    assert_eq!(Others::new("").take(&mut files, 9 * SECOND), None);
}

#[test]
fn a_files_name_says_who_found_it() {
    assert_eq!(
        input(3, None, &named("b", 17), 1500, 200),
        "id:000003,sync:b,src:000017,time:1500,execs:200"
    );
}

/// By chance nobody gets there.
fn far(input: &[u8], probe: &Probe) -> Ending {
    probe.edge(usize::from(input.starts_with(b"\xa7\x15\xe3\x99")));
    Ending::Done
}

#[test]
fn it_is_kept_if_it_reaches_something_new_and_other_jobs_are_told() {
    let window = Vec::from_iter((0..512).map(|_| AtomicU64::new(0))).leak();
    let mut job = Exchange::new(window, 1, 2);
    let mut files = Files::default();
    let given = growing(&[
        ("b/id:000004,src:000001", b"\xa7\x15\xe3\x99!"),
        ("b/id:000005", b"nothing new"),
    ]);
    files.files.insert("given".into(), given);
    let own = Exchange::new(window, 0, 2);
    // What is there at the start comes first.
    let (files, result) = run_with(files, "rounds=10 given=given", &[], own, far);
    assert_eq!(result, Ok(()));
    let queue = files.of("queue");
    let (_, bytes) = queue
        .iter()
        .find(|(name, _)| name.contains(",sync:b,src:000004,"))
        .unwrap_or_else(|| panic!("{queue:?}"));
    assert!(bytes.starts_with(b"\xa7\x15\xe3\x99"), "{queue:?}");
    assert!(!queue.iter().any(|(name, _)| name.contains("src:000005,")));
    let told = std::iter::from_fn(|| job.take());
    assert!(
        told.into_iter()
            .any(|bytes| bytes.starts_with(b"\xa7\x15\xe3\x99"))
    );
    let stats = std::str::from_utf8(&files.files["fuzzer_stats"]).unwrap();
    assert!(stats.contains("corpus_imported   : 1\n"), "{stats}");
}
