//! Figures: the screen, a plain line for a log, AFL++'s `fuzzer_stats` and `plot_data`.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use crate::options::Options;
use crate::target::{Costs, Ending, Output};

const SECOND: u64 = 1_000_000_000;
/// How often the screen is drawn anew.
const SCREEN: u64 = SECOND / 2;
/// How often there is a line, and the files are written.
const LINE: u64 = 10 * SECOND;
/// The columns of `plot_data` (AFL++ 4.00 and later).
const COLUMNS: &str = "# relative_time, cycles_done, cur_item, corpus_count, pending_total, pending_favs, map_size, saved_crashes, saved_hangs, \
    max_depth, execs_per_sec, total_execs, edges_found\n";

/// What there is to tell. Times are nanoseconds since the start; 0: never.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Inputs run.
    pub rounds: u64,
    /// Inputs kept to go on with.
    pub corpus: usize,
    /// The one that is changed now.
    pub current: usize,
    /// Of those kept, which are tried first, as each edge has one of them that is short and fast.
    pub favored: usize,
    /// Those that were not changed yet.
    pub pending: usize,
    /// The favored ones among them.
    pub pending_favored: usize,
    /// How often all of them had their turn.
    pub cycles: u64,
    /// The longest way from a seed to one of them, in inputs that each were made of the one before.
    pub depth: u64,
    /// Those that came from other jobs.
    pub imported: usize,
    /// Edges that were taken.
    pub edges: usize,
    /// Bytes of the map.
    pub map_bytes: usize,
    /// Crashes of which each is different.
    pub saved_crashes: usize,
    /// Hangs of which each is different.
    pub saved_hangs: usize,
    /// All crashes.
    pub crashes: u64,
    /// All hangs.
    pub hangs: u64,
    /// When an input was kept last.
    pub last_find: u64,
    /// When a crash was.
    pub last_crash: u64,
    /// When a hang was.
    pub last_hang: u64,
    /// What rounds cost.
    pub costs: Costs,
    /// The run is to end now.
    pub ends: bool,
}

/// When which figures were shown.
pub struct Report {
    name: String,
    screen: bool,
    limit: u64,
    epoch: u64,
    process: u64,
    job: usize,
    jobs: usize,
    start: u64,
    now: u64,
    /// When, and how many rounds there were then.
    shown: (u64, u64),
    lined: (u64, u64),
    /// Rounds a second between the last two lines.
    recent: u64,
}

impl Report {
    /// Nothing was shown so far; the run begins at the moment `now`.
    pub fn new(options: &Options, now: u64) -> Self {
        Self {
            name: options.name.clone(),
            screen: options.screen,
            limit: options.limit,
            epoch: options.epoch,
            process: options.process,
            job: options.job,
            jobs: options.jobs,
            start: now,
            now,
            shown: (now, 0),
            lined: (now, 0),
            recent: 0,
        }
    }

    /// Nanoseconds since the start, as far as `is_time` was told.
    pub fn elapsed(&self) -> u64 {
        self.now - self.start
    }

    /// Whether it is time to show figures again, at the moment `now`.
    pub fn is_time(&mut self, now: u64, _rounds: u64) -> bool {
        self.now = now;
        now - self.lined.0 >= LINE || (self.screen && now - self.shown.0 >= SCREEN)
    }

    /// Shows what it is time for; at the end, everything.
    pub fn write(
        &mut self,
        output: &mut impl Output,
        figures: &Figures,
        all_rounds: u64,
        at_end: bool,
    ) {
        // One job has the screen, and figures of all.
        if self.screen && self.job == 0 {
            output.show(&self.screen_of(figures, all_rounds));
        }
        self.shown = (self.now, all_rounds);
        if !at_end && self.now - self.lined.0 < LINE {
            return;
        }
        // Right behind another line there is nothing to count yet.
        if self.now - self.lined.0 >= SECOND || self.recent == 0 {
            self.recent = per_second(figures.rounds - self.lined.1, self.now - self.lined.0);
        }
        if !self.screen {
            let line = self.line(figures);
            let line = match self.jobs {
                1 => format!("fuzz: {line}\n"),
                jobs => format!(
                    "fuzz {}: {line}; all {jobs} jobs: {all_rounds} rounds\n",
                    self.job
                ),
            };
            output.show(&line);
        }
        if self.lined.1 == 0 {
            output.write("plot_data", COLUMNS.as_bytes());
        }
        output.append("plot_data", self.plot(figures).as_bytes());
        output.write("fuzzer_stats", self.stats(figures).as_bytes());
        self.lined = (self.now, figures.rounds);
    }

    /// A crash or a hang was kept.
    pub fn found(&self, output: &mut impl Output, ending: Ending, folder: &str, name: &str) {
        if !self.screen {
            let seconds = self.elapsed() / SECOND;
            output.show(&format!(
                "fuzz: {seconds} s: {ending:x?}: {folder}/{name}\n"
            ));
        }
    }

    /// The line of a log.
    pub fn line(&self, figures: &Figures) -> String {
        let Figures {
            rounds,
            corpus,
            edges,
            ..
        } = figures;
        let (target, hypervisor, fuzzer) = self.shares(figures);
        format!(
            "{} s: {rounds} rounds, {}/s, {edges} edges, corpus {corpus}, crashes {} ({}), hangs {} ({}), {} pages a round, \
             time: target {target} %, hypervisor {hypervisor} %, fuzzer {fuzzer} %",
            self.elapsed() / SECOND,
            self.recent,
            figures.saved_crashes,
            figures.crashes,
            figures.saved_hangs,
            figures.hangs,
            figures.costs.pages,
        )
    }

