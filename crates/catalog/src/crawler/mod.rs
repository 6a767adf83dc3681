//! The crawler: from the files below one location to tables, with a report that explains every decision.
//!
//! `layout` decides from paths, kinds and columns alone, so the same files give the same tables everywhere; `naming` gives
//! the tables their names; `compare` tells
//! what is new, changed and gone; `run` surveys and commits; `report` is what it says.

mod compare;
pub(crate) mod layout;
mod naming;
pub(crate) mod report;
mod run;
mod runs;
