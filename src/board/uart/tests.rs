//! Which UARTs are found in which trees, and the drivers on registers that are made up.

use super::*;
use crate::console::SerialLine;
use crate::device::pl011::UNSENT_MAX;
use proptest::collection::vec;
use proptest::prelude::*;
use std::boxed::Box;
use std::cell::RefCell;
use std::iter::repeat_n;
use std::vec::Vec;
use vm_fdt::{FdtWriter, FdtWriterResult};

/// The registers of a UART that is made up.
pub trait FakeRegisters {
    fn read(&mut self, offset: u64) -> u32;
    fn write(&mut self, offset: u64, value: u32);
}

/// One with a line that leads to the test.
pub trait Hardware: FakeRegisters {
    /// Whether its interrupt is up.
    fn irq(&self) -> bool;
    /// A byte comes in.
    fn come(&mut self, byte: u8);
    /// Whether there is room for one.
    fn has_room(&self) -> bool;
    /// Up to so many bytes leave: those.
    fn leave(&mut self, count: usize) -> Vec<u8>;
    /// Bytes that were sent into a full FIFO.
    fn lost(&self) -> usize;
}

/// A block of them.
#[derive(Clone, Copy)]
pub struct Fake {
    base: u64,
    size: u64,
    /// They are bytes.
    bytes: bool,
    model: &'static RefCell<dyn FakeRegisters>,
}

impl Fake {
    pub fn new(base: u64, size: u64, model: &'static RefCell<dyn FakeRegisters>) -> Self {
        Self {
            base,
            size,
            bytes: false,
            model,
        }
    }

    /// The same with registers of 8 bits.
    pub fn of_bytes(self) -> Self {
        Self {
            bytes: true,
            ..self
        }
    }
}

/// What opening takes.
pub fn opening(clock: Option<u64>) -> Open {
    Open {
        clock,
        layout: Layout::CLOSE,
        lost: Box::leak(Box::new(AtomicBool::new(false))),
    }
}

/// Bytes for both ways, and in each step how many come, leave, are sent and read at most.
pub type Traffic = (Vec<u8>, Vec<u8>, Vec<[usize; 4]>);

pub fn traffic() -> impl Strategy<Value = Traffic> {
    let bytes = || vec(any::<u8>(), 0..400);
    let step = proptest::array::uniform4(0..20_usize);
    (bytes(), bytes(), vec(step, 1..40))
}

/// Whatever the speeds of both ends, a line on this UART goes on by its interrupts alone, and loses nothing.
pub fn loses_nothing(
    port: &dyn Driver,
    hardware: &RefCell<impl Hardware>,
    (input, output, steps): Traffic,
) -> Result<(), TestCaseError> {
    let mut line = SerialLine::new();
    line.serve(port);
    let (mut read, mut left) = (Vec::new(), Vec::new());
    let mut coming = input.iter().copied().peekable();
    let mut going = output.iter().copied().peekable();
    for [comes, leaves, sends, reads] in steps.into_iter().chain(repeat_n([8; 4], 200)) {
        for _ in 0..comes {
            let has_room = hardware.borrow().has_room();
            if let Some(byte) = coming.next_if(|_| has_room) {
                hardware.borrow_mut().come(byte);
            }
        }
        for _ in 0..sends {
            if let Some(byte) = going.next_if(|_| line.unsent() < UNSENT_MAX) {
                line.put(byte, port);
            }
        }
        let mut times = 0;
        while hardware.borrow().irq() {
            line.serve(port);
            times += 1;
            prop_assert!(times < 5, "its interrupt never falls");
        }
        read.extend((0..reads).map_while(|_| line.get(port)));
        left.extend(hardware.borrow_mut().leave(leaves));
    }
    prop_assert_eq!(read, input);
    prop_assert_eq!(left, output);
    prop_assert_eq!(hardware.borrow().lost(), 0);
    prop_assert!(!port.take_overrun());
    Ok(())
}

