//! Removing versions of the log that a checkpoint has stood for long enough.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lakebed_storage::Mode;
use lakebed_types::{Error, ErrorKind, Result};
use object_store::path::Path;

use super::{
    checkpoint,
    log::{Kind, LogFile},
    state::DeltaState,
    table::DeltaTable,
};

/// For how long a version can be read where the table does not say: Delta's custom.
const KEPT_FOR: Duration = Duration::from_secs(30 * DAY);
/// Never less than this, whatever the table says: a node that was away for less than that goes on from where it was.
const KEPT_AT_LEAST: Duration = Duration::from_secs(DAY);
const DAY: u64 = 24 * 3600;
/// Longer times than this, in seconds, mean for ever: a calendar ends somewhere.
const LONGEST: u64 = 100 * 365 * DAY;

/// The table's own entries for it.
const RETENTION: &str = "delta.logRetentionDuration";
const IS_ON: &str = "delta.enableExpiredLogCleanup";

impl DeltaTable {
    /// Removes commits and checkpoints from the log that are older than the table's `delta.logRetentionDuration`, 30 days by
    /// default, and that no version younger than that needs. The newest checkpoint, the hint to it and all that comes after
    /// it stay. How many objects were removed. One node at a time suffices.
    ///
    /// # Errors
    /// `corrupt_file` where the newest checkpoint cannot be read: nothing is removed then. The store's.
    pub async fn clean_log(&self) -> Result<u64> {
        self.storage.check(&self.location, Mode::ReadWrite)?;
        let state = self.refresh().await?;
        let Some(kept_for) = kept_for(&state) else { return Ok(0) };
        let Some(last) = self.log.last_checkpoint().await? else { return Ok(0) };
        let listed = self.log.files().await?;
        let Some(first_kept) = first_kept(&listed, last.version, self.clock.now() - kept_for) else { return Ok(0) };
        let old = listed.into_iter().filter(|file| file.version < first_kept);
        let paths: Vec<Path> = old.map(|file| file.meta.location).collect();
        if paths.is_empty() {
            return Ok(0);
        }
        if checkpoint::read_last(&self.log).await?.is_none() {
            let text = format!("the newest checkpoint of {} cannot be read; its log keeps all versions", self.location);
            return Err(Error::new(ErrorKind::CorruptFile, text));
        }
        self.remove_objects(paths).await
    }
}

/// None where the table's log keeps everything.
fn kept_for(state: &DeltaState) -> Option<Duration> {
    let is_on = state.configuration(IS_ON).is_none_or(|text| !text.eq_ignore_ascii_case("false"));
    let told = state.configuration(RETENTION).and_then(interval);
    is_on.then(|| told.unwrap_or(KEPT_FOR).max(KEPT_AT_LEAST))
}

/// A time as Delta writes it: `interval 30 days`.
pub(super) fn interval(text: &str) -> Option<Duration> {
    let text = text.to_ascii_lowercase();
    let mut words = text.split_whitespace().filter(|word| *word != "interval");
    let (count, unit) = (words.next()?.parse::<u64>().ok()?, words.next()?);
    let seconds = match unit.trim_end_matches('s') {
        "second" => 1,
        "minute" => 60,
        "hour" => 3600,
        "day" => DAY,
        "week" => 7 * DAY,
        _ => return None,
    };
    words.next().is_none().then(|| Duration::from_secs(count.saturating_mul(seconds).min(LONGEST)))
}

/// The newest checkpoint, up to the one that the hint names, from which each version younger than `oldest` can be read. None
/// where there is none, and where the hint's own is not whole.
fn first_kept(listed: &[LogFile], hinted: i64, oldest: DateTime<Utc>) -> Option<i64> {
    let commits = || listed.iter().filter(|file| file.kind == Kind::Commit);
    let first_young = commits().filter(|file| file.meta.last_modified >= oldest).map(|file| file.version).min();
    let last_old =
        commits().map(|file| file.version).filter(|version| first_young.is_none_or(|young| *version < young));
    let last_old = last_old.max()?;
    let whole: Vec<i64> = checkpoint::whole_checkpoints(listed).into_iter().map(|(version, _)| version).collect();
    whole.contains(&hinted).then_some(())?;
    whole.into_iter().filter(|version| *version <= last_old.min(hinted)).max()
}

#[cfg(test)]
mod tests {
    use object_store::ObjectMeta;

    use super::*;

    fn at(day: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::TimeDelta::days(day)
    }

    fn file(name: &str, day: i64) -> LogFile {
        let folder = Path::from("t/_delta_log");
        let location = folder.clone().join(name);
        let meta = ObjectMeta { location, last_modified: at(day), size: 1, e_tag: None, version: None };
        LogFile::of(meta, &folder).unwrap()
    }

    fn log() -> Vec<LogFile> {
        let commits = (0..20).map(|version| file(&format!("{version:020}.json"), version));
        let whole = [5, 10, 15].map(|version| file(&format!("{version:020}.checkpoint.parquet"), version));
        commits.chain(whole).collect()
    }

    #[test]
    fn what_young_versions_need_is_kept() {
        assert_eq!(first_kept(&log(), 15, at(0)), None, "all are young");
        assert_eq!(first_kept(&log(), 15, at(5)), None, "version 4 can be read from its commits only");
        assert_eq!(first_kept(&log(), 15, at(9)), Some(5), "version 9 is read from checkpoint 5");
        assert_eq!(first_kept(&log(), 15, at(11)), Some(10));
        assert_eq!(first_kept(&log(), 15, at(100)), Some(15), "the newest checkpoint stays, however old it is");
        assert_eq!(first_kept(&log(), 10, at(100)), Some(10), "readers follow the hint");
        assert_eq!(first_kept(&log(), 12, at(100)), None, "the hint is wrong");
    }

    #[test]
    fn a_checkpoint_without_all_its_parts_is_none() {
        let part = |part: u32| file(&format!("{:020}.checkpoint.{part:010}.{:010}.parquet", 17, 2), 17);
        let mut log = log();
        log.push(part(1));
        assert_eq!(first_kept(&log, 17, at(100)), None);
        log.push(part(2));
        assert_eq!(first_kept(&log, 17, at(100)), Some(17));
    }

    #[test]
    fn intervals_are_read_as_delta_writes_them() {
        assert_eq!(interval("interval 30 days"), Some(Duration::from_secs(30 * DAY)));
        assert_eq!(interval("INTERVAL 1 Week"), Some(Duration::from_secs(7 * DAY)));
        assert_eq!(interval("36 hours"), Some(Duration::from_secs(36 * 3600)));
        assert_eq!(interval("interval 1 day 2 hours"), None);
        assert_eq!(interval("forever"), None);
        assert_eq!(interval("interval 18446744073709551615 weeks"), Some(Duration::from_secs(LONGEST)));
    }
}
