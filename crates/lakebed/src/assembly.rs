//! Puts the parts together: settings → storage → catalog → access → query service.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use lakebed_access::{Access, Keys, Principal, Role, Workgroups};
use lakebed_catalog::Catalog;
use lakebed_query::QueryService;
use lakebed_storage::{Location, Mode, Storage};
use lakebed_tables::Buffers;
use lakebed_types::{Clock, Error, ErrorKind, Result, SystemClock};

use crate::settings::{DataSettings, Sources, catalog_settings, lake_of, limits, query_settings, storage_settings};

/// What a command needs of its lake beyond the settings.
#[derive(Debug, Default)]
pub(crate) struct LakeOptions {
    /// Locations that may be read.
    pub(crate) readable: Vec<Location>,
    /// Locations that may be written.
    pub(crate) writable: Vec<Location>,
    /// A catalog that is forgotten at the end; spill files go to a temporary folder.
    pub(crate) in_memory: bool,
    /// What everyone may do; the command line's own user may do everything.
    pub(crate) everyone: Option<Role>,
}

/// A lake, ready to be asked.
pub(crate) struct Lake {
    pub(crate) query: QueryService,
    /// Rows that are not in files yet: queries see what is put into them.
    pub(crate) buffers: Buffers,
    /// Where it keeps its own files.
    pub(crate) data_dir: PathBuf,
    /// Kept until the end: it holds the spill files of a lake without a data folder.
    _temporary: Option<tempfile::TempDir>,
}

impl Lake {
    /// Opens the lake that settings and options describe.
    pub(crate) async fn open(sources: &Sources, options: LakeOptions) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let data = DataSettings::read(&sources.values)?;
        let (dir, temporary) = data_dir(&data, options.in_memory)?;
        let storage = open_storage(sources, &data, &options)?;
        let lake = match options.in_memory && !sources.values.is_set("data.lake") {
            true => None,
            false => Some(lake_of(&sources.values, &dir)?),
        };
        if let Some(lake) = &lake {
            storage.allow(lake, Mode::ReadWrite)?;
        }
        let catalog = match options.in_memory {
            true => Catalog::in_memory(storage, catalog_settings(&sources.values)?, clock.clone()).await?,
            false => open_catalog(sources, &dir, storage, &clock).await?,
        };
        let everyone = options.everyone.map_or_else(Principal::local, Principal::anonymous);
        let keys = keys_of(&catalog, &clock).await?;
        let access = Access::with_keys(limits(&sources.values)?, everyone, keys, clock.clone());
        let mut settings = query_settings(&sources.values, &dir, lake)?;
        if options.in_memory {
            // Its one query is not asked twice.
            settings.result_cache_bytes = 0;
        }
        let query = QueryService::new(settings, catalog, access, clock)?;
        let buffers = Buffers::default();
        query.set_buffers(buffers.clone());
        Ok(Self { query, buffers, data_dir: dir, _temporary: temporary })
    }
}

/// The folder that a lake keeps its own files in, made where it is not there.
///
/// # Errors
/// `disk_failed` where it cannot be made.
pub(crate) fn data_folder(sources: &Sources) -> Result<PathBuf> {
    Ok(data_dir(&DataSettings::read(&sources.values)?, false)?.0)
}

/// The keys in the data folder, for commands that need nothing else of a lake.
pub(crate) async fn open_keys(sources: &Sources) -> Result<Keys> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let data = DataSettings::read(&sources.values)?;
    let (dir, _) = data_dir(&data, false)?;
    let storage = open_storage(sources, &data, &LakeOptions::default())?;
    let catalog = open_catalog(sources, &dir, storage, &clock).await?;
    keys_of(&catalog, &clock).await
}

async fn keys_of(catalog: &Catalog, clock: &Arc<dyn Clock>) -> Result<Keys> {
    let workgroups = Workgroups::open(Arc::new(catalog.clone()), clock.clone()).await?;
    Keys::open(Arc::new(catalog.clone()), workgroups, clock.clone()).await
}

async fn open_catalog(sources: &Sources, dir: &Path, storage: Storage, clock: &Arc<dyn Clock>) -> Result<Catalog> {
    Catalog::open(&dir.join("catalog.sqlite"), storage, catalog_settings(&sources.values)?, clock.clone()).await
}

fn open_storage(sources: &Sources, data: &DataSettings, options: &LakeOptions) -> Result<Storage> {
    let mut settings = storage_settings(sources)?;
    settings.io_runtime = Some(tokio::runtime::Handle::current());
    let storage = Storage::new(settings);
    for location in data.readable.iter().chain(&options.readable) {
        storage.allow(location, Mode::Read)?;
    }
    for location in data.writable.iter().chain(&options.writable) {
        storage.allow(location, Mode::ReadWrite)?;
    }
    Ok(storage)
}

fn data_dir(data: &DataSettings, in_memory: bool) -> Result<(PathBuf, Option<tempfile::TempDir>)> {
    let failed = |path: &Path, error: std::io::Error| {
        Error::new(ErrorKind::DiskFailed, format!("data folder {} cannot be made: {error}", path.display()))
            .with_hint("Name another with --data-dir.")
            .with_source(error)
    };
    if in_memory {
        let temporary = tempfile::Builder::new().prefix("lakebed-").tempdir();
        let temporary = temporary.map_err(|error| failed(&std::env::temp_dir(), error))?;
        return Ok((temporary.path().to_owned(), Some(temporary)));
    }
    std::fs::create_dir_all(&data.dir).map_err(|error| failed(&data.dir, error))?;
    let absolute = std::path::absolute(&data.dir).map_err(|error| failed(&data.dir, error))?;
    Ok((absolute, None))
}
