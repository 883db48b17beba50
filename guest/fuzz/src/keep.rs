//! Keeps what is found: inputs of the queue, crashes and hangs as files, figures.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use libafl::corpus::{Corpus, CorpusId, SchedulerTestcaseMetadata};
use libafl::feedbacks::map::MapFeedbackMetadata;
use libafl::schedulers::minimizer::IsFavoredMetadata;
use libafl::schedulers::powersched::SchedulerMetadata;
use libafl::state::{HasCorpus, HasExecutions, HasSolutions};
use libafl::{HasMetadata, HasNamedMetadata};

use crate::endings::Endings;
use crate::exchange::{Exchange, Sums};
use crate::names::{self, Origin};
use crate::options::Options;
use crate::others::Others;
use crate::report::{Figures, Report};
use crate::state::{State, Wishes};
use crate::target::{Costs, Ending, Output};

/// What was kept so far.
pub struct Keeper<'a, O> {
    output: &'a mut O,
    report: Report,
    options: Options,
    map_feedback: Cow<'static, str>,
    /// The seed that is tried, and that no ending is to be kept of, as it is of an earlier run.
    seed: Option<(String, bool)>,
    /// Where what is tried came from, if another fuzzer gave it.
    given: Option<Origin>,
    exchange: Exchange,
    others: Others,
    /// Names of the queue's files, in the order of their numbers.
    queue: Vec<String>,
    solutions: usize,
    figures: Figures,
}

impl<'a, O: Output> Keeper<'a, O> {
    /// Nothing so far, at the moment `now`. `map_feedback` is what LibAFL calls what it knows of edges.
    pub fn new(
        output: &'a mut O,
        options: &Options,
        map_feedback: Cow<'static, str>,
        map_bytes: usize,
        exchange: Exchange,
        now: u64,
    ) -> Self {
        Self {
            output,
            report: Report::new(options, now),
            options: options.clone(),
            map_feedback,
            seed: None,
            given: None,
            exchange,
            others: Others::new(&options.given),
            queue: Vec::new(),
            solutions: 0,
            figures: Figures {
                map_bytes,
                ..Figures::default()
            },
        }
    }

    /// A file of this name is tried next. One that `is_old` was a crash or a hang of an earlier run, and is a file already.
    pub fn begin_seed(&mut self, name: &str, is_old: bool) {
        self.seed = Some((name.into(), is_old));
    }

    /// How the jobs of the campaign talk.
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// All seeds were tried.
    pub fn end_seeds(&mut self) {
        self.seed = None;
    }

    /// The next input that another job gave, or that a fuzzer on another machine found. It is tried next. Once there is none, what follows is this job's own.
    pub fn take_given(&mut self) -> Option<Vec<u8>> {
        let given = self.exchange.take().map(|input| (Origin::Given, input));
        let given = given.or_else(|| {
            let now = self.report.elapsed();
            self.others.take(&mut *self.output, now)
        });
        let (origin, mut input) = given.unzip();
        self.given = origin;
        if let Some(input) = &mut input {
            input.truncate(self.options.longest);
        }
        input
    }

    /// A round ended.
    pub fn count(&mut self, ending: Ending) {
        match ending {
            Ending::Done => {}
            Ending::Hang => self.figures.hangs += 1,
            Ending::Crash { .. } | Ending::Reset | Ending::Off => self.figures.crashes += 1,
        }
    }

    /// Writes what is new in `state` to files.
    pub fn keep(&mut self, state: &State, endings: &Endings, wishes: &Wishes) {
        while self.queue.len() < state.corpus().count() {
            let number = self.queue.len();
            let name = self.name(state, number, None, wishes);
            self.queue.push(name);
            self.figures.imported += usize::from(self.given.is_some());
            // A file of an earlier run is in the archive of all jobs. What is from another machine only one of them reads.
            if self.given != Some(Origin::Given) && self.seed.is_none() {
                self.exchange.give(&self.input(state.corpus(), number));
            }
            self.write_queue(state, number);
            self.figures.last_find = self.report.elapsed();
        }
        if let Some(number) = wishes.changed.take() {
            self.write_queue(state, number);
        }
        while self.solutions < state.solutions().count() {
            self.keep_solution(state, endings.found(self.solutions), wishes);
            self.solutions += 1;
        }
    }

