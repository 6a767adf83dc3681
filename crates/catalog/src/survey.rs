//! What lies below a location now: lists it, and looks into the objects that are new or have changed.
//!
//! What was told is written to the catalog in batches on the way, so that summaries never pile up in memory and a crawl
//! that was interrupted has not read its files in vain.

use std::collections::{BTreeMap, HashMap};

use arrow::datatypes::SchemaRef;
use futures::{StreamExt, stream};
use lakebed_storage::Location;
use lakebed_tables::{FileKind, Inspection, TextOptions, inspect};
use lakebed_types::{Error, ErrorKind, Result, format_count};
use object_store::ObjectMeta;
use sha2::{Digest, Sha256};

use crate::{
    CrawlProgress,
    catalog::Inner,
    path::hidden_part,
    store::objects::{self, KnownObject, NewObject, SchemaPool, nanoseconds},
};

/// Inspections held in memory before they are written.
const SAVE_BATCH: usize = 256;

/// The objects below a location that may be data files.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// By path.
    pub(crate) objects: Vec<ObjectMeta>,
    pub(crate) refused: Vec<Refused>,
    /// All objects that the store named.
    pub(crate) listed: u64,
    /// Why folders could not be read, where the others could.
    pub(crate) unreadable: Vec<Error>,
}

impl Listing {
    /// Objects that are known without asking the store.
    pub(crate) fn of(mut objects: Vec<ObjectMeta>) -> Self {
        objects.sort_by(|left, right| left.location.cmp(&right.location));
        let listed = objects.len() as u64;
        Self { objects, listed, ..Self::default() }
    }
}

/// A path that is no data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Below the location; a hidden folder counts once, with a slash at its end.
    pub(crate) path: String,
    pub(crate) reason: String,
    /// Skipped for its name: nobody expects it to be data.
    pub(crate) hidden: bool,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// A data file.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Below the location; of a file location its name.
    pub(crate) path: String,
    pub(crate) meta: ObjectMeta,
    /// Its row in the catalog; 0 in a dry run for one that is not known.
    pub(crate) object: i64,
    pub(crate) kind: FileKind,
    pub(crate) text: TextOptions,
    /// Equal schemas of one survey are one `Arc`.
    pub(crate) schema: SchemaRef,
    pub(crate) rows: Option<u64>,
}

/// Everything below a location.
#[derive(Debug)]
pub(crate) struct Survey {
    /// By path.
    pub(crate) found: Vec<Found>,
    pub(crate) refused: Vec<Refused>,
    pub(crate) listed: u64,
    /// Objects that were read.
    pub(crate) inspected: u64,
    /// Objects that were known and have not changed.
    pub(crate) reused: u64,
    /// Rows of the catalog for objects below the location that the listing did not name.
    pub(crate) missing: Vec<i64>,
}

/// Called often.
pub(crate) type Progress<'a> = &'a (dyn Fn(CrawlProgress) + Send + Sync);

/// Whether a path below a location is a candidate at all.
pub(crate) type Accept<'a> = &'a (dyn Fn(&str) -> bool + Send + Sync);

impl Listing {
    /// The same objects have the same fingerprint, in every process.
    pub(crate) fn fingerprint(&self) -> Vec<u8> {
        fingerprint(self.objects.iter())
    }
}

/// Of objects in the order of their paths: paths, sizes, times and ETags.
pub(crate) fn fingerprint<'a>(objects: impl Iterator<Item = &'a ObjectMeta>) -> Vec<u8> {
    let mut hash = Sha256::new();
    for meta in objects {
        hash.update(meta.location.as_ref());
        hash.update([0]);
        hash.update(meta.size.to_le_bytes());
        hash.update(nanoseconds(meta.last_modified).to_le_bytes());
        hash.update(meta.e_tag.as_deref().unwrap_or_default());
        hash.update([0]);
    }
    hash.finalize()[..16].to_vec()
}

/// The path of an object below a location; of a file location the file's name.
pub(crate) fn relative<'a>(location: &Location, meta: &'a ObjectMeta) -> &'a str {
    let path = meta.location.as_ref();
    let folder = location.path().as_ref();
    match path.strip_prefix(folder) {
        Some("") => crate::path::file_name(path),
        Some(rest) => rest.trim_start_matches('/'),
        None => path,
    }
}

impl Found {
    /// Text without a header line: its column names are made up.
    pub(crate) fn nameless(&self) -> bool {
        self.kind == FileKind::Csv && !self.text.header
    }
}

