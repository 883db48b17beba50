//! Whether a device tree is whole, before anybody walks it (Devicetree Specification 0.4, chapter 5). Walks it once, from end to end.

use core::fmt;
use core::ops::Range;

use crate::arch::device_tree::{MAGIC, TREE_MAX};

/// Nodes within nodes: real trees have six or so, and walking them takes stack.
const DEPTH_MAX: usize = 16;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// What is wrong with a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadTree {
    /// There is none, or its first word is wrong.
    Absent,
    /// Its header says what cannot be.
    Header,
    /// Its nodes and properties do not fit together, at this byte of it.
    Structure(usize),
}

impl fmt::Display for BadTree {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("there is no device tree"),
            Self::Header => f.write_str("the device tree has a broken header"),
            Self::Structure(at) => write!(f, "the device tree is broken at its byte {at:#x}"),
        }
    }
}

/// The big-endian word at `at`.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(word.try_into().ok()?))
}

/// Checks the tree that `bytes` begin with, and gives its size.
pub fn check(bytes: &[u8]) -> Result<usize, BadTree> {
    if word(bytes, 0) != Some(MAGIC) {
        return Err(BadTree::Absent);
    }
    let (size, structure, strings) = header(bytes).ok_or(BadTree::Header)?;
    nodes(&bytes[structure.clone()], &bytes[strings])
        .map_err(|at| BadTree::Structure(structure.start + at))?;
    Ok(size)
}

/// The size of the tree, and where its blocks are: inside it.
fn header(bytes: &[u8]) -> Option<(usize, Range<usize>, Range<usize>)> {
    let field = |number: usize| word(bytes, 4 * number).map(|value| value as usize);
    let size = field(1)?;
    if size > bytes.len() || size as u64 > TREE_MAX {
        return None;
    }
    let block = |start: usize, length: usize| {
        let end = start.checked_add(length)?;
        (start >= 40 && end <= size).then_some(start..end)
    };
    // Version 17 has the size of the structure block, and 16 is the oldest that it is compatible with.
    let (version, compatible) = (field(5)?, field(6)?);
    let structure = block(field(2)?, field(9)?)?;
    let reservations = field(4)?;
    let fits = structure.start.is_multiple_of(4)
        && reservations.is_multiple_of(8)
        && block(reservations, 16).is_some();
    (version >= 17 && compatible <= 17 && fits).then_some((
        size,
        structure,
        block(field(3)?, field(8)?)?,
    ))
}

/// Walks the structure block; fails with the place in it.
fn nodes(block: &[u8], strings: &[u8]) -> Result<(), usize> {
    let (mut at, mut depth, mut began) = (0, 0, false);
    loop {
        let token = word(block, at).ok_or(at)?;
        let body = at + 4;
        let end = match token {
            BEGIN_NODE if depth < DEPTH_MAX && (depth > 0 || !began) => {
                (depth, began) = (depth + 1, true);
                body + text(block, body).ok_or(at)?
            }
            END_NODE if depth > 0 => {
                depth -= 1;
                body
            }
            PROP if depth > 0 => {
                let length = word(block, body).ok_or(at)? as usize;
                let name = word(block, body + 4).ok_or(at)? as usize;
                text(strings, name).ok_or(at)?;
                (body + 8).checked_add(length).ok_or(at)?
            }
            NOP => body,
            END if depth == 0 && began => return Ok(()),
            _ => return Err(at),
        };
        at = end.checked_next_multiple_of(4).ok_or(at)?;
        if at > block.len() {
            return Err(body - 4);
        }
    }
}

/// Bytes of the string at `at`, with its NUL; it must be ASCII that can be shown.
fn text(block: &[u8], at: usize) -> Option<usize> {
    let rest = block.get(at..)?;
    let length = rest.iter().position(|byte| *byte == 0)?;
    let shown = rest[..length].iter().all(u8::is_ascii_graphic);
    shown.then_some(length + 1)
}
