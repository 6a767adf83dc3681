//! What is fuzzed: for every way in which bytes of strangers get into the product, a plain function that takes them.
//!
//! A target panics where its input does what no input may: a panic of our own code, a failure that is not the sender's, an
//! answer that another way of asking contradicts. Besides that it only has to come back. `cargo xtask fuzz` runs the targets
//! under libFuzzer; the tests of this crate replay `fuzz/corpus` and some seeded mutations of it, on stable.
//!
//! Only for tests: no other crate depends on it.

#![expect(clippy::panic, clippy::expect_used, reason = "a target says by a panic what it found")]

mod mutate;
mod panics;
#[cfg(feature = "engine")]
mod store;
mod targets;
#[cfg(feature = "engine")]
mod world;

pub use mutate::{Mutator, words};
pub use targets::{TARGETS, Target, target};
