//! Which UARTs are found in which trees, and the drivers on registers that are made up.

use super::*;
use std::boxed::Box;
use std::cell::RefCell;
use std::vec::Vec;
use vm_fdt::{FdtWriter, FdtWriterResult};

/// A UART that is made up.
pub trait Model {
    fn read(&mut self, offset: u64) -> u32;
    fn write(&mut self, offset: u64, value: u32);
}

/// Its registers.
#[derive(Clone, Copy)]
pub struct Fake {
    base: u64,
    size: u64,
    pub model: &'static RefCell<dyn Model>,
}

impl Fake {
    pub fn new(base: u64, size: u64, model: &'static RefCell<dyn Model>) -> Self {
        Self { base, size, model }
    }
}

/// It lives as long as the tests: drivers are copied about.
pub fn keep<M: Model>(model: M) -> &'static RefCell<M> {
    Box::leak(Box::new(RefCell::new(model)))
}

impl Registers for Fake {
    fn base(self) -> u64 {
        self.base
    }

    fn size(self) -> u64 {
        self.size
    }

    fn read(self, offset: u64) -> u32 {
        assert!(offset + 4 <= self.size, "{offset:#x}");
        self.model.borrow_mut().read(offset)
    }

    fn write(self, offset: u64, value: u32) {
        assert!(offset + 4 <= self.size, "{offset:#x}");
        self.model.borrow_mut().write(offset, value);
    }
}

/// Registers of which only the identification reads as something.
struct Identified;

impl Model for Identified {
    fn read(&mut self, offset: u64) -> u32 {
        let identification = [0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1];
        let at = offset.checked_sub(0xfe0).map(|at| at as usize / 4);
        at.map_or(0, |at| identification[at])
    }

    fn write(&mut self, _: u64, _: u32) {}
}

/// A serial port in a tree.
#[derive(Clone, Copy)]
struct Port {
    address: u32,
    model: &'static str,
    status: &'static str,
    /// Its interrupt, if it is not 0: a shared one.
    interrupt: u32,
    connected: bool,
}

const PORT: Port = Port {
    address: 0,
    model: "arm,pl011",
    status: "okay",
    interrupt: 1,
    connected: false,
};

/// A tree with these serial ports, and aliases for some.
fn tree(aliases: &[(&str, u32)], ports: &[Port]) -> Vec<u8> {
    let write = || -> FdtWriterResult<Vec<u8>> {
        let mut tree = FdtWriter::new()?;
        let root = tree.begin_node("")?;
        tree.property_u32("#address-cells", 1)?;
        tree.property_u32("#size-cells", 1)?;
        let node = tree.begin_node("aliases")?;
        for (alias, address) in aliases {
            tree.property_string(alias, &std::format!("/serial@{address:x}"))?;
        }
        tree.end_node(node)?;
        for port in ports {
            let node = tree.begin_node(&std::format!("serial@{:x}", port.address))?;
            tree.property_string("compatible", port.model)?;
            tree.property_string("status", port.status)?;
            tree.property_array_u32("reg", &[port.address, 0x200])?;
            if port.interrupt != 0 {
                tree.property_array_u32("interrupts", &[0, port.interrupt, 4])?;
            }
            if port.connected {
                let child = tree.begin_node("bluetooth")?;
                tree.property_string("compatible", "brcm,bcm43438-bt")?;
                tree.end_node(child)?;
            }
            tree.end_node(node)?;
        }
        tree.end_node(root)?;
        tree.finish()
    };
    write().expect("a tree")
}

/// The addresses of the console and of the second UART in a tree.
fn found(tree: &[u8]) -> (Option<u64>, Option<u64>) {
    let tree = Tree::new(tree).unwrap();
    let registers = |base, size, _| Some(Fake::new(base, size, keep(Identified)));
    let console = find(Some(&tree), None, registers);
    let second = console.and_then(|console| find_second(&tree, console.base, registers));
    let base = |opened: Option<Opened<Fake>>| opened.map(|opened| opened.base);
    (base(console), base(second))
}

fn at(address: u32) -> Port {
    Port { address, ..PORT }
}

#[test]
fn the_second_uart_is_the_next_alias_that_is_free() {
    let aliases = [
        ("serial0", 0x1000),
        ("serial2", 0x2000),
        ("serial1", 0x3000),
    ];
    let ports = [at(0x4000), at(0x3000), at(0x2000), at(0x1000)];
    assert_eq!(found(&tree(&aliases, &ports)), (Some(0x1000), Some(0x3000)));
    for taken in [
        Port {
            status: "disabled",
            ..at(0x3000)
        },
        Port {
            connected: true,
            ..at(0x3000)
        },
        Port {
            interrupt: 0,
            ..at(0x3000)
        },
        Port {
            model: "vendor,unknown",
            ..at(0x3000)
        },
    ] {
        let ports = [at(0x4000), taken, at(0x2000), at(0x1000)];
        assert_eq!(found(&tree(&aliases, &ports)), (Some(0x1000), Some(0x2000)));
    }
}

#[test]
fn without_an_alias_it_is_the_first_of_the_tree_that_is_free() {
    let disabled = Port {
        status: "disabled",
        ..at(0x1000)
    };
    let connected = Port {
        connected: true,
        ..at(0x3000)
    };
    let ports = [disabled, at(0x2000), connected, at(0x4000), at(0x5000)];
    let aliases = [("serial0", 0x2000), ("serial1", 0x1000)];
    assert_eq!(found(&tree(&aliases, &ports)), (Some(0x2000), Some(0x4000)));
    // Whose console is connected to something is left at that: the Raspberry Pi's tree says so of serial0.
    let aliases = [("serial0", 0x3000)];
    assert_eq!(found(&tree(&aliases, &ports)), (Some(0x3000), Some(0x2000)));
}

#[test]
fn there_may_be_none() {
    assert_eq!(found(&tree(&[], &[at(0x1000)])), (Some(0x1000), None));
    let aliases = [("serial0", 0x1000), ("serial1", 0x1000)];
    assert_eq!(found(&tree(&aliases, &[at(0x1000)])), (Some(0x1000), None));
    assert_eq!(found(&tree(&[], &[])), (None, None));
}
