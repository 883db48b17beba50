//! The guest programs of this repository: in which package each is, and how cargo builds it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A package of guest programs.
pub struct Package {
    /// Its folder, from the repository's root.
    folder: &'static str,
    /// What cargo calls it.
    name: &'static str,
    /// Where its programs are, in the folder: each file and each folder there is one.
    programs: &'static str,
    /// What cargo calls one of them.
    flag: &'static str,
    /// Where cargo leaves them, below the profile's folder.
    built: &'static str,
}

/// All of them. No two packages have a program of the same name.
pub static PACKAGES: [Package; 4] = [
    Package {
        folder: "guest",
        name: "avisor-guest",
        programs: "examples",
        flag: "--example",
        built: "examples",
    },
    Package {
        folder: "guest/core",
        name: "avisor-core",
        programs: "src/bin",
        flag: "--bin",
        built: "",
    },
    Package {
        folder: "tests/guests",
        name: "avisor-test-guests",
        programs: "src/bin",
        flag: "--bin",
        built: "",
    },
    Package {
        folder: "bench/guest",
        name: "avisor-bench-guest",
        programs: "src/bin",
        flag: "--bin",
        built: "",
    },
];

/// A program that there is.
pub struct Program {
    name: String,
    package: &'static Package,
}

impl Program {
    /// The program `name`; an error lists those that there are.
    pub fn find(name: &str) -> Result<Self, String> {
        let has = |package: &&Package| package.names().iter().any(|other| other == name);
        match PACKAGES.iter().find(has) {
            Some(package) => Ok(Self {
                name: name.to_owned(),
                package,
            }),
            None => Err(format!("there is no {name:?}; allowed: {}", allowed())),
        }
    }

    /// The folders whose files it is made of, from the repository's root.
    pub fn sources(&self) -> [&'static str; 2] {
        // All of them stand on the library.
        ["guest", self.package.folder]
    }

    /// Has `cargo build` build it.
    pub fn ask(&self, cargo: &mut Command) {
        cargo.args(["-p", self.package.name, self.package.flag, &self.name]);
        // Set and empty: no flags, not even those of .cargo/config.toml. Guests are linked at a fixed address.
        cargo.env("CARGO_ENCODED_RUSTFLAGS", "");
    }

    /// The file that cargo leaves, below the folder of the profile.
    pub fn built(&self, profile: &Path) -> PathBuf {
        profile.join(self.package.built).join(&self.name)
    }
}

impl Package {
    /// The names of its programs, sorted.
    pub fn names(&self) -> Vec<String> {
        let folder = Path::new(self.folder).join(self.programs);
        let entries = folder.read_dir().into_iter().flatten().flatten();
        let mut names: Vec<_> = entries
            .filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned()))
            .collect();
        names.sort();
        names
    }
}

/// All names, and where they are.
fn allowed() -> String {
    let of = |package: &Package| {
        let names = package.names().join(", ");
        format!("{names} ({}/{})", package.folder, package.programs)
    };
    PACKAGES.iter().map(of).collect::<Vec<_>>().join(", ")
}
