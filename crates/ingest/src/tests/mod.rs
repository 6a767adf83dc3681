//! The service as its callers see it.

mod appends;
mod crashes;
mod flushes;
mod formats;
mod rules;
mod stores;
mod tables;
mod world;
