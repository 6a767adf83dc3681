//! The buffers of all tables.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::SchemaRef;
use lakebed_types::{Clock, SystemClock, TableName};
use parking_lot::RwLock;

use super::table::TableBuffer;

/// The buffers of all tables that take rows in this process. Cheap to clone; the one who fills them and those who read
/// share it.
#[derive(Debug, Clone)]
pub struct Buffers {
    tables: Arc<RwLock<HashMap<TableName, Arc<TableBuffer>>>>,
    clock: Arc<dyn Clock>,
}

impl Default for Buffers {
    /// With this machine's clock.
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl Buffers {
    /// None yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { tables: Arc::default(), clock }
    }

    /// The buffer of a table, where it has one.
    pub fn table(&self, name: &TableName) -> Option<Arc<TableBuffer>> {
        self.tables.read().get(name).cloned()
    }

    /// The buffer of a table, made where there is none. `app_id`: under which its rows are committed. `table_id`: the Delta
    /// table that they are for. A buffer of another writer or table is replaced. `schema`: the table's columns, the
    /// partition column included.
    pub fn open(&self, name: &TableName, app_id: &str, table_id: &str, schema: SchemaRef) -> Arc<TableBuffer> {
        let mut tables = self.tables.write();
        let is_same = |known: &&Arc<TableBuffer>| known.app_id() == app_id && known.table_id() == table_id;
        if let Some(known) = tables.get(name).filter(is_same) {
            return Arc::clone(known);
        }
        let buffer = Arc::new(TableBuffer::new(app_id, table_id, schema, Arc::clone(&self.clock)));
        if let Some(earlier) = tables.insert(name.clone(), Arc::clone(&buffer)) {
            earlier.close();
        }
        buffer
    }

    /// Forgets the rows of this Delta table. Who waits for more of them is told.
    pub fn remove(&self, name: &TableName, table_id: &str) {
        let mut tables = self.tables.write();
        if tables.get(name).is_some_and(|buffer| buffer.table_id() == table_id)
            && let Some(buffer) = tables.remove(name)
        {
            buffer.close();
        }
    }

    /// All of them, by table.
    pub fn all(&self) -> Vec<(TableName, Arc<TableBuffer>)> {
        let tables = self.tables.read();
        let mut all: Vec<_> = tables.iter().map(|(name, buffer)| (name.clone(), Arc::clone(buffer))).collect();
        all.sort_by(|left, right| left.0.cmp(&right.0));
        all
    }

    /// Bytes of rows that are not in files yet, all tables together.
    pub fn bytes(&self) -> u64 {
        self.tables.read().values().map(|buffer| buffer.bytes()).sum()
    }

    /// Bytes of all rows that are held, those that stay for readers of older versions included.
    pub fn held_bytes(&self) -> u64 {
        self.tables.read().values().map(|buffer| buffer.held_bytes()).sum()
    }
}
