//! The reading of configurations and of guest images, which is part of the build script: its tests stand beside it.

#[allow(dead_code)]
#[path = "../build/config.rs"]
mod config;
#[allow(dead_code)]
#[path = "../build/image/mod.rs"]
mod image;
#[path = "../build/memory.rs"]
mod memory;
#[allow(dead_code)]
#[path = "../build/programs.rs"]
mod programs;

/// Each configuration in the repository is a good one, and names a program that there is; but for the one that is refused in a test.
#[test]
fn all_configs_are_good() {
    for folder in ["configs", "tests/configs", "bench/configs"] {
        let files = std::fs::read_dir(folder).expect(folder);
        let mut count = 0;
        for file in files {
            let path = file.expect("readable").path();
            if path.ends_with("tests/configs/bad.toml") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("readable");
            let config =
                config::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            for vm in &config.vms {
                if let config::Guest::Program(name) = &vm.guest {
                    let found = programs::Program::find(name);
                    assert_eq!(found.err(), None, "{}", path.display());
                }
            }
            count += 1;
        }
        assert!(count > 0, "{folder} has none");
    }
}

#[test]
fn every_program_has_a_name_of_its_own() {
    let mut names: Vec<_> = programs::PACKAGES
        .iter()
        .flat_map(|package| package.names())
        .collect();
    names.sort();
    assert!(!names.is_empty());
    let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(twice, None);
}

#[test]
fn an_unknown_program_is_answered_with_the_known_ones() {
    let error = programs::Program::find("helo")
        .err()
        .expect("there is none");
    let begin = "there is no \"helo\"; allowed: hello, overwritten, restore-loop, snapshots (guest/examples), core-writer (guest/core/src/bin), absent, ";
    assert!(error.starts_with(begin), "{error}");
    let end = ", driven, driver, metronome, victim (bench/guest/src/bin)";
    assert!(error.ends_with(end), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

/// Cargo.toml lists the tests one by one (`autotests = false`, see there): a forgotten one would never run.
#[test]
fn all_tests_are_listed() {
    let manifest = include_str!("../Cargo.toml");
    for file in
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).expect("tests/ is there")
    {
        let path = file.expect("readable").path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.file_stem().expect("a file").to_string_lossy();
            assert!(
                manifest.contains(&format!("[[test]]\nname = \"{name}\"\ntest = false\n")),
                "{name} is not in Cargo.toml"
            );
        }
    }
}
