//! The first table: instructions, counted by QEMU, the same on every machine and in every run.

use super::bounds::{self, Row};
use super::figures::{Figure, Figures, written};
use super::machine::{Builder, Machine, Time, root};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

const MIB: u64 = 1 << 20;
/// Machines have so much more than their guest.
pub const BESIDES: u64 = 896;

/// The configuration with two vCPUs.
const TWO: &str = "smp";

/// The configuration of a VM that drives another one.
const PAIR: &str = "control";

/// What runs.
pub struct Images {
    /// MiB of the guest's RAM, and Avisor's image with that guest; the smallest first.
    pub avisor: Vec<(u64, PathBuf)>,
    /// With two vCPUs and the smallest RAM.
    pub two: PathBuf,
    /// A VM that drives another one.
    pub pair: PathBuf,
    /// The guest alone.
    pub plain: PathBuf,
}

impl Images {
    pub fn build(builder: &Builder) -> Result<Self, String> {
        Ok(Self {
            avisor: Self::sizes(builder)?,
            two: builder.image(TWO)?,
            pair: builder.image(PAIR)?,
            plain: builder.guest()?,
        })
    }

    /// MiB of the guest's RAM, and Avisor's image with that guest; the smallest first.
    pub fn sizes(builder: &Builder) -> Result<Vec<(u64, PathBuf)>, String> {
        let configs = [(128, "128m"), (1024, "1g"), (4096, "4g")];
        let image = |(ram, config)| Ok((ram, builder.image(config)?));
        configs.into_iter().map(image).collect()
    }

    /// Avisor with the 128 MiB guest.
    pub fn smallest(&self) -> &Path {
        &self.avisor[0].1
    }
}

/// Boots Avisor with a guest of `ram` MiB and runs a part of it.
pub fn run(image: &Path, ram: u64, part: &str) -> Result<Figures, String> {
    Machine::avisor(image, ram + BESIDES, Time::Counted)?.measure(&format!("{part} {ram}"))
}

/// What the smallest guest can tell.
pub fn short(builder: &Builder) -> Result<Figures, String> {
    let mut figures = with_smallest(&builder.image("128m")?, &builder.guest()?)?;
    figures.0.extend(interrupts(&builder.image(TWO)?)?.0);
    figures.0.extend(control(&builder.image(PAIR)?)?.0);
    Ok(figures)
}

/// What it costs to drive another VM.
fn control(image: &Path) -> Result<Figures, String> {
    Machine::control(image, 128 + BESIDES)
}

/// What interrupts cost, on two cores. The order in which QEMU runs these is not the same every time.
fn interrupts(image: &Path) -> Result<Figures, String> {
    let machine = Machine::avisor_on(2, image, 128 + BESIDES, Time::Counted)?;
    machine.measure("interrupts 128")
}

fn with_smallest(image: &Path, guest: &Path) -> Result<Figures, String> {
    let (counts, limits) = thread::scope(|scope| {
        let limits = scope.spawn(|| run(image, 128, "limits"));
        (run(image, 128, "counts"), limits.join())
    });
    let mut figures = counts?;
    figures
        .0
        .extend(limits.map_err(|_| "a thread panicked")??.0);
    let bytes = size_of(image)? - size_of(guest)?;
    figures.push("image without its guest, bytes", None, bytes as f64);
    let left = figures.take("bytes for the guest and its snapshots")?;
    let machine = ((128 + BESIDES) * MIB) as f64;
    figures.push(
        "bytes that the hypervisor takes for itself",
        None,
        machine - left,
    );
    Ok(figures)
}

fn size_of(file: &Path) -> Result<u64, String> {
    fs::metadata(file)
        .map(|data| data.len())
        .map_err(|error| format!("{}: {error}", file.display()))
}

/// The same work in guests of each size, by MiB of RAM.
pub fn sizes(images: &Images) -> Result<Vec<(u64, Figures)>, String> {
    let size = |(ram, image): &(u64, PathBuf)| Ok((*ram, run(image, *ram, "size")?));
    images.avisor.iter().map(size).collect()
}