/// It lives as long as the tests: drivers are copied about.
pub fn keep<M: FakeRegisters>(model: M) -> &'static RefCell<M> {
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
        assert!(!self.bytes && offset + 4 <= self.size, "{offset:#x}");
        self.model.borrow_mut().read(offset)
    }

    fn write(self, offset: u64, value: u32) {
        assert!(!self.bytes && offset + 4 <= self.size, "{offset:#x}");
        self.model.borrow_mut().write(offset, value);
    }

    fn read8(self, offset: u64) -> u8 {
        assert!(self.bytes && offset < self.size, "{offset:#x}");
        self.model.borrow_mut().read(offset) as u8
    }

    fn write8(self, offset: u64, value: u8) {
        assert!(self.bytes && offset < self.size, "{offset:#x}");
        self.model.borrow_mut().write(offset, value.into());
    }
}

/// Registers of which only the identification reads as something.
struct Identified;

impl FakeRegisters for Identified {
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
    size: u32,
    /// `reg-shift` and `reg-io-width`.
    layout: Option<[u32; 2]>,
    model: &'static str,
    status: &'static str,
    /// Its interrupt, if it is not 0: a shared one.
    interrupt: u32,
    connected: bool,
}

const PORT: Port = Port {
    address: 0,
    size: 0x200,
    layout: None,
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
            tree.property_array_u32("reg", &[port.address, port.size])?;
            if let Some([shift, width]) = port.layout {
                tree.property_u32("reg-shift", shift)?;
                tree.property_u32("reg-io-width", width)?;
            }
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
    let registers = |base, size, answers_at: u64| {
        assert!(answers_at.is_multiple_of(4) && answers_at < size);
        let registers = Fake::new(base, size, keep(Identified));
        // The one that has bytes here.
        Some(match base {
            0x6000 => registers.of_bytes(),
            _ => registers,
        })
    };
    let console = find(Some(&tree), None, &registers);
    let second = console.and_then(|console| find_second(&tree, console.base, &registers));
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

#[test]
fn uarts_like_the_16550_are_taken_where_their_registers_are_within_what_the_tree_names() {
    let port = |address, model, size, layout| Port {
        model,
        size,
        layout,
        ..at(address)
    };
    for (second, is_taken) in [
        (port(0x6000, "ns16550a", 8, None), true),
        (port(0x6000, "ns16550a", 4, None), false),
        (port(0x5000, "ns16550a", 0x20, Some([2, 4])), true),
        (port(0x5000, "ns16550a", 0x10, Some([2, 4])), false),
        (port(0x5000, "ns16550a", 0x20, Some([2, 2])), false),
        (port(0x5000, "ns16550a", 0x20, Some([0, 4])), false),
        (port(0x5000, "ns16550", 0x20, None), false),
        (port(0x5000, "snps,dw-apb-uart", 0x100, Some([2, 4])), true),
        (port(0x5000, "snps,dw-apb-uart", 0x40, Some([2, 4])), false),
        (port(0x5040, "brcm,bcm2835-aux-uart", 0x40, None), true),
        (port(0x10, "brcm,bcm2835-aux-uart", 0x40, None), false),
    ] {
        let expected = is_taken.then_some(u64::from(second.address));
        let tree = tree(&[("serial0", 0x1000)], &[at(0x1000), second]);
        assert_eq!(found(&tree), (Some(0x1000), expected), "{}", second.model);
    }
}

/// The Raspberry Pi whose Bluetooth has the PL011: the firmware's first serial port is the mini-UART.
#[test]
fn a_console_that_is_no_pl011_is_believed_if_it_looks_like_what_the_tree_says() {
    let mini = Port {
        model: "brcm,bcm2835-aux-uart",
        size: 0x40,
        ..at(0x5040)
    };
    let connected = Port {
        connected: true,
        ..at(0x1000)
    };
    let bytes = tree(&[("serial0", 0x5040)], &[connected, mini]);
    let tree = Tree::new(&bytes).unwrap();
    for (aux, console) in [(0, 0x5040), (1, 0x5040), (u32::MAX, 0xfe20_1000)] {
        struct Aux(u32);
        impl FakeRegisters for Aux {
            fn read(&mut self, _: u64) -> u32 {
                self.0
            }
            fn write(&mut self, _: u64, _: u32) {}
        }
        let registers = |base, size, _| {
            Some(match base {
                0x5000 => Fake::new(base, size, keep(Aux(aux))),
                _ => Fake::new(base, size, keep(Identified)),
            })
        };
        let found = find(Some(&tree), Some(0xfe20_1000), &registers);
        assert_eq!(found.map(|found| found.base), Some(console));
    }
}
