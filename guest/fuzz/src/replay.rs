//! Runs inputs once and tells where and how each ended.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use crate::archive;
use crate::layout::{Crash, INPUT_BYTES};
use crate::target::{Ending, Output, Target};

/// Runs each file of `archive`.
pub fn run(target: &mut impl Target, archive: &[u8], output: &mut impl Output) {
    for (name, input) in archive::files(archive) {
        let window = target.window();
        let header = window.header();
        let bytes = input.len().min(INPUT_BYTES);
        // SAFETY: all within the window, which nobody else touches between rounds.
        unsafe {
            window
                .input()
                .copy_from_nonoverlapping(input.as_ptr(), bytes);
            (&raw mut (*header).input_bytes).write_volatile(bytes as u32);
            (&raw mut (*header).wants_comparisons).write_volatile(0);
        }
        let ending = target.round();
        let how = match ending {
            Ending::Done => "it came to its end",
            Ending::Crash { .. } => "crash",
            Ending::Hang => "it took longer than the limit",
            Ending::Reset => "it reset its machine",
            Ending::Off => "it switched its machine off",
        };
        output.show(&format!("replay: {name}, {bytes} bytes: {how}\n"));
        if let Ending::Crash { .. } = ending {
            // SAFETY: as above; any bytes are a crash.
            let crash = unsafe { (&raw const (*header).crash).read() };
            output.show(&text(&crash));
        }
    }
}

/// All that a crash tells, in lines that each begin with two spaces.
pub fn text(crash: &Crash) -> String {
    let mut text = String::new();
    let bytes = crash.message.get(..crash.message_bytes as usize);
    let message = String::from_utf8_lossy(bytes.unwrap_or(&crash.message));
    for line in message.lines() {
        let _ = writeln!(text, "  {line}");
    }
    let Crash {
        sp,
        pc,
        pstate,
        esr,
        far,
        x,
        calls,
        ..
    } = crash;
    if crash.pc != 0 {
        let _ = writeln!(
            text,
            "  pc {pc:#x}  sp {sp:#x}  pstate {pstate:#x}  esr {esr:#x}  far {far:#x}"
        );
        for (index, chunk) in x.chunks(4).enumerate() {
            text.push(' ');
            for (offset, value) in chunk.iter().enumerate() {
                let _ = write!(text, " x{:<2} {value:#018x}", 4 * index + offset);
            }
            text.push('\n');
        }
        let _ = writeln!(text, "  at {pc:#x}");
    }
    let depth = (crash.depth as usize).min(calls.len());
    for call in &calls[..depth] {
        let _ = writeln!(text, "  called from {call:#x}");
    }
    text
}
