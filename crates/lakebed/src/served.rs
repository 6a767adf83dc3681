//! Locations that someone names to be tables: `[NAME=]LOCATION` on the command line, `[tables]` in the settings file.

use std::path::Path;

use lakebed_catalog::{Catalog, CrawlReport, CrawlRequest, Outcome, TableKind};
use lakebed_storage::Location;
use lakebed_tables::split_pattern;
use lakebed_types::{DatabaseName, Error, Result, TableName};

use crate::progress;

/// What a single served file is also called.
const SINGLE_FILE: &str = "dataset";

/// A location to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Served {
    /// The one table that it shall be.
    pub(crate) table: Option<String>,
    pub(crate) location: Location,
    /// Of the location only the files that match this.
    pub(crate) files: Option<String>,
}

impl Served {
    /// Reads `[NAME=]LOCATION`, where the location of a name may be a pattern.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (name, location) = split_name(text);
        Self::new(name, location)
    }

    /// The table of this name at a location or pattern.
    pub(crate) fn named(name: &str, location: &str) -> Result<Self> {
        Self::new(Some(name), location)
    }

    fn new(name: Option<&str>, text: &str) -> Result<Self> {
        let table = name.map(str::to_owned);
        // A file may have a star in its name: then it is meant itself.
        let Some((folder, files)) = split_pattern(text).filter(|_| !Path::new(text).exists()) else {
            return Ok(Self { table, location: Location::parse(text)?, files: None });
        };
        if table.is_none() {
            return Err(Error::invalid_request(format!("`{text}` matches files of a table that has no name"))
                .with_hint("Write NAME=PATTERN for one table of all these files, or the folder alone."));
        }
        let location = Location::parse(if folder.is_empty() { "./" } else { folder })?.as_folder();
        Ok(Self { table, location, files: Some(files.to_owned()) })
    }

    /// What to crawl for it.
    pub(crate) fn request(&self, database: &DatabaseName, dry_run: bool) -> CrawlRequest {
        CrawlRequest {
            crawler: format!("{database} {}", self.location),
            location: self.location.clone(),
            database: database.clone(),
            table: self.table.clone(),
            files: self.files.clone(),
            dry_run,
        }
    }

    /// Crawls it, with a progress bar on a terminal.
    pub(crate) async fn crawl(&self, catalog: &Catalog, database: &DatabaseName, dry_run: bool) -> Result<CrawlReport> {
        let bar = progress::crawl_bar(&self.location.to_string());
        let report = catalog.crawl(&self.request(database, dry_run), &|at| progress::show_crawl(&bar, at)).await;
        bar.finish_and_clear();
        report
    }
}

/// Refuses names that are given twice: the second location would take the table from the first.
pub(crate) fn check_names(all: &[Served]) -> Result<()> {
    for (at, served) in all.iter().enumerate() {
        let Some(name) = &served.table else { continue };
        let same = |other: &Served| other.table.as_ref().is_some_and(|other| other.eq_ignore_ascii_case(name));
        if all[..at].iter().any(same) {
            return Err(Error::invalid_request(format!("two locations are named `{name}`"))
                .with_hint("One table of several files is a folder or a pattern: NAME='folder/*.parquet'."));
        }
    }
    Ok(())
}

/// The files without a name that stand after a named file of their folder: a pattern that a shell has filled in.
pub(crate) fn strays(all: &[Served]) -> Option<(&Served, usize)> {
    let folder =
        |served: &Served| served.location.path().as_ref().rsplit_once('/').map(|(folder, _)| folder.to_owned());
    let at = all.iter().position(|served| served.table.is_some() && !served.location.is_folder())?;
    let named = &all[at];
    let stray = |other: &&Served| {
        other.table.is_none()
            && !other.location.is_folder()
            && other.location.store_url() == named.location.store_url()
            && folder(other) == folder(named)
    };
    let count = all[at + 1..].iter().take_while(stray).count();
    (count > 0).then_some((named, count))
}

/// Where one file was all there was to serve, its table is also known as `dataset`.
pub(crate) async fn name_single_file(catalog: &Catalog, all: &[Served], reports: &[CrawlReport]) -> Result<()> {
    let ([_], [report]) = (all, reports) else { return Ok(()) };
    let mut tables = report.entries.iter().filter(|entry| entry.outcome == Outcome::Table);
    let (Some(only), None) = (tables.next(), tables.next()) else { return Ok(()) };
    let Some(name) = &only.table else { return Ok(()) };
    let name = TableName::new(report.database.clone(), name)?;
    let table = catalog.table(&name).await?;
    if matches!(table.kind, TableKind::Files { location, .. } if !location.is_folder()) {
        catalog.also_known_as(name, TableName::new(report.database.clone(), SINGLE_FILE)?);
    }
    Ok(())
}

/// Splits `NAME=LOCATION`. A `=` after a slash belongs to the location, as in `s3://b/year=2024/`.
fn split_name(text: &str) -> (Option<&str>, &str) {
    match text.split_once('=') {
        Some((name, location)) if !name.is_empty() && !name.contains(['/', ':', '\\']) => (Some(name), location),
        _ => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(texts: &[&str]) -> Vec<Served> {
        texts.iter().map(|text| Served::parse(text).unwrap()).collect()
    }

    #[test]
    fn a_name_stands_before_the_first_equals_sign() {
        assert_eq!(split_name("sales=s3://b/year=2024/"), (Some("sales"), "s3://b/year=2024/"));
        assert_eq!(split_name("s3://b/year=2024/"), (None, "s3://b/year=2024/"));
        assert_eq!(split_name("data/"), (None, "data/"));
    }

    #[test]
    fn a_pattern_is_a_folder_and_what_matches_in_it() {
        let sales = Served::parse("sales=s3://b/sales/year=*/*.parquet").unwrap();
        assert_eq!(sales.location, Location::parse("s3://b/sales/").unwrap());
        assert_eq!((sales.table.as_deref(), sales.files.as_deref()), (Some("sales"), Some("year=*/*.parquet")));
        let nameless = Served::parse("data/*.parquet").unwrap_err();
        assert!(nameless.hint().unwrap().contains("NAME=PATTERN"), "{nameless}");
    }

    #[test]
    fn a_name_is_given_once() {
        assert!(check_names(&all(&["a=s3://b/1/", "b=s3://b/2/", "s3://b/3/"])).is_ok());
        let twice = check_names(&all(&["a=s3://b/1.parquet", "A=s3://b/2.parquet"])).unwrap_err();
        assert!(twice.to_string().contains("`A`"), "{twice}");
    }

    #[test]
    fn files_that_a_shell_put_behind_a_name_are_noticed() {
        let filled_in = all(&["sales=s3://b/s/1.parquet", "s3://b/s/2.parquet", "s3://b/s/3.parquet"]);
        assert_eq!(strays(&filled_in).map(|(_, count)| count), Some(2));
        assert_eq!(strays(&all(&["sales=s3://b/s/1.parquet", "s3://b/t/2.parquet"])), None);
        assert_eq!(strays(&all(&["sales=s3://b/s/", "s3://b/s/2.parquet"])), None);
    }
}
