//! The decoder against the assembler: [`FORMS`] is what GNU as and LLVM made of the text beside each word, and the text is read here.

use super::*;
use std::vec::Vec;

const FORMS: &str = include_str!("forms.txt");
const OTHERS: &str = include_str!("others.txt");

const PC: u64 = 0xffff_8000_1234_5678;
const SP: u64 = 0x4123_4560;

/// Registers that are all different, in both halves.
fn registers() -> GeneralRegisters {
    std::array::from_fn(|i| (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn lines(table: &str) -> impl Iterator<Item = (u32, &str)> {
    table.lines().map(|line| {
        let (word, text) = line.split_once(' ').expect("a word and its assembly");
        (u32::from_str_radix(word, 16).expect("it is in hex"), text)
    })
}

/// A register's number, its value, and whether it is an X register.
fn register(name: &str, x: &GeneralRegisters) -> (u8, u64, bool) {
    let wide = name == "sp" || name.starts_with('x');
    match name {
        "sp" => (31, SP, wide),
        "xzr" | "wzr" => (31, 0, wide),
        _ => {
            let number: u8 = name[1..].parse().expect("a number");
            (number, x[usize::from(number)], wide)
        }
    }
}

fn number(text: &str) -> u64 {
    let number: i64 = text.trim_start_matches('#').parse().expect("a number");
    number as u64
}

/// What the assembly says: store, access, second register, target.
fn meaning(text: &str, x: &GeneralRegisters) -> (bool, Access, Option<u8>, Target) {
    let (mnemonic, operands) = text.split_once(' ').unwrap();
    let (data, place) = match operands.split_once('[') {
        Some((data, place)) => (data, Some(place)),
        None => (operands, None),
    };
    let mut data: Vec<&str> = data.split([',', ' ']).filter(|s| !s.is_empty()).collect();
    let target = match place {
        Some(place) => place_of(place, x),
        None => {
            let distance = number(
                data.pop()
                    .unwrap()
                    .trim_start_matches('.')
                    .trim_start_matches('+'),
            );
            Target {
                address: PC.wrapping_add(distance),
                write_back: None,
            }
        }
    };
    let (reg, _, wide) = register(data[0], x);
    let size = match mnemonic.as_bytes() {
        [.., b's', b'w'] => 4,
        [.., b'b'] => 1,
        [.., b'h'] => 2,
        _ if wide => 8,
        _ => 4,
    };
    let sign_extend = ["sb", "sh", "sw"].iter().any(|end| mnemonic.ends_with(end));
    let access = Access {
        size,
        reg,
        sign_extend,
        sixty_four: wide,
    };
    let second = data.get(1).map(|name| register(name, x).0);
    (mnemonic.starts_with("st"), access, second, target)
}

/// Where the operand `place`, whose `[` is gone, leads.
fn place_of(place: &str, x: &GeneralRegisters) -> Target {
    let (inner, behind) = place.split_once(']').unwrap();
    let parts: Vec<&str> = inner.split(", ").collect();
    let (base, value, _) = register(parts[0], x);
    let offset = match parts.get(1) {
        None => 0,
        Some(text) if text.starts_with('#') => number(text),
        Some(name) => {
            let (_, index, _) = register(name, x);
            let extend: Vec<&str> = parts.get(2).map_or(Vec::new(), |e| e.split(' ').collect());
            let index = match extend.first() {
                Some(&"uxtw") => index & 0xffff_ffff,
                Some(&"sxtw") => index as i32 as u64,
                _ => index,
            };
            index << extend.get(1).map_or(0, |shift| number(shift))
        }
    };
    let behind = behind.trim_start_matches(", ");
    match behind {
        "" => Target {
            address: value.wrapping_add(offset),
            write_back: None,
        },
        "!" => {
            let sum = value.wrapping_add(offset);
            Target {
                address: sum,
                write_back: Some((base, sum)),
            }
        }
        step => Target {
            address: value,
            write_back: Some((base, value.wrapping_add(number(step)))),
        },
    }
}

#[test]
fn every_form_means_what_the_assembler_says() {
    let x = registers();
    for (word, text) in lines(FORMS) {
        let decoded = LoadStore::decode(word).unwrap_or_else(|| panic!("{word:08x} {text}"));
        let (store, access, second, target) = meaning(text, &x);
        // A store does not extend, and 8 bytes always fill their register.
        let sixty_four = if store {
            decoded.access.sixty_four
        } else {
            access.sixty_four
        };
        let access = Access {
            sixty_four,
            ..access
        };
        assert_eq!(decoded.store, store, "{text}");
        assert_eq!(decoded.access, access, "{text}");
        assert_eq!(decoded.second, second, "{text}");
        assert_eq!(decoded.target(&x, SP, PC), target, "{text}");
        let size = u64::from(access.size);
        assert_eq!(decoded.bytes(), size << second.is_some() as u32, "{text}");
        let parts: Vec<_> = decoded
            .accesses()
            .map(|(at, part)| (at, part.reg))
            .collect();
        let both = [(0, access.reg), (size, second.unwrap_or(0))];
        assert_eq!(parts, both[..parts.len()], "{text}");
        assert_eq!(parts.len(), 1 + second.is_some() as usize, "{text}");
    }
}

#[test]
fn nothing_else_is_decoded() {
    for (word, text) in lines(OTHERS) {
        assert_eq!(LoadStore::decode(word), None, "{word:08x} {text}");
    }
}

/// The encodings of C4.1.88, "Loads and stores", that access memory with general registers and nothing more: mask and value.
const ENCODINGS: [(u32, u32); 34] = [
    // LDR (literal), 32 and 64 bits; LDRSW.
    (0xbf00_0000, 0x1800_0000),
    (0xff00_0000, 0x9800_0000),
    // STNP, LDNP; STP, LDP with post-index, offset, pre-index.
    (0x7f80_0000, 0x2800_0000),
    (0x7f80_0000, 0x2880_0000),
    (0x7f80_0000, 0x2900_0000),
    (0x7f80_0000, 0x2980_0000),
    // LDPSW.
    (0xffc0_0000, 0x68c0_0000),
    (0xffc0_0000, 0x6940_0000),
    (0xffc0_0000, 0x69c0_0000),
    // One register, stores and loads with zeroes above: unscaled, post-index, unprivileged, pre-index; unsigned offset.
    (0x3fa0_0c00, 0x3800_0000),
    (0x3fa0_0c00, 0x3800_0400),
    (0x3fa0_0c00, 0x3800_0800),
    (0x3fa0_0c00, 0x3800_0c00),
    (0x3f80_0000, 0x3900_0000),
    // Register offset: bit 14 is set.
    (0x3fa0_4c00, 0x3820_4800),
    // The same with the sign above: LDRSB and LDRSH, to 64 and 32 bits.
    (0xbfa0_0c00, 0x3880_0000),
    (0xbfa0_0c00, 0x3880_0400),
    (0xbfa0_0c00, 0x3880_0800),
    (0xbfa0_0c00, 0x3880_0c00),
    (0xbf80_0000, 0x3980_0000),
    (0xbfa0_4c00, 0x38a0_4800),
    // LDRSW.
    (0xffe0_0c00, 0xb880_0000),
    (0xffe0_0c00, 0xb880_0400),
    (0xffe0_0c00, 0xb880_0800),
    (0xffe0_0c00, 0xb880_0c00),
    (0xffc0_0000, 0xb980_0000),
    (0xffe0_4c00, 0xb8a0_4800),
    // STLLR, STLR, LDLAR, LDAR; LDAPR.
    (0x3fbf_7c00, 0x089f_7c00),
    (0x3fff_fc00, 0x38bf_c000),
    // STLUR, LDAPUR; the signed ones; LDAPURSW.
    (0x3fa0_0c00, 0x1900_0000),
    (0xbfa0_0c00, 0x1980_0000),
    (0xffe0_0c00, 0x9980_0000),
    // STILP, LDIAPP; STLR and LDAPR with write-back.
    (0xbfa0_ec00, 0x9900_0800),
    (0xbfbf_fc00, 0x9980_0800),
];

#[test]
fn of_all_words_only_these_encodings_are_decoded() {
    // Rn and Rt are operands in each; all else is tried.
    for upper in 0..1 << 22 {
        let word = upper << 10 | 0x41;
        let is_one = ENCODINGS.iter().any(|(mask, value)| word & mask == *value);
        assert_eq!(LoadStore::decode(word).is_some(), is_one, "{word:08x}");
    }
}
