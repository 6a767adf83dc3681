//! What tests of several crates need: a lake on disk, a real S3 server, a clock that stands still.
#![allow(missing_docs, clippy::todo)] // skeleton
