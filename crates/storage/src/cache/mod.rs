//! Blocks of remote objects, kept in memory for readers that say which version of an object they want.
//!
//! What is not there is fetched in runs of neighbouring blocks. Whoever wants a block that is on its way waits for it
//! ([`flight`]), so that a block is asked for once however many readers want it.

mod blocks;
mod flight;
mod store;

#[cfg(test)]
mod tests;

pub(crate) use blocks::{BlockCache, StoreBlocks};
pub(crate) use store::CachedStore;
