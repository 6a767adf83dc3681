//! The layout against what the catalog has: which table is which, what is new, changed, unchanged or gone.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use lakebed_storage::Location;
use lakebed_types::{Result, TableName};
use sqlx::SqliteConnection;

use super::{layout::Draft, naming::free_name};
use crate::{
    Change, CrawlRequest, Outcome, ReportEntry,
    settled::{Settled, unsettled},
    store::tables::{self, FilesRecord, NewTable, TableRecord},
    survey::{Found, Refused, Survey, relative},
    table::already_exists,
};

/// What a crawl does with one table.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) name: TableName,
    /// Below the location.
    place: String,
    /// The record that it replaces.
    existing: Option<&'a TableRecord>,
    candidates: Vec<&'a Found>,
    settled: Settled,
    change: Change,
    reason: String,
}

/// Which crawl a table is of: tables of other crawls are left alone.
pub(super) fn crawl_key(request: &CrawlRequest) -> String {
    let location = request.location.to_string();
    let location = location.trim_end_matches('/');
    let files = request.files.as_ref().map(|files| format!("/{files}")).unwrap_or_default();
    match &request.table {
        Some(name) => format!("{}={location}{files}", name.to_lowercase()),
        None => location.to_owned(),
    }
}

/// One plan for each table that was found or is gone.
pub(super) fn plans<'a>(
    request: &CrawlRequest,
    location: &Location,
    survey: &'a Survey,
    drafts: Vec<Draft>,
    existing: &'a [TableRecord],
) -> Result<Vec<Plan<'a>>> {
    let key = crawl_key(request);
    let records = drafts.iter().map(|draft| record(draft, location, survey, &key)).collect::<Result<Vec<_>>>()?;
    let mut names = Names::new(existing, key);
    let mut matched: Vec<Option<&TableRecord>> = records.iter().map(|record| names.same_place(record)).collect();
    for (draft, matched) in drafts.iter().zip(&mut matched).filter(|(_, matched)| matched.is_none()) {
        *matched = names.same_name(&draft.name, request.table.is_some())?;
    }
    let mut plans = Vec::with_capacity(drafts.len());
    for ((draft, record), matched) in drafts.into_iter().zip(records).zip(matched) {
        let (name, renamed) = names.name(&draft.name, matched);
        let name = TableName::new(request.database.clone(), &name)?;
        plans.push(found(draft, record, survey, name, renamed, matched));
    }
    plans.extend(names.unmatched().map(|table| gone(location, survey, table)));
    Ok(plans)
}

/// What a draft fixes about its table.
fn record(draft: &Draft, location: &Location, survey: &Survey, key: &str) -> Result<FilesRecord> {
    let place = match (draft.place.as_str(), draft.files.first()) {
        ("", _) => location.clone(),
        (folder, _) if folder.ends_with('/') => location.child(folder)?,
        (_, Some(file)) => location.sibling(&survey.found[*file].meta.location),
        (file, None) => location.child(file)?,
    };
    let record = unsettled(place, draft.kind, &draft.keys, draft.members.clone());
    Ok(FilesRecord { crawl: Some(key.to_owned()), ..record })
}

fn found<'a>(
    draft: Draft,
    record: FilesRecord,
    survey: &'a Survey,
    name: TableName,
    renamed: Option<String>,
    existing: Option<&'a TableRecord>,
) -> Plan<'a> {
    let mut indexes: Vec<usize> =
        draft.files.iter().chain(draft.left_out.iter().map(|(file, _)| file)).copied().collect();
    indexes.sort_unstable();
    let candidates: Vec<&Found> = indexes.iter().map(|file| &survey.found[*file]).collect();
    let below = |refused: &&Refused| {
        let path = refused.path.strip_prefix(draft.place.as_str());
        !refused.hidden && record.location.is_folder() && path.is_some_and(|path| record.members.accept(path))
    };
    let refused: Vec<&Refused> = survey.refused.iter().filter(below).collect();
    let forced: HashMap<usize, &str> = draft
        .left_out
        .iter()
        .filter_map(|(file, reason)| Some((indexes.binary_search(file).ok()?, reason.as_str())))
        .collect();
    let settled = Settled::new(record, &candidates, &refused, &forced);
    let change = match existing.and_then(|existing| existing.files.as_ref()) {
        None => Change::New,
        Some(before) if settled.differs_from(before) => Change::Changed,
        Some(_) => Change::Unchanged,
    };
    let reason = match renamed {
        Some(why) => format!("{}; {why}", draft.reason),
        None => draft.reason,
    };
    Plan { name, place: draft.place, existing, candidates, settled, change, reason }
}

