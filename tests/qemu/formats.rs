//! Guests in every format that `qemu-system-aarch64 -M virt -kernel` takes, put in by `GUEST=...`; and files that are none.

use std::path::{Path, PathBuf};

use crate::board::Board;
use crate::on_both_boards;
use crate::run::plain_qemu;
use crate::{files, image};

on_both_boards!(
    elf,
    elf_of_many_segments,
    raw_binary,
    raw_binary_with_an_entry,
    arm64_image
);

fn elf(board: Board) {
    says_hello(board, &files::elf(), "Elf", 0x4008_0000);
}

/// More than the table had that this once was.
fn elf_of_many_segments(board: Board) {
    says_hello(board, &files::elf_of_many_segments(), "Elf", 0x4008_0000);
}

fn raw_binary(board: Board) {
    says_hello(board, &files::raw(), "Raw", 0x4008_0000);
}

/// Loaded below where it is entered, with what is no instruction in front.
fn raw_binary_with_an_entry(board: Board) {
    let image = image::with_config_and_guest(ENTRY, &files::raw_behind_data());
    boots_and_says_hello(board, image, "Raw", 0x4008_0000);
}

fn arm64_image(board: Board) {
    says_hello(board, &files::arm64_image(), "Arm64Image", 0x4007_f000);
}

fn says_hello(board: Board, guest: &Path, format: &str, entry: u64) {
    boots_and_says_hello(board, image::with_guest(guest), format, entry);
}

fn boots_and_says_hello(board: Board, image: PathBuf, format: &str, entry: u64) {
    let run = board.boots(image).until_it_ends();
    run.succeeds(&format!(
        "AVISOR INFO: {{banner}}
         AVISOR INFO: snapshots: 128 MiB of RAM, {format} image, entered at {entry:#x}
         Hello from Rust
         AVISOR INFO: new snapshot pool size: 384MB
         took snapshot 0
           counter changed to 2
         back at snapshot 0
           counter is 1 again
           the restorer passed 42
         AVISOR INFO: snapshots: off"
    ));
}

/// The files made here are good ones: QEMU boots them, too.
#[test]
fn qemu_boots_the_same_files() {
    for guest in [
        files::elf(),
        files::elf_of_many_segments(),
        files::raw(),
        files::arm64_image(),
    ] {
        let run = plain_qemu()
            .arguments("-M virt -cpu cortex-a72 -m 128M -kernel")
            .argument(guest);
        run.until_it_ends()
            .succeeds("Hello from Rust\nno checkpoint: not supported");
    }
}

#[test]
fn truncated_elf() {
    refused(
        &files::truncated_elf(),
        "the file ends at byte 0x1800, but ELF segment 0 goes up to 0x",
    );
}

#[test]
fn x86_elf() {
    refused(
        &files::x86_elf(),
        "the ELF file is for machine 62: build the guest for AArch64 (183)",
    );
}

/// `build/image/foreign_tests.rs` has one of each kind.
#[test]
fn compressed_kernel() {
    refused(
        &files::gzip(),
        "a file compressed by gzip is not supported: gunzip it first, `gzip -dc FILE >Image`",
    );
}

#[test]
fn text() {
    let why = "a text file is not supported: name a file with a kernel in it";
    refused(Path::new("README.md"), why);
}

/// The build says what is wrong with the guest.
fn refused(guest: &Path, why: &str) {
    let line = format!("GUEST: {:?}: {why}", absolute(guest));
    image::build_says("configs/default.toml", guest, &line);
}

/// Keys for raw binaries have no effect on others. Which they are shows when the file is read.
#[test]
fn an_elf_says_itself_where_it_goes() {
    let why = "without effect, as the image is an ELF file, which says itself; allowed: with a raw binary";
    let line = format!("{ENTRY}: vm[0].load_address: {why}");
    image::build_says(ENTRY, &files::elf(), &line);
}

#[test]
fn entry_outside_the_image() {
    let why = "0x40080000 is not in the image; allowed: the address of an instruction from 0x4007f000 to 0x4007f";
    let line = format!("{ENTRY}: vm[0].entry: {why}");
    image::build_says(ENTRY, &files::short(), &line);
}

const ENTRY: &str = "tests/configs/entry.toml";

fn absolute(path: &Path) -> PathBuf {
    Path::new(image::ROOT).join(path)
}

/// What is wrong without a look inside is a matter of the build.
#[test]
fn no_file_at_all() {
    for (guest, why) in [
        (files::empty(), "is empty"),
        (PathBuf::from("no/such/file"), "is not there"),
        (PathBuf::from("guest"), "is a directory"),
    ] {
        image::build_says(
            "configs/default.toml",
            &guest,
            &format!("GUEST: {guest:?} {why}; allowed: an arm64 Image, an ELF64, a raw binary"),
        );
    }
}
