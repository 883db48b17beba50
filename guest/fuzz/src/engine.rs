//! Puts LibAFL's parts together.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use libafl::corpus::{Corpus, InMemoryCorpus};
use libafl::events::NopEventManager;
use libafl::executors::ExitKind;
use libafl::feedbacks::MaxMapFeedback;
use libafl::fuzzer::{Evaluator, ExecutesInput, Fuzzer, StdFuzzer};
use libafl::inputs::BytesInput;
use libafl::mutators::{HavocScheduledMutator, Tokens, havoc_mutations, tokens_mutations};
use libafl::observers::{CanTrack, HitcountsMapObserver, StdMapObserver};
use libafl::schedulers::powersched::PowerSchedule;
use libafl::schedulers::{IndexesLenTimeMinimizerScheduler, StdWeightedScheduler};
use libafl::stages::{CalibrationStage, StdPowerMutationalStage};
use libafl::state::{HasCorpus, HasMaxSize, StdState};
use libafl::{Error, HasMetadata, feedback_and_fast};
use libafl_bolts::Named;
use libafl_bolts::rands::StdRand;
use libafl_bolts::tuples::{Merge, tuple_list};

use crate::archive;
use crate::endings::{Endings, IsDone, IsNew};
use crate::exchange::Exchange;
use crate::keep::Keeper;
use crate::options::Options;
use crate::registry;
use crate::rounds::Rounds;
use crate::stages::{Compare, Insert, Shorten};
use crate::state::Wishes;
use crate::target::{Output, Target};

/// What is tried where there is no seed.
const SEED: [u8; 16] = [0; 16];
/// The first seed is run so often before it counts, as long as it takes too long.
const FIRST_TRIES: usize = 3;
/// An input is changed in 2 to 2^STACK ways at once: more seldom leave anything of what has a structure.
const STACK: usize = 3;
/// The file of an archive that has tokens.
const DICTIONARY: &str = "dictionary";

/// Fuzzes `target`, which uses `map_bytes` of its map, with what `archive` has and other jobs give, until `options` say that it is enough. An error is a text for
/// the user.
pub fn run<T: Target, O: Output>(
    target: &mut T,
    map_bytes: usize,
    options: &Options,
    archive: &[u8],
    exchange: Exchange,
    output: &mut O,
) -> Result<(), String> {
    registry::fill();
    match fuzz(target, map_bytes, options, archive, exchange, output) {
        Ok(()) | Err(Error::ShuttingDown) => Ok(()),
        Err(error) => Err(alloc::format!("{error}")),
    }
}

fn fuzz<T: Target, O: Output>(
    target: &mut T,
    map_bytes: usize,
    options: &Options,
    archive: &[u8],
    exchange: Exchange,
    output: &mut O,
) -> Result<(), Error> {
    // SAFETY: the map is in the window, which stays, and which nobody else touches between rounds.
    let map = unsafe { StdMapObserver::from_mut_ptr("edges", target.window().map(), map_bytes) };
    let edges = HitcountsMapObserver::new(map).track_indices();
    let map_feedback = MaxMapFeedback::new(&edges);
    let map_name = map_feedback.name().clone();
    let calibrate = CalibrationStage::new(&map_feedback);
    let endings = Endings::new();
    let mut feedback = feedback_and_fast!(IsDone, map_feedback);
    let mut objective = IsNew(endings.clone());
    let mut state = StdState::new(
        StdRand::with_seed(options.seed + options.job as u64),
        InMemoryCorpus::new(),
        InMemoryCorpus::new(),
        &mut feedback,
        &mut objective,
    )?;
    state.set_max_size(options.longest);
    let power =
        StdWeightedScheduler::with_schedule(&mut state, &edges, Some(PowerSchedule::fast()));
    let scheduler = IndexesLenTimeMinimizerScheduler::new(&edges, power);
    let mut fuzzer = StdFuzzer::new(scheduler, feedback, objective);
    let mut events = NopEventManager::new();
    let keeper = Keeper::new(output, options, map_name, map_bytes, exchange, target.now());
    let wishes = Rc::new(Wishes::default());
    let observers = tuple_list!(edges);
    let mut rounds = Rounds::new(target, map_bytes, observers, endings, wishes, keeper);

    let mut tokens = Tokens::new();
    // The first round may take long for what has nothing to do with its input: an emulator translates the program then.
    let mut tries = FIRST_TRIES;
    for (name, bytes) in seeds(archive) {
        if name == DICTIONARY {
            let read = archive::tokens(bytes).map_err(|line| {
                Error::illegal_argument(alloc::format!("dictionary, line {line}: no token"))
            })?;
            tokens.add_tokens(read.iter());
            continue;
        }
        let is_old = name.starts_with("crashes/") || name.starts_with("hangs/");
        let input = BytesInput::new(bytes[..bytes.len().min(options.longest)].to_vec());
        rounds.begin_seed(name, is_old);
        while tries > 0 && !is_old {
            let exit = fuzzer.execute_input(&mut state, &mut rounds, &mut events, &input)?;
            tries = if exit == ExitKind::Timeout {
                tries - 1
            } else {
                0
            };
        }
        fuzzer.evaluate_input(&mut state, &mut rounds, &mut events, &input)?;
        rounds.keep(&state, false)?;
    }
    rounds.end_seeds();
    if state.corpus().count() == 0 {
        rounds.keep(&state, true)?;
        return Err(Error::illegal_argument(
            "no seed lets the target come to its end (LIMIT_MS says how long it may take)",
        ));
    }
    state.add_metadata(tokens);

    let mutations = havoc_mutations().merge(tokens_mutations());
    let mutator = HavocScheduledMutator::with_max_stack_pow(mutations, STACK);
    let mut stages = tuple_list!(
        Shorten,
        calibrate,
        Compare,
        Insert,
        StdPowerMutationalStage::new(mutator),
    );
    rounds.wishes().stage.set("havoc");
    loop {
        while let Some(given) = rounds.take_given() {
            let input = BytesInput::new(given);
            fuzzer.evaluate_input(&mut state, &mut rounds, &mut events, &input)?;
            rounds.keep(&state, false)?;
        }
        let done = fuzzer.fuzz_one(&mut stages, &mut rounds, &mut state, &mut events);
        let goes_on = rounds.keep(&state, done.is_err());
        done?;
        goes_on?;
    }
}

/// The files of an archive, those of the queue last: what a seed has found before is then found again by it. One of zeros, if there is none.
fn seeds(archive: &[u8]) -> Vec<(&str, &[u8])> {
    let mut files: Vec<_> = archive::files(archive).collect();
    if files.iter().all(|(name, _)| *name == DICTIONARY) {
        files.push(("zeros", &SEED));
    }
    files
}
