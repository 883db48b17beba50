//! Device trees that are broken, or name what is not there: one line, or a boot.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::board::Board;
use crate::image::{self, folder};
use crate::on_both_boards;
use crate::run::{Run, plain_qemu};

on_both_boards!(broken_trees);

/// Boards without a tree: the line comes on the UART that they are known to have.
#[test]
fn raspi4b_without_a_tree() {
    without_a_tree("raspi4b");
}

#[test]
fn raspi3b_without_a_tree() {
    without_a_tree("raspi3b");
}

fn without_a_tree(machine: &str) {
    let image = image::with_config("configs/hello.toml");
    let kernel = format!("-M {machine} -kernel {}", image.display());
    let run = plain_qemu().arguments(&kernel).until_lines(2);
    run.goes_on(
        "AVISOR ERROR: there is no device tree (x0 was 0x100): give the board's own, under QEMU with -dtb, on a board as its firmware's
         AVISOR ERROR: halted",
    );
}

impl Board {
    /// Its own tree.
    fn tree(self) -> Vec<u8> {
        let file = folder("guests").join(format!("{self:?}.dtb"));
        let dump = format!("dumpdtb={}", file.display());
        let mut qemu = match self {
            Self::Virt => {
                let mut qemu = Command::new("qemu-system-aarch64");
                let machine = format!("virt,virtualization=on,gic-version=2,{dump}");
                qemu.args([
                    "-M",
                    &machine,
                    "-cpu",
                    "cortex-a72",
                    "-smp",
                    "4",
                    "-m",
                    "1G",
                ]);
                qemu.args(["-display", "none", "-nic", "none"]);
                qemu
            }
            Self::Rpi4 => {
                let mut qemu = Command::new("tools/qemu");
                qemu.current_dir(image::ROOT).env("BOARD", "rpi4");
                qemu.arg(image::with_config("configs/hello.toml"));
                qemu.env("QEMU_ARGS", format!("-M raspi4b,{dump}"));
                qemu
            }
        };
        qemu.output().expect("QEMU starts");
        fs::read(&file).expect("QEMU wrote it")
    }

    /// Boots with a tree that QEMU does not look at: a stub in place of a kernel passes it on.
    fn with_tree(self, name: &str, tree: &[u8]) -> Run {
        let image = image::with_config("configs/hello.toml");
        let (machine, image_at, tree_at) = match self {
            Self::Virt => (
                "virt,virtualization=on,gic-version=2 -cpu cortex-a72 -smp 4 -m 1G",
                0x4020_u32,
                0x4a00_u32,
            ),
            Self::Rpi4 => ("raspi4b", 0x0020, 0x0a00),
        };
        let file = |ending: &str| folder("guests").join(format!("{self:?}-{name}.{ending}"));
        let write = |file: PathBuf, bytes: &[u8]| {
            fs::write(&file, bytes).expect("the folder is writable");
            file
        };
        // movz x0, #tree, lsl #16; movz x1, #image, lsl #16; br x1
        let code = [
            0xd2a0_0000 | tree_at << 5,
            0xd2a0_0001 | image_at << 5,
            0xd61f_0020,
        ];
        let stub = write(file("bin"), &code.map(u32::to_le_bytes).concat());
        let tree = write(file("dtb"), tree);
        let load = |file: &PathBuf, at: u32| {
            format!(
                "-device loader,force-raw=on,file={},addr={at:#x}0000",
                file.display()
            )
        };
        plain_qemu()
            .arguments(&format!("-M {machine} -kernel {}", stub.display()))
            .arguments(&load(&image, image_at))
            .arguments(&load(&tree, tree_at))
    }
}

/// Replaces each `from` in the tree by as many other bytes. What has the length of a word is one: it begins at a multiple of 4.
fn replaced(tree: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut tree = tree.to_vec();
    let step = if from.len() == 4 { 4 } else { 1 };
    let places: Vec<_> = (0..tree.len())
        .step_by(step)
        .filter(|at| tree[*at..].starts_with(from))
        .collect();
    assert!(!places.is_empty(), "it is there");
    for at in places {
        tree[at..at + from.len()].copy_from_slice(to);
    }
    tree
}

/// The tree with a word of its header replaced.
fn header(tree: &[u8], word: usize, value: u32) -> Vec<u8> {
    let mut tree = tree.to_vec();
    tree[4 * word..4 * word + 4].copy_from_slice(&value.to_be_bytes());
    tree
}

fn broken_trees(board: Board) {
    let tree = board.tree();
    let word = |at: usize| u32::from_be_bytes(tree[at..at + 4].try_into().expect("a word"));
    let structure = word(8);
    let broken = "AVISOR ERROR: the device tree ";
    let boots = "AVISOR INFO: hello: off";
    // The UART's registers, and the memory's end: where nothing is.
    let (uart, nowhere, memory, more) = match board {
        Board::Virt => (
            0x0900_0000_u32,
            0x0980_0000_u32,
            [0, 0x4000_0000_u32],
            [7, 0_u32],
        ),
        Board::Rpi4 => (0x7e20_1000, 0x7f7f_f000, [0x3c00_0000, 0], [0, 0]),
    };
    let bytes = |words: [u32; 2]| words.map(u32::to_be_bytes).concat();
    let mut cases = vec![
        (
            "none",
            header(&tree, 0, 0),
            "AVISOR ERROR: there is no device tree (x0 was ",
        ),
        (
            "large",
            header(&tree, 1, u32::MAX),
            "AVISOR ERROR: there is no device tree (x0 was ",
        ),
        ("small", header(&tree, 1, 24), broken),
        ("structure", header(&tree, 2, 0xffff_fff0), broken),
        ("strings", header(&tree, 3, structure), broken),
        ("tokens", header(&tree, 2, structure + 8), broken),
        (
            "no-uart",
            replaced(&tree, b"arm,pl011\0", b"arm,pl0!!\0"),
            boots,
        ),
        (
            "uart-nowhere",
            replaced(&tree, &uart.to_be_bytes(), &nowhere.to_be_bytes()),
            boots,
        ),
    ];
    if board == Board::Virt {
        let lists = "AVISOR ERROR: the device tree lists memory that does not answer: at 0x";
        let memory = bytes(memory);
        let at = (0..tree.len())
            .rfind(|at| tree[*at..].starts_with(&memory))
            .expect("its size");
        let mut larger = tree.clone();
        larger[at..at + 8].copy_from_slice(&bytes(more));
        cases.push(("memory", larger, lists));
    }
    for (name, tree, line) in cases {
        let mut run = board.with_tree(name, &tree);
        // The Raspberry Pi's tree names another UART after its PL011: the mini-UART, the second serial port.
        if board == Board::Rpi4 && name.contains("uart") {
            run = run.arguments("-serial null -serial mon:stdio");
        }
        let mut session = run.session();
        session.expect(line);
        session.stop();
    }
}
