//! Firmware of our own at EL3 in place of a board's: the image relies on what the boot protocol promises, and on nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::image::{self, ROOT, TRIPLE, folder};
use crate::run::plain_qemu;
use crate::self_test::check_groups;

/// Where the image is put: QEMU has the device tree below.
const IMAGE: u64 = 0x4020_0000;
/// 1 GiB of RAM.
const RAM_END: u64 = 0x8000_0000;

/// Garbage in registers and RAM, all that there is Non-secure, SMC disabled: nothing starts the other cores, or switches the board off.
#[test]
fn an_image_relies_on_nothing_but_the_boot_protocol() {
    let image = image::with_config("tests/configs/self-test.toml");
    let stub = stub(&image);
    let run = plain_qemu()
        .arguments("-M virt,secure=on,virtualization=on,gic-version=2 -cpu cortex-a72 -smp 4 -m 1G")
        .argument("-bios")
        .argument(&stub)
        .argument("-kernel")
        .argument(&image)
        .argument("-device")
        .argument(format!(
            "loader,file={},addr={IMAGE:#x},force-raw=on",
            image.display()
        ))
        .until_line("AVISOR INFO: self-test: off");
    let cores = run
        .lines
        .iter()
        .filter(|line| line.ends_with(" does not start: it is not used"));
    run.require(cores.count() == 3, "three cores should be missed");
    check_groups(&run);
}

/// The firmware for this image, as a flat binary.
fn stub(image: &Path) -> PathBuf {
    let binary = folder("guests").join("firmware.bin");
    let mut rustc = Command::new("rustc");
    rustc
        .current_dir(ROOT)
        .args(["--edition", "2024", "--target", TRIPLE]);
    rustc
        .args(["-C", "panic=abort", "-C", "opt-level=2", "-o"])
        .arg(&binary);
    for argument in ["--image-base=0", "-Ttext=0", "-e_start", "--oformat=binary"] {
        rustc.arg("-C").arg(format!("link-arg={argument}"));
    }
    let output = rustc
        .arg("tests/firmware/stub.rs")
        .output()
        .expect("rustc starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "the firmware does not build:\n{errors}"
    );
    let mut bytes = fs::read(&binary).expect("rustc made it");
    let size = fs::metadata(image).expect("it was built").len();
    let addresses = [IMAGE, IMAGE + size.next_multiple_of(16), RAM_END];
    for (word, address) in bytes[8..].chunks_mut(8).zip(addresses) {
        word.copy_from_slice(&address.to_le_bytes());
    }
    fs::write(&binary, bytes).expect("cargo's target folder is writable");
    binary
}
