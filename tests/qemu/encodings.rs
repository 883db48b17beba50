//! Which system registers a guest finds: every encoding, on Avisor and on QEMU without it, with the differences that there may be.

use std::collections::BTreeMap;

use crate::board::Board;
use crate::image;
use crate::run::plain_qemu;
use crate::transcript::Transcript;

/// What the program says of an encoding: `+` answered, `-` undefined, `t` an exception of another class; or the register's value.
type Answers = BTreeMap<String, String>;

/// Differences that are meant.
struct Difference {
    /// What lines begin with: the pass, and the group or the register.
    of: &'static [&'static str],
    /// QEMU's answer, and Avisor's.
    answers: (&'static str, &'static str),
    why: &'static str,
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        of: &[
            "el1 * S3_0_C9_C14_",
            "* S3_3_C9_C12_",
            "* S3_3_C9_C13_",
            "* S3_3_C9_C14_",
            "* S3_3_C14_C8_",
            "* S3_3_C14_C12_",
            "* S3_3_C14_C15_",
            "aarch32 * p15 0 c9 c12_",
            "aarch32 * p15 0 c9 c13_",
            "aarch32 * p15 0 c9 c14_",
            "aarch32 * p15 0 c14 c8_",
            "aarch32 * p15 0 c14 c12_",
            "aarch32 * p15 0 c14 c15_",
        ],
        answers: ("+", "-"),
        why: "there are no performance monitors: ID_AA64DFR0_EL1.PMUVer is 0",
    },
    Difference {
        of: &[
            "el1 * S3_0_C12_C0_1",
            "el1 * S3_0_C12_C0_2",
            "el1 write S3_3_C14_C0_0",
        ],
        answers: ("+", "-"),
        why: "RVBAR_EL1, RMR_EL1 and writes of CNTFRQ_EL0 belong to the highest exception level, which is EL2 here: they do not trap",
    },
    Difference {
        of: &[
            "el1 * S3_0_C11_",
            "el1 * S3_1_C11_",
            "el1 * S3_2_C11_",
            "el1 * S3_3_C11_",
            "el1 * S3_4_C11_",
            "el1 * S3_5_C11_",
            "el1 * S3_6_C11_",
            "el1 * S3_7_C11_",
            "el1 * S3_0_C15_",
            "el1 * S3_1_C15_",
            "el1 * S3_2_C15_",
            "el1 * S3_3_C15_",
            "el1 * S3_4_C15_",
            "el1 * S3_5_C15_",
            "el1 * S3_6_C15_",
            "el1 * S3_7_C15_",
        ],
        answers: ("-", "+"),
        why: "IMPLEMENTATION DEFINED registers all read as 0 and ignore writes: boot code sets those of its CPU blindly",
    },
    Difference {
        of: &[
            "el1 * S3_0_C1_C2_0",
            "el1 * S3_0_C1_C2_4",
            "el1 * S3_0_C1_C2_6",
            "* S3_3_C4_C2_2",
            "el1 * S3_3_C13_C0_5",
        ],
        answers: ("+", "-"),
        why: "no SVE and SME: ZCR_EL1, SMPRI_EL1, SMCR_EL1, SVCR, TPIDR2_EL0",
    },
    Difference {
        of: &["el1 * S3_0_C13_C0_7", "el1 * S3_3_C13_C0_7"],
        answers: ("+", "-"),
        why: "ID_AA64PFR0_EL1.CSV2 is at most 1: no SCXTNUM_EL0 and SCXTNUM_EL1",
    },
    Difference {
        of: &["el0 * S3_3_C13_C0_7"],
        answers: ("+", "t"),
        why: "SCXTNUM_EL0: SCTLR_EL1.TSCXT is RES1 without FEAT_CSV2_2, as ID_AA64PFR0_EL1 says",
    },
    Difference {
        of: &["el1 read S3_0_C5_C3_0"],
        answers: ("+", "-"),
        why: "no RAS: ERRIDR_EL1",
    },
    Difference {
        of: &["el1 * S3_0_C10_C4_"],
        answers: ("+", "-"),
        why: "no limited ordering regions: ID_AA64MMFR1_EL1.LO is 0",
    },
    Difference {
        of: &["* read S3_3_C14_C0_5", "aarch32 mrrc p15 c14 8_0"],
        answers: ("+", "-"),
        why: "CNTPCTSS: ID_AA64MMFR0_EL1.ECV is 0",
    },
    Difference {
        of: &["aarch32 * p14 3 c0 c5_0"],
        answers: ("+", "-"),
        why: "no register of the architecture: QEMU takes DBGDTRTX_EL0's AArch64 encoding for one",
    },
];

