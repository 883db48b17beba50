//! Debian's Linux to its shell: the instructions of the whole machine, under Avisor and on plain QEMU.

use super::figures::Figures;
use super::machine::{Builder, COUNTING, root};
use super::monitor::Monitor;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

/// MiB of the guest's RAM, and of the machine that Avisor runs it on.
const RAM: u64 = 256;
const MACHINE: u64 = 1024;
/// Where the shell would start, this powers the machine off.
const CMDLINE: &str = "console=ttyAMA0 run=true";

/// A figure for each number of vCPUs, and how many times that of plain QEMU it is.
pub fn figures(builder: &Builder) -> Result<Figures, String> {
    let mut figures = Figures::default();
    let mut ratios = Figures::default();
    for vcpus in [1, 2] {
        let image = builder.image(&format!("linux-{vcpus}"))?;
        let count = counted(avisor(&image, vcpus), vcpus)?;
        let plain = counted(plain(vcpus), vcpus)?;
        figures.push("Linux to its shell", Some(vcpus), count);
        let ratio = count / plain;
        ratios.push("Linux to its shell, times plain QEMU", Some(vcpus), ratio);
    }
    figures.0.extend(ratios.0);
    Ok(figures)
}

fn avisor(image: &Path, cores: u64) -> Command {
    let mut command = Command::new("tools/qemu");
    command.arg(image).env("BOARD", "virt");
    command.env("MEM", format!("{MACHINE}M"));
    command.env("SMP", cores.to_string());
    command
}

/// The machine that Linux finds under Avisor has less in it than this one, and so less for Linux to start.
fn plain(cores: u64) -> Command {
    let mut command = Command::new("qemu-system-aarch64");
    command.args("-M virt,gic-version=2 -cpu cortex-a72 -nographic -nic none".split(' '));
    command.args(["-smp", &cores.to_string(), "-m", &format!("{RAM}M")]);
    command.args(["-kernel", "target/linux/Image"]);
    command.args(["-initrd", "target/linux/initrd"]);
    command.args(["-append", CMDLINE]);
    command
}

/// Runs a machine until it powers off; the instructions that all its cores executed.
fn counted(mut command: Command, cores: u64) -> Result<f64, String> {
    let socket = Monitor::socket();
    let more = [
        Monitor::arguments(&socket),
        // It stays when it is off, to be asked.
        vec!["-no-shutdown".to_owned()],
        COUNTING.split(' ').map(str::to_owned).collect(),
    ]
    .concat();
    if command.get_program() == "tools/qemu" {
        command.env("QEMU_ARGS", more.join(" "));
    } else {
        command.args(more);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .current_dir(root());
    let mut child = command
        .spawn()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let mut stdout = child.stdout.take().expect("it is a pipe");
    // Whoever writes it must not wait.
    let console = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = stdout.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let count = executed(&socket);
    // It does not end by itself.
    let _ = child.kill();
    let _ = child.wait();
    let _ = fs::remove_file(socket);
    let console = console.join().map_err(|_| "a thread panicked")?;
    let in_linux = console.contains("Run /init as init process");
    let all_cores = cores == 1 || console.contains(&format!("Brought up 1 node, {cores} CPUs"));
    match count {
        Ok(count) if in_linux && all_cores => Ok(count),
        Ok(_) => Err(format!("Linux did not come to its shell:\n{console}")),
        Err(error) => Err(format!("{error}\n{console}")),
    }
}

/// Waits until the machine is off; how many instructions that took.
fn executed(socket: &Path) -> Result<f64, String> {
    let mut monitor = Monitor::connect(socket)?;
    monitor.wait_for("SHUTDOWN")?;
    let answer = monitor.ask(r#"{"execute":"query-replay"}"#)?;
    let count = icount(&answer).ok_or_else(|| format!("QEMU's query-replay: {answer}"))?;
    Ok(count as f64)
}

/// The number in `{"return": {"icount": 868074901, "mode": "none"}}`.
fn icount(answer: &str) -> Option<u64> {
    let (_, number) = answer.split_once(r#""icount": "#)?;
    let end = number.find(|c: char| !c.is_ascii_digit())?;
    number[..end].parse().ok().filter(|&count| count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_in_an_answer() {
        let answer = |count| format!(r#"{{"return": {{"icount": {count}, "mode": "none"}}}}"#);
        assert_eq!(icount(&answer("868074901")), Some(868_074_901));
        for other in [answer("0"), answer("x"), r#"{"error": {}}"#.into()] {
            assert_eq!(icount(&other), None, "{other}");
        }
    }
}