    fn keep_solution(&mut self, state: &State, ending: Ending, wishes: &Wishes) {
        let is_old = self.seed.as_ref().is_some_and(|(_, is_old)| *is_old);
        let (folder, signal, count, last) = match ending {
            Ending::Hang => {
                let figures = &mut self.figures;
                (
                    "hangs",
                    None,
                    &mut figures.saved_hangs,
                    &mut figures.last_hang,
                )
            }
            _ => {
                let figures = &mut self.figures;
                let (count, last) = (&mut figures.saved_crashes, &mut figures.last_crash);
                // As AFL++ would have seen it: SIGABRT, or SIGKILL where the machine is gone.
                let signal = if matches!(ending, Ending::Crash { .. }) {
                    6
                } else {
                    9
                };
                ("crashes", Some(signal), count, last)
            }
        };
        let number = *count;
        *count += 1;
        if is_old {
            return;
        }
        *last = self.report.elapsed();
        let name = self.name(state, number, signal, wishes);
        let bytes = self.input(state.solutions(), self.solutions);
        self.output.write(&format!("{folder}/{name}"), &bytes);
        self.report.found(&mut *self.output, ending, folder, &name);
        self.figures.ends |= self.options.until_crash && folder == "crashes";
    }

    fn name(&self, state: &State, number: usize, signal: Option<u8>, wishes: &Wishes) -> String {
        let origin = match (&self.seed, &self.given) {
            (Some((name, _)), _) => Origin::Seed(name.clone()),
            (None, Some(given)) => given.clone(),
            (None, None) => Origin::Changed {
                from: state.corpus().current().map_or(0, usize::from),
                by: wishes.stage.get(),
            },
        };
        let ms = self.report.elapsed() / 1_000_000;
        names::input(number, signal, &origin, ms, *state.executions())
    }

    fn write_queue(&mut self, state: &State, number: usize) {
        let bytes = self.input(state.corpus(), number);
        self.output
            .write(&format!("queue/{}", self.queue[number]), &bytes);
    }

    fn input(&self, corpus: &impl Corpus<libafl::inputs::BytesInput>, number: usize) -> Vec<u8> {
        let testcase = corpus.get(CorpusId(number));
        let testcase = testcase.expect("inputs are numbered in their order, and none goes");
        let input = testcase.borrow().input().clone();
        input.expect("all inputs are in memory").into()
    }

    /// Shows the figures if it is time, or `anyway`. Returns whether the run is to go on.
    pub fn report(&mut self, state: &State, now: u64, costs: Costs, anyway: bool) -> bool {
        let rounds = *state.executions();
        if self.report.is_time(now, rounds) || anyway {
            let covered = state
                .named_metadata_map()
                .get::<MapFeedbackMetadata<u8>>(&self.map_feedback);
            let figures = &mut self.figures;
            figures.rounds = rounds;
            figures.costs = costs;
            figures.corpus = state.corpus().count();
            figures.current = state.corpus().current().map_or(0, usize::from);
            look_at_queue(state, figures);
            figures.edges = covered.map_or(0, |metadata| metadata.num_covered_map_indexes);
            let sums = self.exchange.publish(Sums {
                rounds,
                saved: (figures.saved_crashes + figures.saved_hangs) as u64,
                crashes: figures.crashes,
                hangs: figures.hangs,
            });
            self.report
                .write(&mut *self.output, figures, sums.rounds, anyway);
        }
        let Options {
            rounds: most,
            seconds,
            ..
        } = self.options;
        let is_over = (most != 0 && rounds >= most)
            || (seconds != 0 && self.report.elapsed() >= seconds * 1_000_000_000);
        if self.figures.ends {
            self.exchange.end_all();
        }
        !(is_over || self.figures.ends || self.exchange.ends())
    }
}

/// What the scheduler knows of the inputs.
fn look_at_queue(state: &State, figures: &mut Figures) {
    let schedule = state.metadata_map().get::<SchedulerMetadata>();
    figures.cycles = schedule.map_or(0, SchedulerMetadata::queue_cycles);
    (figures.favored, figures.pending, figures.pending_favored) = (0, 0, 0);
    for id in state.corpus().ids() {
        let testcase = state.corpus().get(id);
        let testcase = testcase.expect("it is there").borrow();
        let is_favored = testcase.has_metadata::<IsFavoredMetadata>();
        let is_pending = testcase.scheduled_count() == 0;
        figures.favored += usize::from(is_favored);
        figures.pending += usize::from(is_pending);
        figures.pending_favored += usize::from(is_favored && is_pending);
        let scheduled = testcase.metadata_map().get::<SchedulerTestcaseMetadata>();
        figures.depth = figures
            .depth
            .max(scheduled.map_or(0, SchedulerTestcaseMetadata::depth));
    }
}
