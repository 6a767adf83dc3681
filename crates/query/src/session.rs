//! One engine session per query: its own tables, memory and counters over shared settings, functions and stores.

use std::{collections::HashMap, fmt, path::Path, sync::Arc};

use datafusion::{
    catalog::{
        CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
        SchemaProvider, TableProvider,
    },
    common::{DataFusionError, Result as EngineResult},
    execution::{
        SessionState, SessionStateBuilder,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        object_store::ObjectStoreRegistry,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    prelude::SessionConfig,
};
use lakebed_access::ServerMemory;
use lakebed_storage::{Storage, StoreCounters};
use lakebed_tables::ScanCounters;
use lakebed_types::{DatabaseName, Error, ErrorKind, Result};
use object_store::ObjectStore;
use url::Url;

use crate::{
    error::from_engine, functions, memory::QueryMemory, pace::Stop, settings::QuerySettings, spill::QuerySpill, sql,
};

/// The one catalog that a statement can name, as in `lakebed.sales.orders`.
pub(crate) const CATALOG: &str = "lakebed";

/// Rows sorted ahead for one partition of an already sorted scan; the engine's own default would be 1 GiB for each.
const SORT_PUSHDOWN_BYTES: usize = 64 << 20;
/// Longer lists of values still prune files and row groups.
const PRUNED_IN_LIST: usize = 100;
const FILE_STATISTICS_CACHE_BYTES: usize = 1 << 20;

/// What all queries share.
pub(crate) struct Sessions {
    template: SessionState,
    runtime: RuntimeEnv,
    memory: Arc<ServerMemory>,
}

/// What one query uses, counted; and what ends its work.
#[derive(Debug, Clone)]
pub(crate) struct Resources {
    pub(crate) memory: Arc<QueryMemory>,
    pub(crate) spill: QuerySpill,
    pub(crate) store: Arc<StoreCounters>,
    pub(crate) scans: Arc<ScanCounters>,
    pub(crate) stop: Stop,
}

/// A table under the name by which a statement reaches it.
#[derive(Debug, Clone)]
pub(crate) struct NamedProvider {
    pub(crate) database: String,
    pub(crate) table: String,
    pub(crate) provider: Arc<dyn TableProvider>,
}

impl Sessions {
    /// Empties the spill directory. `memory`: what all queries share.
    pub(crate) fn new(settings: &QuerySettings, storage: &Storage, memory: Arc<ServerMemory>) -> Result<Self> {
        empty_dir(&settings.spill_dir)?;
        let spill = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![settings.spill_dir.clone()]))
            .with_max_temp_directory_size(settings.spill_bytes);
        let runtime = RuntimeEnvBuilder::new()
            .with_disk_manager_builder(spill)
            .with_object_store_registry(Arc::new(AllowedStores(storage.clone())))
            .with_object_list_cache_limit(0)
            .with_file_statistics_cache_limit(FILE_STATISTICS_CACHE_BYTES)
            .with_metadata_cache_limit(0)
            .build()
            .map_err(from_engine)?;
        let mut template = SessionStateBuilder::new()
            .with_default_features()
            .with_config(config(settings)?)
            .with_runtime_env(Arc::new(runtime.clone()))
            .build();
        functions::register(&mut template)?;
        Ok(Self { template, runtime, memory })
    }

    /// Bytes that all queries have reserved now.
    pub(crate) fn memory_reserved(&self) -> u64 {
        self.memory.reserved() as u64
    }

    /// Names and kinds of all functions, in no order.
    pub(crate) fn functions(&self) -> Vec<(String, &'static str)> {
        let state = &self.template;
        let scalar = state.scalar_functions().keys().map(|name| (name.clone(), "scalar"));
        let aggregate = state.aggregate_functions().keys().map(|name| (name.clone(), "aggregate"));
        let window = state.window_functions().keys().map(|name| (name.clone(), "window"));
        let table = state.table_functions().keys().map(|name| (name.clone(), "table"));
        scalar.chain(aggregate).chain(window).chain(table).collect()
    }

    /// Fresh counters and an empty share of memory for one query.
    pub(crate) fn resources(&self) -> Resources {
        Resources {
            memory: Arc::new(QueryMemory::new(self.memory.clone())),
            spill: QuerySpill::new(self.runtime.disk_manager.clone()),
            store: Arc::default(),
            scans: Arc::default(),
            stop: Stop::default(),
        }
    }

    /// A session in which exactly these tables exist.
    pub(crate) fn state(
        &self,
        resources: &Resources,
        database: &DatabaseName,
        tables: &[NamedProvider],
    ) -> Result<SessionState> {
        let mut config = self.template.config().clone().with_extension(Arc::new(resources.stop.clone()));
        config.options_mut().catalog.default_schema = database.as_str().to_owned();
        let spill = DiskManagerBuilder::default().with_temp_file_factory(Arc::new(resources.spill.clone()));
        let runtime = RuntimeEnv {
            memory_pool: resources.memory.clone(),
            disk_manager: Arc::new(spill.build().map_err(from_engine)?),
            ..self.runtime.clone()
        };
        Ok(SessionStateBuilder::new_from_existing(self.template.clone())
            .with_config(config)
            .with_runtime_env(Arc::new(runtime))
            .with_catalog_list(catalog_of(database, tables).map_err(from_engine)?)
            .build())
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("memory", &self.memory).finish_non_exhaustive()
    }
}