/// A table that no file is left for stays, without files, so that its queries still mean something.
fn gone<'a>(location: &Location, survey: &'a Survey, table: &'a TableRecord) -> Plan<'a> {
    let files = table.files.clone().unwrap_or_else(|| {
        unsettled(location.clone(), lakebed_tables::FileKind::Parquet, &[], crate::members::Members::default())
    });
    let moved = survey.found.iter().any(|found| {
        let path = relative(&files.location, &found.meta);
        files.location.contains(&files.location.sibling(&found.meta.location)) && files.accepts(path)
    });
    let reason = match moved {
        true => "its files belong to other tables now",
        false => "its files are gone",
    };
    let place = files.location.path().as_ref().strip_prefix(location.path().as_ref()).unwrap_or_default();
    let slash = if files.location.is_folder() && !place.is_empty() { "/" } else { "" };
    Plan {
        name: table.table.name.clone(),
        place: format!("{}{slash}", place.trim_start_matches('/')),
        existing: Some(table),
        candidates: Vec::new(),
        change: if table.table.files > 0 { Change::Gone } else { Change::Unchanged },
        settled: Settled::new(files, &[], &[], &HashMap::new()),
        reason: reason.to_owned(),
    }
}

impl Plan<'_> {
    /// Whether anything but the time of the last look is written.
    pub(super) fn rewrites(&self) -> bool {
        self.change != Change::Unchanged
            || self.existing.is_none_or(|existing| {
                existing.table.warnings != self.settled.warnings
                    || existing.files.as_ref().is_none_or(|files| files.members != self.settled.files.members)
            })
    }

    pub(super) async fn write(&self, connection: &mut SqliteConnection, listed: DateTime<Utc>) -> Result<()> {
        let id = match self.existing {
            Some(existing) if !self.rewrites() => return tables::listed(connection, existing.id, listed).await,
            Some(existing) => existing.id,
            None => {
                let new = NewTable { name: &self.name, comment: None, freshness: None, created: listed };
                tables::insert(&mut *connection, &new).await?
            }
        };
        let state = self.settled.state(self.change != Change::Unchanged, listed);
        // False: dropped while the crawl ran. The next one finds it again.
        tables::replace(connection, id, &state).await.map(|_| ())
    }
}

/// Who has which name.
struct Names<'a> {
    existing: &'a [TableRecord],
    key: String,
    matched: HashSet<i64>,
    taken: HashSet<String>,
}

impl<'a> Names<'a> {
    fn new(existing: &'a [TableRecord], key: String) -> Self {
        let taken = existing.iter().map(|table| table.table.name.table().to_owned()).collect();
        Self { existing, key, matched: HashSet::new(), taken }
    }

    fn of_this_crawl(&self) -> impl Iterator<Item = (&'a TableRecord, &'a FilesRecord)> + use<'a, '_> {
        let files = |table: &'a TableRecord| table.files.as_ref().map(|files| (table, files));
        self.existing.iter().filter_map(files).filter(|(_, files)| files.crawl.as_deref() == Some(self.key.as_str()))
    }