    /// The screen: as many lines each time, drawn over what was there.
    fn screen_of(&self, figures: &Figures, all_rounds: u64) -> String {
        let recent = per_second(all_rounds - self.shown.1, self.now - self.shown.0);
        let whole = per_second(all_rounds, self.elapsed());
        let (target, hypervisor, fuzzer) = self.shares(figures);
        let ago = |moment: u64| match moment {
            0 => String::from("none yet"),
            moment => format!("the last {} ago", duration(self.now - self.start - moment)),
        };
        // The first time, what was there goes.
        let is_first = self.shown.1 == 0;
        let mut screen = String::from(if is_first { "\x1b[2J\x1b[H" } else { "\x1b[H" });
        let mut line = |text: String| {
            // To the end of the line there may be what was there before.
            let _ = writeln!(screen, "{text}\x1b[K");
        };
        line(format!(
            "\x1b[1mavisor fuzz: {}\x1b[0m   {}",
            self.name,
            duration(self.elapsed())
        ));
        line(String::new());
        line(format!(
            "  rounds    {:>12}   {recent}/s now, {whole}/s in all",
            all_rounds
        ));
        line(format!(
            "  edges     {:>12}   of {} bytes of map",
            figures.edges, figures.map_bytes
        ));
        line(format!(
            "  corpus    {:>12}   {}",
            figures.corpus,
            ago(figures.last_find)
        ));
        line(format!(
            "  crashes   {:>12}   of {}, {}",
            figures.saved_crashes,
            figures.crashes,
            ago(figures.last_crash)
        ));
        line(format!(
            "  time-outs {:>12}   of {}, {}",
            figures.saved_hangs,
            figures.hangs,
            ago(figures.last_hang)
        ));
        line(format!(
            "  pages     {:>12}   dirtied a round",
            figures.costs.pages
        ));
        line(format!(
            "  time         target {target} %, hypervisor {hypervisor} %, fuzzer {fuzzer} %"
        ));
        line(String::new());
        line(String::from(
            "  Ctrl-C ends it; the next run goes on from there.",
        ));
        screen.push_str("\x1b[J");
        screen
    }

    /// Where the time went, in percent: target, hypervisor, fuzzer.
    fn shares(&self, figures: &Figures) -> (u64, u64, u64) {
        let percent = |part: u64| part * 100 / self.elapsed().max(1);
        let target = percent(figures.costs.target).min(100);
        let hypervisor = percent(figures.costs.hypervisor).min(100 - target);
        (target, hypervisor, 100 - target - hypervisor)
    }

    fn plot(&self, figures: &Figures) -> String {
        format!(
            "{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}.00, {}, {}\n",
            self.elapsed() / SECOND,
            figures.cycles,
            figures.current,
            figures.corpus,
            figures.pending,
            figures.pending_favored,
            self.coverage(figures),
            figures.saved_crashes,
            figures.saved_hangs,
            figures.depth,
            self.recent,
            figures.rounds,
            figures.edges,
        )
    }

    fn coverage(&self, figures: &Figures) -> String {
        let hundredths = figures.edges as u64 * 10_000 / figures.map_bytes.max(1) as u64;
        format!("{}.{:02}%", hundredths / 100, hundredths % 100)
    }

    fn stats(&self, figures: &Figures) -> String {
        let seconds = self.elapsed() / SECOND;
        let when = |moment: u64| {
            if moment == 0 {
                0
            } else {
                self.epoch + moment / SECOND
            }
        };
        let mut text = String::new();
        let mut line = |key: &str, value: String| {
            let _ = writeln!(text, "{key:<18}: {value}");
        };
        let number = |key: u64| format!("{key}");
        line("start_time", number(self.epoch));
        line("last_update", number(self.epoch + seconds));
        line("run_time", number(seconds));
        line("fuzzer_pid", number(self.process));
        line("cycles_done", number(figures.cycles));
        line("execs_done", number(figures.rounds));
        line(
            "execs_per_sec",
            format!("{}.00", per_second(figures.rounds, self.elapsed())),
        );
        line("execs_ps_last_min", format!("{}.00", self.recent));
        line("corpus_count", number(figures.corpus as u64));
        line("corpus_favored", number(figures.favored as u64));
        line(
            "corpus_found",
            number((figures.corpus - figures.imported) as u64),
        );
        line("corpus_imported", number(figures.imported as u64));
        // Each round begins with the same machine.
        line("corpus_variable", number(0));
        line("max_depth", number(figures.depth));
        line("cur_item", number(figures.current as u64));
        line("pending_favs", number(figures.pending_favored as u64));
        line("pending_total", number(figures.pending as u64));
        line("stability", "100.00%".into());
        line("bitmap_cvg", self.coverage(figures));
        line("saved_crashes", number(figures.saved_crashes as u64));
        line("saved_hangs", number(figures.saved_hangs as u64));
        line("total_tmout", number(figures.hangs));
        line("last_find", number(when(figures.last_find)));
        line("last_crash", number(when(figures.last_crash)));
        line("last_hang", number(when(figures.last_hang)));
        line("exec_timeout", number(self.limit / 1_000_000));
        line("edges_found", number(figures.edges as u64));
        line("total_edges", number(figures.map_bytes as u64));
        line("afl_banner", self.name.clone());
        line("afl_version", "avisor".into());
        line("target_mode", "avisor".into());
        line("command_line", format!("make fuzz TARGET={}", self.name));
        text
    }
}

fn per_second(count: u64, time: u64) -> u64 {
    (u128::from(count) * u128::from(SECOND) / u128::from(time.max(1))) as u64
}

fn duration(time: u64) -> String {
    let seconds = time / SECOND;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}
