//! What makes two statements the same question.

use std::hash::{Hash, Hasher};

use lakebed_access::Principal;
use lakebed_types::{DatabaseName, Result};
use sha2::{Digest, Sha256};

use crate::{
    prepared::Parameters,
    sql::{Ast, Statement},
};

/// Statement, parameters and everything that is read, as a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

/// A query's syntax tree as a hash: spaces, comments and the case of words do not count, literals do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StatementDigest([u8; 32]);

impl StatementDigest {
    /// None for what is no query. Walks the tree, so it belongs on a thread with a large stack.
    pub(crate) fn of(statement: &Statement) -> Option<Self> {
        let Ast::Query(query) = &statement.ast else { return None };
        let mut hash = Sha256::new();
        // The tree leaves the places in the text out of its hash.
        query.hash(&mut Collector(&mut hash));
        Some(Self(hash.finalize().into()))
    }
}

/// What a statement was resolved to.
pub(crate) struct Reads<'a> {
    pub(crate) parameters: &'a Parameters,
    /// Where unqualified tables were looked up.
    pub(crate) database: &'a DatabaseName,
    pub(crate) who: &'a Principal,
    /// `database.table` or location and version, in the order of the statement.
    pub(crate) snapshots: &'a [(String, String)],
}

impl Key {
    pub(crate) fn new(statement: StatementDigest, reads: &Reads<'_>) -> Result<Self> {
        let mut hash = Sha256::new();
        hash.update(statement.0);
        let mut add = |part: &str| {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        };
        add(reads.database.as_str());
        // What is read was looked up as this principal, so its versions say what it may see. The role and the kind of its
        // grants are here so that no later right can be forgotten.
        add(reads.who.role().name());
        add(if reads.who.sees_everything() { "everything" } else { "grants" });
        add(match reads.parameters {
            Parameters::None => "none",
            Parameters::Positional(_) => "positional",
            Parameters::Named(_) => "named",
            Parameters::Row(_) => "row",
        });
        reads.parameters.parts()?.iter().for_each(|part| add(part));
        add("snapshots");
        for (name, version) in reads.snapshots {
            add(name);
            add(version);
        }
        Ok(Self(hash.finalize().into()))
    }
}

/// Feeds what a tree hashes into a hash that nobody can collide.
struct Collector<'a>(&'a mut Sha256);

impl Hasher for Collector<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
