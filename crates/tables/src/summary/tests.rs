//! Tests of file summaries.
