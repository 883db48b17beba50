//! Windows: memory that a program shares with other VMs, and that no snapshot takes back. The configuration of Avisor names them, and the device
//! tree says where they are.
//!
//! Memory with caches ([`mmu::enable`](crate::mmu::enable)) is what makes one VM see what another has stored.

use core::sync::atomic::AtomicU64;

use crate::memory::PAGE;
use crate::mmio;

/// What begins a device tree (Devicetree Specification 0.4, 5.2).
const MAGIC: u32 = 0xd00d_feed;
/// Tokens of the structure block (5.4.1).
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;

/// A window: memory, and behind it a page that is its doorbell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    memory: usize,
    bytes: usize,
}

impl Window {
    /// The window `name`, by the device tree at `tree`, the address that `main` was given. `None` if this VM has none of that name.
    pub fn find(tree: usize, name: &str) -> Option<Self> {
        let header = tree as *const u32;
        if header.is_null() {
            return None;
        }
        // SAFETY: a hypervisor or boot loader passed the address of a tree, whose second word is its size. Nobody changes the tree.
        let bytes = unsafe {
            if u32::from_be(header.read()) != MAGIC {
                return None;
            }
            let size = u32::from_be(header.add(1).read()) as usize;
            core::slice::from_raw_parts(header.cast::<u8>(), size)
        };
        find_in(&Tree(bytes), name)
    }

    /// Its memory, word by word. Whoever has the window may change it at any time.
    pub fn words(&self) -> &'static [AtomicU64] {
        // SAFETY: a window is memory of whole pages for as long as the VM is there, and nothing of it is the program's otherwise. Other VMs change it
        // by the rules for other CPUs.
        unsafe { core::slice::from_raw_parts(self.memory as *const AtomicU64, self.bytes / 8) }
    }

    /// The address of its memory.
    pub fn address(&self) -> usize {
        self.memory
    }

    /// Bytes of its memory.
    pub fn size(&self) -> usize {
        self.bytes
    }

    /// The address of its doorbell, a page.
    pub fn doorbell(&self) -> usize {
        self.memory + self.bytes
    }

    /// Rings the doorbell: EVENT(word, 0, 0), if a VM controls this one; else nothing.
    pub fn ring(&self, word: u32) {
        // SAFETY: a doorbell is for stores.
        unsafe { mmio::write32(self.doorbell(), word) }
    }
}

/// A device tree.
struct Tree<'a>(&'a [u8]);

impl<'a> Tree<'a> {
    fn word(&self, at: usize) -> Option<u32> {
        let bytes = self.0.get(at..at.checked_add(4)?)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }

    /// The string at `at`, without the NUL at its end.
    fn string(&self, at: usize) -> Option<&'a [u8]> {
        let rest = self.0.get(at..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        Some(&rest[..end])
    }
}

/// Goes through the structure block, with what is found of the node that it is in.
fn find_in(tree: &Tree<'_>, name: &str) -> Option<Window> {
    let strings = tree.word(12)? as usize;
    let mut at = tree.word(8)? as usize;
    let mut depth = 0;
    let (mut reserved, mut named) = (false, false);
    let (mut compatible, mut reg) = (false, None);
    loop {
        let token = tree.word(at)?;
        at += 4;
        match token {
            BEGIN_NODE => {
                let node = tree.string(at)?;
                at = (at + node.len() + 1).next_multiple_of(4);
                depth += 1;
                // The root is at depth 1.
                match depth {
                    2 => reserved = node == b"reserved-memory",
                    3 => {
                        let own = node.split(|byte| *byte == b'@').next();
                        named = reserved && own == Some(name.as_bytes());
                        (compatible, reg) = (false, None);
                    }
                    _ => {}
                }
            }
            END_NODE => {
                if depth == 3 && named && compatible && reg.is_some() {
                    return reg;
                }
                depth -= 1;
            }
            PROPERTY => {
                let (length, property) = (tree.word(at)? as usize, tree.word(at + 4)?);
                let value = at + 8;
                at = (value + length).next_multiple_of(4);
                if depth != 3 || !named {
                    continue;
                }
                match tree.string(strings + property as usize)? {
                    b"compatible" => compatible = tree.string(value)? == b"avisor,window",
                    b"reg" if length == 16 => reg = window(tree, value),
                    _ => {}
                }
            }
            NOP => {}
            _ => return None,
        }
    }
}

/// The window whose `reg` is at `at`: address and bytes, two cells each. The last page is the doorbell.
fn window(tree: &Tree<'_>, at: usize) -> Option<Window> {
    let number = |n: usize| {
        let [high, low] = [tree.word(at + n)?, tree.word(at + n + 4)?];
        Some((u64::from(high) << 32 | u64::from(low)) as usize)
    };
    let memory = number(0)?;
    let bytes = number(8)?.checked_sub(PAGE)?;
    Some(Window { memory, bytes })
}
