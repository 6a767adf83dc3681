//! Tests of schema merging.