/// Lists a location that someone wrote: `s3://bucket/data` is the folder `data/` where there is no such object. Says
/// which it is. `accept` as for [`list`].
pub(crate) async fn list_written(
    inner: &Inner,
    location: &Location,
    accept: Accept<'_>,
    progress: Progress<'_>,
) -> Result<(Location, Listing)> {
    let location = inner.storage.resolve(location).await?;
    let listing = list(inner, &location, accept, progress).await?;
    Ok((location, listing))
}

/// Lists a location: one stream of pages from the store. `accept` tells which paths are candidates; the others are not
/// mentioned at all. Fails with `scan_too_large` above the bound on files.
pub(crate) async fn list(
    inner: &Inner,
    location: &Location,
    accept: Accept<'_>,
    progress: Progress<'_>,
) -> Result<Listing> {
    let (mut objects, mut listed, mut unreadable) = (Vec::new(), 0, Vec::new());
    let mut refused = BTreeMap::<String, Refused>::new();
    let mut stream = inner.storage.list(location);
    while let Some(meta) = stream.next().await {
        let meta = match meta {
            Ok(meta) => meta,
            // Of local folders each is read by itself, and the rest goes on.
            Err(error) if location.is_local() && error.kind() == ErrorKind::StoreAccessDenied && listed > 0 => {
                unreadable.push(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        listed += 1;
        if listed % 100 == 0 {
            progress(CrawlProgress { listed, ..CrawlProgress::default() });
        }
        let path = relative(location, &meta);
        if !accept(path) {
            continue;
        }
        match refusal(location, path, &meta) {
            Some(new) => {
                let entry = refused.entry(new.path.clone()).or_insert(Refused { files: 0, bytes: 0, ..new });
                entry.files += 1;
                entry.bytes += meta.size;
            }
            None => objects.push(meta),
        }
        if objects.len() + refused.len() + unreadable.len() > inner.settings.max_files {
            return Err(too_many(location, inner.settings.max_files));
        }
    }
    objects.sort_by(|left, right| left.location.cmp(&right.location));
    Ok(Listing { objects, refused: refused.into_values().collect(), listed, unreadable })
}

fn too_many(location: &Location, max: usize) -> Error {
    Error::new(ErrorKind::ScanTooLarge, format!("{location} has more than {} files", format_count(max as u64)))
        .with_hint("Crawl folders of it one by one, or raise the bound on files.")
}

/// What can be said from the name and the size alone.
fn refusal(location: &Location, path: &str, meta: &ObjectMeta) -> Option<Refused> {
    let refused =
        |path: String, reason: &str, hidden| Refused { path, reason: reason.to_owned(), hidden, files: 0, bytes: 0 };
    match hidden_part(path).filter(|_| location.is_folder()) {
        Some((part, true)) if part.ends_with("_delta_log") => Some(refused(
            format!("{part}/"),
            "the log of a Delta table, which is not read: files that the log has removed are part of the table",
            true,
        )),
        Some((part, true)) => Some(refused(format!("{part}/"), "the folder's name begins with `_` or `.`", true)),
        Some((part, false)) => Some(refused(part.to_owned(), "the name begins with `_` or `.`", true)),
        None if meta.size == 0 => Some(refused(path.to_owned(), "the file is empty", false)),
        None => None,
    }
}

/// Looks into the objects of a listing that are new or have changed, a bounded number at once. With `keep`, what they
/// tell is written to the catalog.
pub(crate) async fn inspect_new(
    inner: &Inner,
    location: &Location,
    listing: Listing,
    keep: bool,
    progress: Progress<'_>,
) -> Result<Survey> {
    let mut pool = SchemaPool::default();
    let mut known = objects::known(&mut *inner.store.read().await?, location, &mut pool).await?;
    let unreadable = listing.unreadable.iter().map(|error| Refused {
        path: String::new(),
        reason: error.to_string(),
        hidden: false,
        files: 0,
        bytes: 0,
    });
    let mut survey = Survey {
        found: Vec::with_capacity(listing.objects.len()),
        refused: listing.refused.into_iter().chain(unreadable).collect(),
        listed: listing.listed,
        inspected: 0,
        reused: 0,
        missing: Vec::new(),
    };
    let mut fresh = Vec::new();
    for meta in listing.objects {
        match known.remove(meta.location.as_ref()) {
            Some(object) if object.is(&meta) => survey.add_known(location, meta, object),
            _ => fresh.push(meta),
        }
    }
    survey.missing = known.into_values().map(|object| object.id).collect();
    read_all(inner, location, fresh, keep, &mut pool, &mut survey, progress).await?;
    survey.found.sort_by(|left, right| left.path.cmp(&right.path));
    survey.refused.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(survey)
}

async fn read_all(
    inner: &Inner,
    location: &Location,
    fresh: Vec<ObjectMeta>,
    keep: bool,
    pool: &mut SchemaPool,
    survey: &mut Survey,
    progress: Progress<'_>,
) -> Result<()> {
    let to_inspect = fresh.len() as u64;
    let mut looks = stream::iter(fresh)
        .map(|meta| async move {
            let told = look_into(inner, location, &meta).await;
            (meta, told)
        })
        .buffer_unordered(inner.settings.parallel_requests.max(1));
    let mut batch = Vec::with_capacity(SAVE_BATCH);
    progress(CrawlProgress { listed: survey.listed, inspected: 0, to_inspect });
    while let Some((meta, told)) = looks.next().await {
        survey.inspected += 1;
        progress(CrawlProgress { listed: survey.listed, inspected: survey.inspected, to_inspect });
        match told? {
            Told::Content(content) => batch.push(NewObject::new(meta, content, pool)?),
            Told::Unreadable(reason) => survey.refuse(location, &meta, reason),
        }
        if batch.len() >= SAVE_BATCH {
            flush(inner, location, &mut batch, keep, pool, survey).await?;
        }
    }
    flush(inner, location, &mut batch, keep, pool, survey).await
}

enum Told {
    /// Worth keeping: it stays true as long as the object does not change.
    Content(Result<Inspection, String>),
    /// The store did not give it; the next look tries again.
    Unreadable(String),
}

/// One object that is gone or forbidden is a line of the report; a store that fails ends the survey.
async fn look_into(inner: &Inner, location: &Location, meta: &ObjectMeta) -> Result<Told> {
    match inspect(&inner.storage, &location.sibling(&meta.location), meta).await {
        Ok(Ok(inspection)) => Ok(Told::Content(Ok(inspection))),
        Ok(Err(rejected)) => Ok(Told::Content(Err(format!("the file {rejected}")))),
        Err(error) => match error.kind() {
            ErrorKind::ObjectNotFound => Ok(Told::Unreadable("it was gone before it could be read".to_owned())),
            ErrorKind::StoreAccessDenied => Ok(Told::Unreadable("the store denies access to it".to_owned())),
            _ => Err(error),
        },
    }
}

async fn flush(
    inner: &Inner,
    location: &Location,
    batch: &mut Vec<NewObject>,
    keep: bool,
    pool: &mut SchemaPool,
    survey: &mut Survey,
) -> Result<()> {
    let ids = if keep && !batch.is_empty() {
        let mut write = inner.store.write().await?;
        let ids = objects::save(write.connection(), location, batch, pool).await?;
        write.commit().await?;
        ids
    } else {
        HashMap::new()
    };
    for object in batch.drain(..) {
        let id = ids.get(object.meta.location.as_ref()).copied().unwrap_or(0);
        survey.add_new(location, object, id);
    }
    Ok(())
}

impl Survey {
    fn add_known(&mut self, location: &Location, meta: ObjectMeta, object: KnownObject) {
        self.reused += 1;
        match object.content {
            Ok(data) => self.found.push(Found {
                path: relative(location, &meta).to_owned(),
                meta,
                object: object.id,
                kind: data.kind,
                text: data.text,
                schema: data.schema,
                rows: data.rows,
            }),
            Err(reason) => self.refuse(location, &meta, reason),
        }
    }

    fn add_new(&mut self, location: &Location, object: NewObject, id: i64) {
        match object.content {
            Ok((inspection, _)) => self.found.push(Found {
                path: relative(location, &object.meta).to_owned(),
                meta: object.meta,
                object: id,
                kind: inspection.kind,
                text: inspection.text,
                schema: inspection.schema,
                rows: inspection.summary.rows(),
            }),
            Err(reason) => self.refuse(location, &object.meta, reason),
        }
    }

    fn refuse(&mut self, location: &Location, meta: &ObjectMeta, reason: String) {
        let path = relative(location, meta).to_owned();
        self.refused.push(Refused { path, reason, hidden: false, files: 1, bytes: meta.size });
    }
}

/// Looks again into objects whose summary this version cannot read.
pub(crate) async fn look_again(inner: &Inner, location: &Location, objects: Vec<ObjectMeta>) -> Result<()> {
    let (listed, refused) = (objects.len() as u64, Vec::new());
    let (found, missing) = (Vec::new(), Vec::new());
    let mut survey = Survey { found, refused, listed, inspected: 0, reused: 0, missing };
    read_all(inner, location, objects, true, &mut SchemaPool::default(), &mut survey, &|_| {}).await
}
