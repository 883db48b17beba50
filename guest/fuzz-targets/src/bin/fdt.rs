//! A parser with a bug, as it was published: `fdt` 0.1.5 panics on some device trees with NOPs, which are good trees.
//!
//! The input is the structure of a tree; header and strings are put around it. On trees that are not good it panics in many ways, which its users
//! may put up with: those are kept from it.

#![no_std]
#![no_main]

use core::hint::black_box;

/// Where a property's name is one of these. By the Devicetree Specification 0.4, chapter 5.
const STRINGS: &[u8] = b"#address-cells\0#size-cells\0compatible\0device_type\0reg\0status\0\0\0\0";
const HEADER: usize = 40;
/// No memory is reserved.
const RESERVED: usize = 16;
/// The longest structure.
const LONGEST: usize = 4096;

avisor_guest::fuzz_target!(|input: &[u8]| {
    if !is_good(input).unwrap_or(false) {
        return;
    }
    let mut memory = [0; HEADER + RESERVED + LONGEST + STRINGS.len()];
    let Some(tree) = around(input, &mut memory) else {
        return;
    };
    let tree = fdt::Fdt::new(tree).expect("it is a good tree");
    for node in tree.all_nodes() {
        black_box(node.name);
        for property in node.properties() {
            black_box((property.name, property.value));
        }
        for child in node.children() {
            black_box(child.name);
        }
    }
});

/// The tree with this structure. `None`: it is too long.
fn around<'a>(structure: &[u8], memory: &'a mut [u8]) -> Option<&'a [u8]> {
    let start = HEADER + RESERVED;
    let end = start + structure.len();
    let total = end + STRINGS.len();
    let fields = [
        0xd00d_feed,
        total,
        start,
        end,
        HEADER,
        17,
        16,
        0,
        STRINGS.len(),
        structure.len(),
    ];
    for (place, field) in memory.chunks_exact_mut(4).zip(fields) {
        place.copy_from_slice(&(field as u32).to_be_bytes());
    }
    memory.get_mut(start..end)?.copy_from_slice(structure);
    memory.get_mut(end..total)?.copy_from_slice(STRINGS);
    memory.get(..total)
}

/// No tree of a real machine is deeper.
const DEPTH: usize = 32;

/// Whether this is the structure of a tree. `None`: it ends too early.
fn is_good(structure: &[u8]) -> Option<bool> {
    let mut at = 0;
    let mut depth = 0;
    // Properties come before nodes.
    let mut may_have_properties = false;
    loop {
        let token = word(structure, at)?;
        at += 4;
        match token {
            1 if depth < DEPTH && (depth > 0 || at == 4) => {
                at += name(structure.get(at..)?)?.next_multiple_of(4);
                depth += 1;
                may_have_properties = true;
            }
            2 if depth > 0 => {
                depth -= 1;
                may_have_properties = false;
            }
            3 if may_have_properties => {
                let (bytes, offset) = (word(structure, at)?, word(structure, at + 4)?);
                name(STRINGS.get(offset..)?)?;
                structure.get(at + 8..at + 8 + bytes)?;
                at += 8 + bytes.next_multiple_of(4);
            }
            4 if !cfg!(feature = "mended") && depth > 0 => {}
            9 if depth == 0 && at > 4 => return Some(at == structure.len()),
            _ => return Some(false),
        }
    }
}

/// The word at an offset.
fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*word) as usize)
}

/// The bytes of the name that begins here, with its end, if its characters are such as names have.
fn name(bytes: &[u8]) -> Option<usize> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    let good = bytes[..end].iter().all(u8::is_ascii_graphic);
    good.then_some(end + 1)
}
