//! The fuzzer: everything but hypercalls and files, which `main.rs` has.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`options`] | what the command line says |
//! | [`archive`] | the initial RAM disk: seeds, what an earlier run found, a dictionary |
//! | [`target`] | what a target is to the rest |
//! | [`rounds`] | runs one input: LibAFL's executor |
//! | [`state`] | what the parts share |
//! | [`endings`] | which crashes and hangs are new |
//! | [`stages`] | what LibAFL lacks: inputs made shorter, comparisons fed back |
//! | [`engine`] | puts LibAFL's parts together |
//! | [`exchange`] | what the fuzzers of one campaign tell each other |
//! | [`others`] | what fuzzers on other machines found |
//! | [`keep`] | keeps what is found |
//! | [`names`] | files' names, as AFL++ has them |
//! | [`pace`] | LibAFL's clock |
//! | [`replay`] | runs one input and tells how it ended |
//! | [`report`] | figures: the screen, a line for a log, AFL++'s `fuzzer_stats` and `plot_data` |
//! | [`layout`] | the window that fuzzer and target share |

#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod archive;
pub mod endings;
pub mod engine;
pub mod exchange;
pub mod keep;
#[path = "../../src/fuzz/layout.rs"]
pub mod layout;
pub mod names;
pub mod options;
pub mod others;
pub mod pace;
mod registry;
pub mod replay;
pub mod report;
pub mod rounds;
pub mod stages;
pub mod state;
pub mod target;

#[cfg(test)]
mod tests;
