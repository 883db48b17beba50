//! What is read: the command line, archives, dictionaries.

use super::fake::archive as made;
use crate::archive::{files, tokens};
use crate::options::Options;

#[test]
fn options_are_words() {
    assert_eq!(Options::parse(""), Ok(Options::default()));
    let options =
        Options::parse(" seed=7 limit_ms=20  seconds=3 until_crash folder=a/b screen").unwrap();
    assert_eq!(
        (options.seed, options.limit, options.seconds),
        (7, 20_000_000, 3)
    );
    assert!(options.until_crash && options.screen && !options.replay);
    assert_eq!(options.folder, "a/b");
    let wrong = [
        "seed",
        "seed=x",
        "limit_ms=0",
        "longest=0",
        "longest=65537",
        "replay=1",
        "what",
        "limit_ms=99999999999999",
    ];
    for word in wrong {
        assert_eq!(Options::parse(&format!("seed=1 {word}")), Err(word));
    }
}

#[test]
fn an_archive_has_files() {
    let archive = made(&[("a", b"12345"), ("b/c", b""), ("d", b"x")]);
    let read: Vec<_> = files(&archive).collect();
    assert_eq!(read, [("a", &b"12345"[..]), ("b/c", b""), ("d", b"x")]);
    // Cut off anywhere, it has fewer, and changed anywhere, others.
    for end in 0..archive.len() {
        assert!(files(&archive[..end]).count() <= 3);
        let mut changed = archive.clone();
        changed[end] = b'F';
        files(&changed).for_each(drop);
    }
    assert_eq!(files(b"no archive at all").count(), 0);
}

#[test]
fn a_dictionary_has_tokens() {
    let text = b"# words\n\nmagic=\"\\xd0\\x0D\\xfe\\xed\"\n  \"a\\\"b\\\\c\"  \n";
    assert_eq!(
        tokens(text),
        Ok(vec![vec![0xd0, 0x0d, 0xfe, 0xed], b"a\"b\\c".to_vec()])
    );
    for wrong in ["word", "\"", "\"\"", "\"\\q\"", "\"\\x1\"", "x=\"a"] {
        assert_eq!(
            tokens(format!("\"ok\"\n{wrong}").as_bytes()),
            Err(2),
            "{wrong}"
        );
    }
}
