//! Snapshots as a tree, drawn in the order in which they were taken.
//!
//! ```text
//! o      #0             3 min 2 s ago       12 pages
//! |-o    #1  from #0       40.1 s ago        3 pages
//! | |-o  #2  from #1       31.7 s ago        1 page
//! | o    #3  from #1       20.0 s ago        5 pages
//! @      #4  from #0        1.2 s ago        0 pages  <- it stands here
//! ```
//!
//! A parent is older than its children, so one pass from the oldest to the newest suffices. A **lane** is a column of the drawing that
//! belongs to a snapshot for as long as children of it are to come. The last child takes its parent's lane over; the others begin
//! lanes of their own beside it. A long history without branches thus is one straight line.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::{self, Display, Write};

use super::{SnapshotInfo, VmControl};

/// Snapshots that are shown, the newest: a screen or three. No more lanes than that are open at once.
const SHOWN: usize = 64;

/// Prints a VM's snapshots.
pub fn draw(vm: usize, control: &mut impl VmControl, out: &mut impl Write) -> fmt::Result {
    let (shown, older) = newest(vm, control);
    if shown.is_empty() {
        return writeln!(out, "{} has no snapshots", control.name(vm));
    }
    if older > 0 {
        writeln!(out, "... and {older} older ones")?;
    }
    let mut rows = lanes(&shown);
    let graph_width = rows.iter().map(|row| row.graph.len()).max().unwrap_or(0);
    let ids: Vec<String> = shown
        .iter()
        .map(|(id, _)| alloc::format!("#{id}"))
        .collect();
    let id_width = ids.iter().map(String::len).max().unwrap_or(0);
    let parents: Vec<String> = shown
        .iter()
        .map(|(_, info)| parent(vm, info, control))
        .collect();
    let parent_width = parents.iter().map(String::len).max().unwrap_or(0);
    for (n, (_, info)) in shown.iter().enumerate() {
        let graph = core::mem::take(&mut rows[n].graph);
        let (id, parent, age) = (&ids[n], &parents[n], Age(info.age).to_string());
        let plural = if info.pages == 1 { "" } else { "s" };
        write!(
            out,
            "{graph:<graph_width$}  {id:>id_width$}  {parent:<parent_width$}  {age:>11} ago  {:>7} page{plural}",
            info.pages
        )?;
        let here = if info.is_current {
            "  <- it stands here"
        } else {
            ""
        };
        writeln!(out, "{here}")?;
    }
    Ok(())
}

/// The newest snapshots, the oldest of them first, and how many there are besides.
fn newest(vm: usize, control: &mut impl VmControl) -> (Vec<(u64, SnapshotInfo)>, usize) {
    let count = control.status(vm).snapshots as usize;
    let mut ids = VecDeque::with_capacity(SHOWN);
    let mut to = Some(u64::MAX);
    while ids.len() < SHOWN
        && let Some(id) = to.and_then(|to| control.last_snapshot_to(vm, to))
    {
        ids.push_front(id);
        to = id.checked_sub(1);
    }
    let older = count.saturating_sub(ids.len());
    let known = |id| control.snapshot_info(vm, id).map(|info| (id, info));
    (ids.into_iter().filter_map(known).collect(), older)
}

/// Where a snapshot comes from.
fn parent(vm: usize, info: &SnapshotInfo, control: &mut impl VmControl) -> String {
    match info.parent {
        None => String::new(),
        Some(id) if control.last_snapshot_to(vm, id) == Some(id) => alloc::format!("from #{id}"),
        Some(id) => alloc::format!("from #{id} (gone)"),
    }
}

struct Row {
    graph: String,
    lane: usize,
}

/// The graph in front of each line.
fn lanes(shown: &[(u64, SnapshotInfo)]) -> Vec<Row> {
    let parents: Vec<Option<usize>> = (0..shown.len()).map(|n| parent_row(shown, n)).collect();
    // Children that are to come.
    let mut children = vec![0; shown.len()];
    for parent in parents.iter().flatten() {
        children[*parent] += 1;
    }
    let mut open: Vec<bool> = Vec::new();
    let mut rows: Vec<Row> = Vec::with_capacity(shown.len());
    for (n, (_, info)) in shown.iter().enumerate() {
        let beside = parents[n].and_then(|parent| {
            children[parent] -= 1;
            let lane = rows[parent].lane;
            if children[parent] == 0 {
                open[lane] = false;
            }
            open[lane].then_some(lane)
        });
        let lane = match (parents[n], beside) {
            (Some(parent), None) => rows[parent].lane,
            _ => open.iter().position(|open| !open).unwrap_or(open.len()),
        };
        if lane == open.len() {
            open.push(false);
        }
        let mark = if info.is_current { '@' } else { 'o' };
        rows.push(Row {
            graph: graph(&open, lane, beside, mark),
            lane,
        });
        open[lane] = children[n] > 0;
    }
    rows
}

/// The row of a snapshot's parent, if it is shown.
fn parent_row(shown: &[(u64, SnapshotInfo)], row: usize) -> Option<usize> {
    let parent = shown[row].1.parent?;
    let older = &shown[..row];
    older.binary_search_by_key(&parent, |(id, _)| *id).ok()
}

/// One line: `mark` in `lane`, a stroke to it from the lane `beside`, and the other lanes that are open.
fn graph(open: &[bool], lane: usize, beside: Option<usize>, mark: char) -> String {
    let beside = beside.unwrap_or(lane);
    let stroke = beside.min(lane)..beside.max(lane);
    let mut line = String::new();
    for (n, open) in open.iter().enumerate() {
        let crossed = stroke.contains(&n) && n != beside;
        line.push(match (n == lane, open, crossed) {
            (true, ..) => mark,
            (_, true, true) => '+',
            (_, true, false) => '|',
            (_, false, true) => '-',
            (_, false, false) => ' ',
        });
        line.push(if stroke.contains(&n) { '-' } else { ' ' });
    }
    line.truncate(line.trim_end().len());
    line
}

/// A time, to the two largest units.
pub struct Age(
    /// Milliseconds.
    pub u64,
);

impl Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (seconds, minutes, hours) = (self.0 / 1000, self.0 / 60_000, self.0 / 3_600_000);
        match self.0 {
            0..1000 => write!(f, "{} ms", self.0),
            1000..60_000 => write!(f, "{seconds}.{} s", self.0 % 1000 / 100),
            60_000..3_600_000 => write!(f, "{minutes} min {} s", seconds % 60),
            3_600_000..86_400_000 => write!(f, "{hours} h {} min", minutes % 60),
            _ => write!(f, "{} d {} h", hours / 24, hours % 24),
        }
    }
}
