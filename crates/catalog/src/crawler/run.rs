//! One crawl: survey, layout, comparison with the catalog, one commit.

use std::sync::Arc;

use lakebed_storage::Mode;
use lakebed_types::{Error, ErrorKind, Result};
use uuid::Uuid;

use super::{
    compare::{self, Plan},
    layout::{Draft, LayoutFile, one_table, plan},
    naming::{root_name, table_name},
};
use crate::{
    Catalog, CrawlProgress, CrawlReport, CrawlRequest, Crawler, RunState,
    catalog::Inner,
    store::{databases, objects, runs, tables},
    survey::{self, Survey},
};

impl Catalog {
    /// Runs a crawl and records the run and its report (unless `dry_run`, which changes nothing at all). All tables change
    /// in one commit, or none does. `progress` is called often and has to be cheap.
    ///
    /// # Errors
    /// `database_not_found`; `location_not_allowed`; `conflict` while the same location is being crawled into the same
    /// database; `already_exists` where the request names a table that is no crawl's; the store's errors. The run of a
    /// failed crawl is recorded with its error. `invalid_request` for a pattern of files without the table's name.
    pub async fn crawl(
        &self,
        request: &CrawlRequest,
        progress: &(dyn Fn(CrawlProgress) + Send + Sync),
    ) -> Result<CrawlReport> {
        if request.files.is_some() && request.table.is_none() {
            return Err(Error::invalid_request("a pattern of files needs the name of their table"));
        }
        self.inner.storage.check(&request.location, Mode::Read)?;
        self.database(&request.database).await?;
        let _turn = Turn::take(&self.inner, request)?;
        let mut report = begun(&self.inner, request);
        let mut unfinished = None;
        if !request.dry_run {
            self.record_begin(&report).await?;
            unfinished = Some(Unfinished { inner: Arc::clone(&self.inner), id: report.id.clone() });
        }
        let result = self.crawl_into(request, &mut report, progress).await;
        if let Err(error) = &result {
            report.state = RunState::Failed;
            report.ended = Some(self.inner.clock.now());
            report.error = Some(error.to_string());
            report.entries.clear();
            if !request.dry_run {
                self.record_end(&report).await?;
            }
        }
        if let Some(unfinished) = unfinished {
            unfinished.finish();
        }
        result.map(|()| report)
    }

    async fn record_begin(&self, report: &CrawlReport) -> Result<()> {
        let mut write = self.inner.store.write().await?;
        let crawler = Crawler {
            name: report.crawler.clone(),
            location: report.location.clone(),
            database: report.database.clone(),
            created: report.started,
        };
        runs::insert_crawler(write.connection(), &crawler).await?;
        runs::begin(write.connection(), report).await?;
        write.commit().await
    }

    async fn record_end(&self, report: &CrawlReport) -> Result<()> {
        let mut write = self.inner.store.write().await?;
        runs::end(write.connection(), report).await?;
        write.commit().await
    }

    async fn crawl_into(
        &self,
        request: &CrawlRequest,
        report: &mut CrawlReport,
        progress: &(dyn Fn(CrawlProgress) + Send + Sync),
    ) -> Result<()> {
        let inner = &self.inner;
        let (location, listing) =
            survey::list_written(inner, &request.location, &|path| request.wants(path), progress).await?;
        let survey = survey::inspect_new(inner, &location, listing, !request.dry_run, progress).await?;
        (report.listed, report.inspected, report.reused) = (survey.listed, survey.inspected, survey.reused);
        let drafts = drafts(request, &location, &survey);

        let default = inner.settings.default_freshness;
        let mut connection = inner.store.read().await?;
        let existing = tables::list(&mut connection, Some(&request.database), default).await?;
        let last = runs::last_entries(&mut connection, report).await?;
        drop(connection);

        let plans = compare::plans(request, &location, &survey, drafts, &existing)?;
        report.entries = compare::entries(&survey, &plans, &last);
        report.state = RunState::Succeeded;
        report.ended = Some(inner.clock.now());
        if request.dry_run { Ok(()) } else { self.commit(report, &plans, &survey).await }
    }