fn config(settings: &QuerySettings) -> Result<SessionConfig> {
    let mut config = SessionConfig::new()
        .with_batch_size(settings.batch_rows.max(1))
        .with_target_partitions(settings.threads.max(1))
        .with_information_schema(false)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, DatabaseName::default_database().as_str())
        .with_collect_statistics(true);
    let options = config.options_mut();
    sql::planner_options(options, &settings.sql);
    options.execution.time_zone = Some("UTC".to_owned());
    options.execution.sort_pushdown_buffer_capacity = SORT_PUSHDOWN_BYTES;
    options.execution.parquet.max_in_list_size = PRUNED_IN_LIST;
    Ok(config)
}

fn catalog_of(database: &DatabaseName, tables: &[NamedProvider]) -> EngineResult<Arc<dyn CatalogProviderList>> {
    let mut schemas: HashMap<&str, Arc<MemorySchemaProvider>> = HashMap::new();
    schemas.insert(database.as_str(), Arc::default());
    for table in tables {
        let schema = schemas.entry(table.database.as_str()).or_default();
        if !schema.table_exist(&table.table) {
            schema.register_table(table.table.clone(), table.provider.clone())?;
        }
    }
    let catalog = MemoryCatalogProvider::new();
    for (name, schema) in schemas {
        catalog.register_schema(name, schema)?;
    }
    let list = MemoryCatalogProviderList::new();
    list.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
    Ok(Arc::new(list))
}

/// Makes sure that a directory of ours exists and holds nothing.
pub(crate) fn empty_dir(dir: &Path) -> Result<()> {
    let failed = |e: std::io::Error| {
        Error::new(ErrorKind::DiskFailed, format!("the directory {} cannot be prepared: {e}", dir.display()))
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        match entry.file_type().map_err(failed)?.is_dir() {
            true => std::fs::remove_dir_all(entry.path()).map_err(failed)?,
            false => std::fs::remove_file(entry.path()).map_err(failed)?,
        }
    }
    Ok(())
}

/// The stores that the configuration allows, and no others: nothing is registered at run time.
#[derive(Debug)]
struct AllowedStores(Storage);

impl ObjectStoreRegistry for AllowedStores {
    fn register_store(&self, _url: &Url, _store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> EngineResult<Arc<dyn ObjectStore>> {
        let refused = || {
            let text = format!("{}://{} is not configured", url.scheme(), url.host_str().unwrap_or_default());
            DataFusionError::External(Box::new(Error::new(ErrorKind::LocationNotAllowed, text)))
        };
        self.0.store_for_url(url).ok_or_else(refused)
    }
}
