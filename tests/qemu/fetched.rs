//! Guests that others built, out of Debian's packages.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::image::ROOT;

/// Whether Linux and U-Boot are there, fetched if need be: a test without them is skipped, and says so. CI always has them.
pub fn are_there() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| {
        let fetched = run("tools/setup", &["linux", "u-boot"]);
        let Err(why) = fetched.and_then(|()| run("tools/linux", &[])) else {
            return true;
        };
        let in_ci = env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!in_ci, "Debian's packages cannot be fetched:\n{why}");
        // Past libtest, which shows nothing of a test that passes.
        let _ = writeln!(
            io::stderr(),
            "SKIPPED: the tests with Linux and U-Boot. Debian's packages cannot be fetched: run tools/setup linux u-boot"
        );
        false
    })
}

/// Whether the sources of libpng are there, as above.
pub fn has_sources_of_png() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| has("png", "the test with libpng"))
}

/// The folder with AFL++'s scripts, if they are there, as above.
pub fn afl() -> Option<PathBuf> {
    static THERE: OnceLock<bool> = OnceLock::new();
    let there = THERE.get_or_init(|| has("afl", "the test with AFL++'s scripts"));
    there.then(|| cached("afl"))
}

/// gdb for other machines than this one, if it is there, as above.
pub fn gdb() -> Option<&'static str> {
    static THERE: OnceLock<bool> = OnceLock::new();
    let there = THERE.get_or_init(|| has("gdb", "the tests with gdb"));
    there.then_some("gdb-multiarch")
}

/// drgn, if it is there, as above.
pub fn drgn() -> Option<PathBuf> {
    static THERE: OnceLock<bool> = OnceLock::new();
    let there = THERE.get_or_init(|| has("drgn", "the tests with drgn"));
    there.then(|| cached("drgn/bin/drgn"))
}

/// Whether what `tools/setup` calls `word` is there, fetched if need be.
fn has(word: &str, tests: &str) -> bool {
    let Err(why) = run("tools/setup", &[word]) else {
        return true;
    };
    let in_ci = env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!in_ci, "{word} cannot be fetched:\n{why}");
    let _ = writeln!(
        io::stderr(),
        "SKIPPED: {tests}. It cannot be fetched: run tools/setup {word}"
    );
    false
}

/// U-Boot for QEMU's `virt`: a raw binary.
pub fn u_boot() -> PathBuf {
    cached("u-boot-arm64.bin")
}

/// A file of the cache that `tools/setup` fills.
fn cached(name: &str) -> PathBuf {
    let path = |variable| {
        env::var_os(variable)
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    };
    let home = || path("HOME").map(|home| home.join(".cache"));
    let caches = || {
        path("XDG_CACHE_HOME")
            .or_else(home)
            .map(|caches| caches.join("avisor"))
    };
    let cache = path("AVISOR_CACHE").or_else(caches);
    cache.expect("there is a HOME").join(name)
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(ROOT).output();
    let output = output.expect("tools/ is there");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    output.status.success().then_some(()).ok_or(errors)
}