/// `pattern` is the beginning of `line`; a `*` stands for a word or more.
fn begins(line: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => line.starts_with(pattern),
        Some((before, after)) => line
            .strip_prefix(before)
            .is_some_and(|rest| rest.match_indices(after).next().is_some()),
    }
}

fn answers(run: &Transcript) -> Answers {
    run.powers_off();
    let mut answers = Answers::new();
    let lines: Vec<&str> = run.guest_lines().collect();
    run.require(
        lines.contains(&"encodings: done"),
        "it should get to its end",
    );
    for line in lines {
        let Some((name, answer)) = line.split_once(": ") else {
            continue;
        };
        if name.starts_with("value ") {
            answers.insert(name.to_owned(), answer.to_owned());
        } else if name.starts_with("el") || name.starts_with("aarch32 ") {
            for (n, answer) in answer.chars().enumerate() {
                answers.insert(format!("{name}_{n}"), answer.to_string());
            }
        }
    }
    run.require(answers.len() > 1000, "there should be more encodings");
    answers
}

/// Differences, and which rows of the table they use.
fn compare(run: &Transcript, plain: &Answers, here: &Answers, used: &mut [bool]) {
    let undefined = "-".to_owned();
    let names = plain.keys().chain(here.keys());
    for name in names {
        let [plain, here] = [plain, here].map(|answers| answers.get(name).unwrap_or(&undefined));
        if plain == here {
            continue;
        }
        let row = DIFFERENCES.iter().position(|row| {
            row.answers == (plain, here) && row.of.iter().any(|pattern| begins(name, pattern))
        });
        match row {
            Some(row) => used[row] = true,
            None => run.require(false, &format!("{name}: QEMU alone {plain}, here {here}")),
        }
    }
}

/// Every register that a guest may write is a row of the table that says what becomes of it.
fn held_against_the_table(run: &Transcript, here: &Answers) {
    for (name, answer) in here {
        let Some(register) = name.strip_prefix("el1 write ") else {
            continue;
        };
        if answer == "+" {
            let known = avisor::trap::registers::is_known(register);
            run.require(
                known,
                &format!("{register} can be written, and is not in the table"),
            );
        }
    }
}

#[test]
fn as_on_qemu_alone() {
    let program = image::guest_program("encodings");
    let image = image::with_guest(&program);
    let mut used = [false; DIFFERENCES.len()];
    for cpu in ["cortex-a72", "max"] {
        let plain = plain_qemu()
            .arguments(&format!("-M virt -m 256 -cpu {cpu} -kernel"))
            .argument(&program)
            .limit(600)
            .until_it_ends();
        let run = Board::Virt
            .boots(image.clone())
            .set("QEMU_ARGS", &format!("-cpu {cpu}"))
            .limit(600)
            .until_it_ends();
        let here = answers(&run);
        compare(&run, &answers(&plain), &here, &mut used);
        held_against_the_table(&run, &here);
        let restored = run
            .guest_lines()
            .find_map(|line| {
                line.strip_prefix("restored: ")?
                    .strip_suffix(" registers, 0 differ")
            })
            .and_then(|count| count.parse::<u32>().ok());
        run.require(
            restored.is_some_and(|count| count >= 40),
            "a restore should bring all back",
        );
    }
    for (row, used) in DIFFERENCES.iter().zip(used) {
        assert!(used, "nothing differs any more: {}", row.why);
    }
}
