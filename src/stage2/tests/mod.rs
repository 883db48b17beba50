//! The tests of stage 2: the order of what is asked of the CPU, and each change on hardware at its worst.

mod fixed;
mod order;
mod worst;
