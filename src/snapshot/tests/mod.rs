//! The tests of the snapshot logic, and what they are made of.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `histories`, `worst` | random histories, on the model and on real tables that hardware at its worst walks |
//! | `cases` | single histories, each for one promise |
//! | `look` | random histories, and what each snapshot and each difference looks like |
//! | `forms` | restores from each form of a map to each other |
//! | `written_back` | pages that a restore leaves writable |
//! | `deferred` | what a restore leaves for later |
//! | `history` | what operations cost as the history grows |
//! | `pieces` | what is done in pieces, while the guest may run |
//! | `way_back` | the step back to the snapshot before |
//! | `parts` | nodes, ids, saved states and the least share, each by itself |
//! | `pair` | a VM and, beside it, a naive one that copies all memory at each checkpoint: the two must agree |
//! | `model` | the backend that the tests can look into |
//! | `audit` | what must hold after every step |

mod audit;
mod cases;
mod deferred;
mod forms;
mod histories;
mod history;
mod look;
mod model;
mod pair;
mod parts;
mod pieces;
mod way_back;
mod worst;
mod written_back;
