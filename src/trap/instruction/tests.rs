//! The decoder against the assembler: [`FORMS`] is what GNU as and LLVM made of the text beside each word, and the text is read here.

use super::*;
use crate::vm_tests_random::Random;
use std::collections::HashSet;
use std::string::String;
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
        Some(place) => place_of(mnemonic, place, data.len(), data[0], x),
        None => {
            let distance = number(data.pop().unwrap().trim_start_matches('.').trim_start_matches('+'));
            Target { address: PC.wrapping_add(distance), write_back: None }
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
    let access = Access { size, reg, sign_extend, sixty_four: wide };
    let second = data.get(1).map(|name| register(name, x).0);
    (mnemonic.starts_with("st"), access, second, target)
}

/// Where the operand `place`, whose `[` is gone, leads.
fn place_of(mnemonic: &str, place: &str, registers: usize, first: &str, x: &GeneralRegisters) -> Target {
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
        "" => Target { address: value.wrapping_add(offset), write_back: None },
        "!" => {
            let sum = value.wrapping_add(offset);
            Target { address: sum, write_back: Some((base, sum)) }
        }
        step => Target { address: value, write_back: Some((base, value.wrapping_add(number(step)))) },
    }
}
