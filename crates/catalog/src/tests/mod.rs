//! The catalog over real folders: what a user of it would notice.

mod crawling;
mod declaring;
mod delta;
mod lake;
mod looking;
mod reopening;