    /// The table of this crawl over the same files.
    fn same_place(&mut self, record: &FilesRecord) -> Option<&'a TableRecord> {
        let same = |files: &FilesRecord| {
            files.location == record.location
                && files.members.pattern == record.members.pattern
                && files.members.without_keys == record.members.without_keys
        };
        let (table, _) =
            self.of_this_crawl().find(|(table, files)| same(files) && !self.matched.contains(&table.id))?;
        self.matched.insert(table.id);
        Some(table)
    }

    /// The table of this crawl that has the name and lost its place: the name is more to its users than the place. A name
    /// that was asked for is taken from any crawl's table, and from nobody else.
    fn same_name(&mut self, wanted: &str, asked_for: bool) -> Result<Option<&'a TableRecord>> {
        let wanted = wanted.to_lowercase();
        let Some(table) = self.existing.iter().find(|table| table.table.name.table() == wanted) else {
            return Ok(None);
        };
        let crawl = table.files.as_ref().and_then(|files| files.crawl.as_deref());
        let free = !self.matched.contains(&table.id);
        match crawl {
            Some(crawl) if free && (asked_for || crawl == self.key) => {
                self.matched.insert(table.id);
                Ok(Some(table))
            }
            _ if asked_for => Err(already_exists(table)),
            _ => Ok(None),
        }
    }

    /// The table's name, and why it is not the one that was wanted.
    fn name(&mut self, wanted: &str, matched: Option<&TableRecord>) -> (String, Option<String>) {
        let wanted = wanted.to_lowercase();
        let name = match matched {
            Some(table) => table.table.name.table().to_owned(),
            None => free_name(&wanted, &self.taken),
        };
        self.taken.insert(name.clone());
        let why = (name != wanted).then(|| format!("named `{name}`, for `{wanted}` was taken"));
        (name, why)
    }

    fn unmatched(self) -> impl Iterator<Item = &'a TableRecord> {
        let gone: Vec<&TableRecord> =
            self.of_this_crawl().map(|(table, _)| table).filter(|table| !self.matched.contains(&table.id)).collect();
        gone.into_iter()
    }
}

/// The report: one entry for each table, each file that does not fit, and each path that is no data.
pub(super) fn entries(survey: &Survey, plans: &[Plan<'_>], last: &[ReportEntry]) -> Vec<ReportEntry> {
    let last: HashMap<(&str, Outcome), &ReportEntry> =
        last.iter().map(|entry| ((entry.path.as_str(), entry.outcome), entry)).collect();
    let change = |path: &str, outcome: Outcome, reason: &str| match last.get(&(path, outcome)) {
        None => Change::New,
        Some(before) if before.reason == reason => Change::Unchanged,
        Some(_) => Change::Changed,
    };
    let mut entries = Vec::new();
    for plan in plans {
        entries.push(ReportEntry {
            path: plan.place.clone(),
            outcome: Outcome::Table,
            table: Some(plan.name.table().to_owned()),
            reason: plan.reason.clone(),
            files: plan.settled.file_count,
            bytes: plan.settled.bytes,
            change: plan.change,
        });
        entries.extend(plan.settled.left_out.iter().map(|(i, reason)| ReportEntry {
            path: plan.candidates[*i].path.clone(),
            outcome: Outcome::Conflict,
            table: Some(plan.name.table().to_owned()),
            reason: reason.clone(),
            files: 1,
            bytes: plan.candidates[*i].meta.size,
            change: change(&plan.candidates[*i].path, Outcome::Conflict, reason),
        }));
    }
    entries.extend(survey.refused.iter().map(|refused| ReportEntry {
        path: refused.path.clone(),
        outcome: Outcome::Skipped,
        table: None,
        reason: refused.reason.clone(),
        files: refused.files,
        bytes: refused.bytes,
        change: change(&refused.path, Outcome::Skipped, &refused.reason),
    }));
    entries.sort_by(|left, right| {
        (&left.path, left.outcome, &left.table).cmp(&(&right.path, right.outcome, &right.table))
    });
    entries
}