/// Everything that has a row.
pub fn full(images: &Images, sizes: &[(u64, Figures)]) -> Result<Figures, String> {
    let mut figures = with_smallest(images.smallest(), &images.plain)?;
    if with_smallest(images.smallest(), &images.plain)? != figures {
        return Err("a second run counted other figures than the first".into());
    }
    figures.0.extend(interrupts(&images.two)?.0);
    figures.0.extend(control(&images.pair)?.0);
    let (_, smallest) = &sizes[0];
    for name in ["checkpoint", "restore"] {
        for (ram, size) in &sizes[1..] {
            let times = size.one(name)? / smallest.one(name)?;
            let name = format!("{name}, times that of a 128 MiB guest");
            figures.push(&name, Some(*ram), times);
        }
    }
    for name in ["checkpoint, all over RAM", "restore, all over RAM"] {
        for (ram, size) in sizes {
            figures.push(name, Some(*ram), size.one(name)?);
        }
    }
    Ok(figures)
}

/// Prints the table; an error says what is out of bounds.
pub fn print_and_judge(figures: &Figures, short: bool) -> Result<(), String> {
    let rows = rows()?;
    print!("{}", table(&rows, figures));
    judge(&rows, figures, short)?;
    println!("\nAll within their bounds (bench/bounds.toml).\n");
    Ok(())
}

/// What `bench/bounds.toml` has.
pub fn rows() -> Result<Vec<Row>, String> {
    let text = fs::read_to_string(root().join("bench/bounds.toml"));
    text.map_err(|error| error.to_string())
        .and_then(|text| bounds::parse(&text))
        .map_err(|error| format!("bench/bounds.toml: {error}"))
}

/// An error says what of these rows is out of bounds.
pub fn judge(rows: &[Row], figures: &Figures, short: bool) -> Result<(), String> {
    let wrong = bounds::judge(rows, figures, short);
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} out of bounds (bench/bounds.toml):\n  {}",
        wrong.len(),
        wrong.join("\n  ")
    ))
}

/// The rows in their file's order, a line for each figure.
fn table(rows: &[Row], figures: &Figures) -> String {
    let mut text = line(&[
        "instructions (-icount), 128 MiB guest",
        "k",
        "measured",
        "bare work",
        "ratio",
        "bound",
        "",
    ]);
    for row in rows {
        for figure in figures.named(&row.figure) {
            text += &table_line(row, figure);
        }
    }
    text
}

fn table_line(row: &Row, figure: &Figure) -> String {
    let cost =
        |cost: Option<bounds::Cost>| cost.map_or(String::new(), |cost| written(cost.of(figure.k)));
    let ratio = row.bare.map_or(String::new(), |bare| {
        format!("{:.2}", figure.value / bare.of(figure.k))
    });
    line(&[
        &row.figure,
        &figure.k.map_or(String::new(), |k| written(k as f64)),
        &written(figure.value),
        &cost(row.bare),
        &ratio,
        &cost(row.bound),
        if row.holds(figure) {
            ""
        } else {
            "OUT OF BOUNDS"
        },
    ])
}

fn line([name, k, measured, bare, ratio, bound, verdict]: &[&str; 7]) -> String {
    let line = format!(
        "{name:<56}  {k:>6}  {measured:>11}  {bare:>10}  {ratio:>6}  {bound:>10}  {verdict}"
    );
    format!("{}\n", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_out_of_bounds_is_marked() {
        let rows = bounds::parse("[[row]]\nfigure = 'x'\nbound = [10, 1]\nbare = [5, 0]")
            .expect("it is right");
        let mut figures = Figures::default();
        figures.push("x", Some(2), 12.0);
        figures.push("x", Some(1), 15.0);
        let table = table(&rows, &figures);
        let lines: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[1], ["x", "2", "12", "5", "2.40", "12"]);
        assert_eq!(
            lines[2],
            ["x", "1", "15", "5", "3.00", "11", "OUT", "OF", "BOUNDS"]
        );
    }
}
