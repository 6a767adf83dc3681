//! Answers that are given again while nothing they were read from has changed.
//!
//! The key is made after the statement was looked up as its principal and planned: the syntax tree, the parameters, and the
//! version of every snapshot and view that is read. So an answer can be neither stale nor one that its reader may not see,
//! and what changes a table needs not know of this cache: its next snapshot has another version. Statements whose answer
//! may be another one next time have no key.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::SchemaRef,
};
use lakebed_types::{Result, ResultCacheUse};
use metrics::{counter, gauge};
use moka::future::Cache;

use crate::{error::from_arrow, stats::StatsHandle};

mod copy;
mod key;
#[cfg(test)]
mod tests;

pub(crate) use copy::AnswerCopy;
pub(crate) use key::{Key, Reads, StatementDigest};

/// What a request allows of the result cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CachePolicy {
    /// Takes a kept answer, and keeps one.
    #[default]
    Use,
    /// Runs, and keeps the answer in place of an older one.
    Refresh,
    /// Runs, and keeps nothing.
    Bypass,
}

/// Parts of the cache's memory for copies that are still being made, and for one answer.
const UNDER_WAY: u64 = 4;
const ONE_ANSWER: u64 = 8;
/// Taken by an answer beside its batches.
const ANSWER_BYTES: usize = 1024;

/// The answers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ResultCache {
    inner: Option<Inner>,
}

#[derive(Clone)]
struct Inner {
    answers: Cache<Key, Arc<Answer>>,
    /// Bytes of the copies that are being made, and how many these may be.
    under_way: Arc<AtomicU64>,
    under_way_bytes: u64,
    answer_bytes: u64,
}

/// All rows of a result.
#[derive(Debug)]
struct Answer {
    batches: Vec<RecordBatch>,
    bytes: u64,
}

/// What a prepared query may do with the cache.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    pub(crate) key: Key,
    pub(crate) policy: CachePolicy,
}

impl ResultCache {
    /// A cache of at most this many bytes, copies that are being made included; 0 keeps nothing.
    pub(crate) fn new(bytes: u64) -> Self {
        let under_way_bytes = bytes / UNDER_WAY;
        let answers = Cache::builder().max_capacity(bytes - under_way_bytes).weigher(weight);
        let answers = answers.eviction_listener(|key, answer, _| {
            gauge!("lakebed_result_cache_size_bytes").decrement(weight(&key, &answer));
        });
        let inner = Inner {
            answers: answers.build(),
            under_way: Arc::default(),
            under_way_bytes,
            answer_bytes: bytes / ONE_ANSWER,
        };
        Self { inner: (bytes > 0).then_some(inner) }
    }

    /// The kept answer, its columns under the names of `schema`. Notes in the statistics what came of asking.
    pub(crate) async fn answer(
        &self,
        ticket: Option<Ticket>,
        schema: &SchemaRef,
        stats: &StatsHandle,
    ) -> Result<Option<Vec<RecordBatch>>> {
        let ticket = ticket.filter(|ticket| ticket.policy == CachePolicy::Use);
        let (Some(inner), Some(ticket)) = (&self.inner, ticket) else {
            counter!("lakebed_result_cache_bypasses_total").increment(1);
            return Ok(None);
        };
        let found = inner.answers.get(&ticket.key).await;
        match &found {
            Some(answer) => {
                stats.set_result_cache(ResultCacheUse::Hit);
                counter!("lakebed_result_cache_hits_total").increment(1);
                counter!("lakebed_result_cache_bytes_total").increment(answer.bytes);
            }
            None => {
                stats.set_result_cache(ResultCacheUse::Miss);
                counter!("lakebed_result_cache_misses_total").increment(1);
            }
        }
        found.map(|answer| answer.named(schema)).transpose()
    }

    /// A copy of the answer that is about to be made, if it may be kept.
    pub(crate) fn copy(&self, ticket: Option<Ticket>) -> Option<AnswerCopy> {
        let ticket = ticket.filter(|ticket| ticket.policy != CachePolicy::Bypass)?;
        let inner = self.inner.as_ref()?;
        Some(AnswerCopy::new(inner.under_way.clone(), inner.under_way_bytes, inner.answer_bytes, ticket.key))
    }

    /// Keeps a copy that is whole.
    pub(crate) async fn keep(&self, copy: Option<AnswerCopy>) {
        let (Some(inner), Some(copy)) = (&self.inner, copy) else { return };
        let Some((key, batches, bytes)) = copy.finish() else { return };
        let answer = Arc::new(Answer { batches, bytes });
        gauge!("lakebed_result_cache_size_bytes").increment(weight(&key, &answer));
        inner.answers.insert(key, answer).await;
        inner.answers.run_pending_tasks().await;
    }

    /// Bytes in use, once all that is pending is done.
    #[cfg(test)]
    async fn size_bytes(&self) -> u64 {
        let Some(inner) = &self.inner else { return 0 };
        inner.answers.run_pending_tasks().await;
        inner.answers.weighted_size() + inner.under_way.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for ResultCache {
    /// Leaves the answers out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner.as_ref();
        let (kept, under_way) =
            inner.map_or((0, 0), |inner| (inner.answers.weighted_size(), inner.under_way.load(Ordering::Relaxed)));
        write!(f, "ResultCache({kept} bytes, {under_way} under way)")
    }
}

fn weight(_key: &Key, answer: &Arc<Answer>) -> u32 {
    u32::try_from(answer.bytes.saturating_add(ANSWER_BYTES as u64)).unwrap_or(u32::MAX)
}

impl Answer {
    /// The same statement may name its columns in another spelling.
    fn named(&self, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
        let named = |batch: &RecordBatch| {
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            RecordBatch::try_new_with_options(schema.clone(), batch.columns().to_vec(), &options).map_err(from_arrow)
        };
        self.batches.iter().map(named).collect()
    }
}
