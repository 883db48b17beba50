//! The device tree: properties by the names of their nodes (Devicetree Specification, chapter 5).

use core::ffi::CStr;

/// The tree that the hypervisor passed.
#[derive(Clone, Copy)]
pub struct DeviceTree {
    structure: *const u32,
    strings: *const u8,
}

const MAGIC: u32 = 0xd00d_feed;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;

impl DeviceTree {
    /// The tree at `address`, if there is one: `main`'s argument.
    pub fn at(address: usize) -> Option<Self> {
        let header = address as *const u32;
        if header.is_null() || !header.is_aligned() || word(header) != MAGIC {
            return None;
        }
        let offset = |index: usize| word(header.wrapping_add(index)) as usize;
        Some(Self {
            structure: (address + offset(2)) as *const u32,
            strings: (address + offset(3)) as *const u8,
        })
    }

    /// The property `name` of the node that these names lead to, from the root on. A node's name may go on with an address, `@...`.
    pub fn property(self, node: &[&str], name: &str) -> Option<&'static [u8]> {
        let mut at = self.structure;
        // How deep `at` is, the root being 1, and how many of the nodes above are those that `node` wants.
        let (mut depth, mut found) = (0, 0);
        loop {
            let token = word(at);
            at = at.wrapping_add(1);
            match token {
                BEGIN_NODE => {
                    let full = text(at.cast());
                    at = at.wrapping_add((full.len() + 1).div_ceil(4));
                    depth += 1;
                    let wanted = depth >= 2 && found + 2 == depth;
                    if wanted && node.get(found).is_some_and(|name| is_named(full, name)) {
                        found += 1;
                    }
                }
                END_NODE => {
                    depth -= 1;
                    if found > 0 && found == depth {
                        found -= 1;
                    }
                }
                PROPERTY => {
                    let bytes = word(at) as usize;
                    let key = text(self.strings.wrapping_add(word(at.wrapping_add(1)) as usize));
                    let value = at.wrapping_add(2);
                    if found == node.len() && depth == found + 1 && key == name.as_bytes() {
                        // SAFETY: the tree is well-formed, see `at`, and nobody changes it.
                        return Some(unsafe { core::slice::from_raw_parts(value.cast(), bytes) });
                    }
                    at = value.wrapping_add(bytes.div_ceil(4));
                }
                NOP => {}
                _ => return None,
            }
        }
    }

    /// The kernel's command line: `cmdline` in the configuration. Empty without one.
    pub fn command_line(self) -> &'static str {
        let bytes = self.property(&["chosen"], "bootargs").unwrap_or_default();
        let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        core::str::from_utf8(text).unwrap_or_default()
    }

    /// Address and size of the initial RAM disk, if there is one.
    pub fn initrd(self) -> Option<(usize, usize)> {
        let end = |name| Some(number(self.property(&["chosen"], name)?));
        let (start, end) = (end("linux,initrd-start")?, end("linux,initrd-end")?);
        Some((start, end.checked_sub(start)?))
    }
}

/// A node's name is `name`, or that and an address.
fn is_named(full: &[u8], name: &str) -> bool {
    full.split(|&byte| byte == b'@').next() == Some(name.as_bytes())
}

/// A number of one or two cells.
fn number(cells: &[u8]) -> usize {
    cells
        .iter()
        .fold(0, |number, &byte| number << 8 | usize::from(byte))
}

/// A cell.
fn word(at: *const u32) -> u32 {
    // SAFETY: `at` is in a tree that the hypervisor passed, which is well-formed. Where there is no memory, the exception handler reports that.
    u32::from_be(unsafe { at.read_volatile() })
}

/// The text at `at`.
fn text(at: *const u8) -> &'static [u8] {
    // SAFETY: as in `word`: texts of a tree end with a zero.
    unsafe { CStr::from_ptr(at.cast()) }.to_bytes()
}
