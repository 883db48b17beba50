//! Every register that EL1 can read and write: a restore brings back what was in it.

use avisor_guest::{Shared, checkpoint_here, print, println, restore_latest, snapshot};

use crate::execute::{Answer, Level, execute};
use crate::instruction::{GROUP, MRS_GROUPS, mrs, print_mrs};

/// More than there are.
const MOST: usize = 512;

/// Left as they are, as the program needs them, or because they change by themselves: op0 - 2, op1, CRn, CRm, op2.
const SKIPPED: &[(u32, u32, u32, u32, u32)] = &[
    (1, 0, 1, 0, 0),  // SCTLR_EL1
    (1, 0, 4, 2, 0),  // SPSel
    (1, 0, 12, 0, 0), // VBAR_EL1
    (1, 3, 4, 2, 0),  // NZCV
    (1, 3, 4, 2, 1),  // DAIF
    (1, 3, 14, 2, 0), // CNTP_TVAL_EL0
    (1, 3, 14, 3, 0), // CNTV_TVAL_EL0
];

#[derive(Clone, Copy)]
struct Register {
    /// The instruction's number.
    number: u32,
    ours: u64,
    want: u64,
}

const NONE: Register = Register {
    number: 0,
    ours: 0,
    want: 0,
};

static REGISTERS: Shared<[Register; MOST]> = Shared::new([NONE; MOST]);

fn is_skipped(number: u32) -> bool {
    let encoding = (
        number >> 14,
        number >> 11 & 7,
        number >> 7 & 15,
        number >> 3 & 15,
        number & 7,
    );
    SKIPPED.contains(&encoding)
}

fn read(number: u32) -> Option<u64> {
    match execute(Level::El1, &[mrs(number, false); GROUP], &[0; GROUP])[0] {
        Answer::Value(value) => Some(value),
        _ => None,
    }
}

fn write(number: u32, value: u64) -> bool {
    let answers = execute(Level::El1, &[mrs(number, true); GROUP], &[value; GROUP]);
    matches!(answers[0], Answer::Value(_))
}

/// Registers that can be read and written, and keep something else than they have.
fn find(registers: &mut [Register; MOST]) -> usize {
    let mut count = 0;
    for group in 0..MRS_GROUPS {
        let numbers: [u32; GROUP] = core::array::from_fn(|n| group * GROUP as u32 + n as u32);
        let reads = numbers.map(|number| mrs(number, false));
        let answers = execute(Level::El1, &reads, &[0; GROUP]);
        for (number, answer) in numbers.into_iter().zip(answers) {
            let Answer::Value(ours) = answer else {
                continue;
            };
            if is_skipped(number) || !write(number, !ours) {
                continue;
            }
            let kept = read(number);
            write(number, ours);
            if kept.is_some_and(|kept| kept != ours) && count < MOST {
                registers[count] = Register {
                    number,
                    ours,
                    want: 0,
                };
                count += 1;
            }
        }
    }
    count
}

/// Fills all, and goes back in time.
pub fn check() {
    let mut registers = REGISTERS.get();
    let count = find(&mut registers);
    let registers = &mut registers[..count];
    let Ok(before) = snapshot::generation() else {
        println!("restored: the calls are refused");
        return;
    };
    for register in registers.iter() {
        write(register.number, !register.ours);
    }
    for register in registers.iter_mut() {
        register.want = read(register.number).unwrap_or(0);
    }
    checkpoint_here();
    let mut differ = 0;
    for register in registers.iter() {
        let got = read(register.number).unwrap_or(0);
        if got != register.want {
            differ += 1;
            print!("restored ");
            print_mrs(register.number / GROUP as u32);
            println!(
                "_{}: want {:#x}, got {got:#x}",
                register.number & 7,
                register.want
            );
        }
    }
    for register in registers.iter() {
        write(register.number, register.ours);
    }
    if snapshot::generation().is_ok_and(|now| now != before) {
        println!("restored: {count} registers, {differ} differ");
    } else if differ > 0 {
        println!("restored: {differ} registers changed by themselves");
    } else {
        restore_latest();
    }
}
