//! Debian's U-Boot for QEMU's `virt`, as it is.

use crate::board::Board;
use crate::fetched;
use crate::image;
use crate::on_both_boards;
use crate::run::plain_qemu;
use crate::session::Session;

on_both_boards!(answers);

fn answers(board: Board) {
    if fetched::are_there() {
        has_a_prompt(board.boots(image::with_guest(&fetched::u_boot())).session());
    }
}

/// What is asked of it here is what it does elsewhere.
#[test]
fn answers_without_avisor() {
    if fetched::are_there() {
        let qemu = plain_qemu().arguments("-M virt -cpu cortex-a72 -m 128M -bios");
        has_a_prompt(qemu.argument(fetched::u_boot()).session());
    }
}

fn has_a_prompt(mut u_boot: Session) {
    u_boot.expect("Hit any key to stop autoboot:");
    u_boot.send(" ");
    u_boot.expect("\n=> ");
    u_boot.send("version\n");
    u_boot.expect("version\nU-Boot 20");
    u_boot.expect("\n=> ");
}
