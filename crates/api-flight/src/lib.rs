//! Arrow Flight and Flight SQL on a port of their own.
//!
//! Decodes a call, asks the façade of `query`, encodes its batches. Knows the protocol and no engine: statements, limits,
//! principals and statistics are those of every other API.