    /// Tables, the run and its report, in one transaction.
    async fn commit(&self, report: &CrawlReport, plans: &[Plan<'_>], survey: &Survey) -> Result<()> {
        let inner = &self.inner;
        let mut write = inner.store.write().await?;
        if !databases::all(write.connection()).await?.iter().any(|database| database.name == report.database) {
            let message = format!("database `{}` was dropped while it was crawled into", report.database);
            return Err(Error::new(ErrorKind::DatabaseNotFound, message));
        }
        for plan in plans {
            plan.write(write.connection(), report.started).await?;
        }
        objects::forget(write.connection(), &survey.missing).await?;
        runs::end(write.connection(), report).await?;
        write.commit().await?;
        for plan in plans {
            match plan.rewrites() {
                true => inner.slots.invalidate(&plan.name),
                false => inner.slots.described_anew(&plan.name),
            }
        }
        Ok(())
    }
}

fn drafts(request: &CrawlRequest, location: &lakebed_storage::Location, survey: &Survey) -> Vec<Draft> {
    let files: Vec<LayoutFile> = survey.found.iter().map(LayoutFile::from).collect();
    match &request.table {
        Some(name) => {
            one_table(name, &files, location.is_folder()).map(|draft| asked_for(draft, request)).into_iter().collect()
        }
        None if !location.is_folder() => one_table(&root_name(location), &files, false).into_iter().collect(),
        None => plan(&table_name(&root_name(location)), &files),
    }
}

/// A pattern of files stays with the table, for the next look.
fn asked_for(mut draft: Draft, request: &CrawlRequest) -> Draft {
    if let Some(files) = &request.files {
        draft.reason = format!("the files {files} were named as one table");
        draft.members.files = Some(files.clone());
    }
    draft
}

fn begun(inner: &Inner, request: &CrawlRequest) -> CrawlReport {
    CrawlReport {
        id: Uuid::new_v4().to_string(),
        crawler: request.crawler.clone(),
        location: request.location.clone(),
        database: request.database.clone(),
        state: RunState::Running,
        started: inner.clock.now(),
        ended: None,
        dry_run: request.dry_run,
        listed: 0,
        inspected: 0,
        reused: 0,
        error: None,
        entries: Vec::new(),
    }
}

/// The right to crawl one location into one database. Two at once would read everything twice.
struct Turn {
    inner: Arc<Inner>,
    key: String,
}

impl Turn {
    fn take(inner: &Arc<Inner>, request: &CrawlRequest) -> Result<Self> {
        let key = format!("{} {}", request.database, compare::crawl_key(request));
        if !inner.crawling.lock().insert(key.clone()) {
            let message = format!("{} is being crawled into `{}`", request.location, request.database);
            return Err(Error::new(ErrorKind::Conflict, message).with_hint("Wait for that run to end."));
        }
        Ok(Self { inner: Arc::clone(inner), key })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.inner.crawling.lock().remove(&self.key);
    }
}

/// A recorded run whose end is not recorded yet. Dropped with its caller's future, it becomes `interrupted`.
struct Unfinished {
    inner: Arc<Inner>,
    id: String,
}

impl Unfinished {
    fn finish(mut self) {
        self.id.clear();
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let (inner, id) = (Arc::clone(&self.inner), std::mem::take(&mut self.id));
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if id.is_empty() {
            return;
        }
        runtime.spawn(async move {
            let interrupt = async {
                let mut write = inner.store.write().await?;
                runs::interrupt(write.connection(), Some(&id), inner.clock.now()).await?;
                write.commit().await
            };
            if let Err(error) = interrupt.await {
                tracing::warn!(run = id, ?error, "an interrupted crawl could not be recorded");
            }
        });
    }
}
