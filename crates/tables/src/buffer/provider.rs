//! Files and buffered rows as one table of the engine.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{ColumnStatistics, DFSchema, Statistics, stats::Precision},
    datasource::memory::MemorySourceConfig,
    error::Result as EngineResult,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_expr::{PhysicalExpr, conjunction, utils::collect_columns, utils::reassign_expr_columns},
    physical_plan::{ExecutionPlan, filter::FilterExec, union::UnionExec},
};

use super::{
    prune,
    rows::{BufferRows, Piece},
};
use crate::prune::has_subquery;

/// The provider that reads a version's files, through `files`, and the buffered rows that the version does not hold.
/// `files` is what [`provider`](crate::provider) made of that version; without buffered rows it comes back as it is.
pub fn provider_with_buffer(files: Arc<dyn TableProvider>, rows: BufferRows) -> Arc<dyn TableProvider> {
    match rows.is_empty() {
        true => files,
        false => Arc::new(BufferedTable { schema: files.schema(), files, rows }),
    }
}

#[derive(Debug)]
struct BufferedTable {
    schema: SchemaRef,
    files: Arc<dyn TableProvider>,
    rows: BufferRows,
}

#[async_trait]
impl TableProvider for BufferedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let files = self.files.scan(session, projection, filters, limit).await?;
        let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        let usable: Vec<&Expr> = filters.iter().filter(|filter| !has_subquery(filter)).collect();
        let physical = |filter: &&Expr| session.create_physical_expr((*filter).clone(), &schema);
        let all = usable.iter().map(physical).collect::<EngineResult<Vec<_>>>()?;
        let pieces = prune::surviving(&self.rows.pieces, &self.schema, &all);
        if pieces.is_empty() {
            return Ok(files);
        }
        // What the files' side decides for good is not asked again above.
        let support = self.files.supports_filters_pushdown(&usable)?;
        let exact = all.into_iter().zip(support);
        let exact = exact.filter(|(_, support)| *support == TableProviderFilterPushDown::Exact);
        let exact: Vec<Arc<dyn PhysicalExpr>> = exact.map(|(filter, _)| filter).collect();
        let buffered = self.buffered(&pieces, projection, &exact, session.config().target_partitions())?;
        UnionExec::try_new(vec![files, buffered])
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> EngineResult<Vec<TableProviderFilterPushDown>> {
        self.files.supports_filters_pushdown(filters)
    }

    fn statistics(&self) -> Option<Statistics> {
        let files = self.files.statistics()?;
        let rows = Precision::Exact(self.rows.rows() as usize);
        let bytes = Precision::Inexact(self.rows.bytes() as usize);
        Some(Statistics {
            num_rows: files.num_rows.add(&rows),
            total_byte_size: files.total_byte_size.add(&bytes),
            column_statistics: vec![ColumnStatistics::new_unknown(); self.schema.fields().len()],
        })
    }
}

impl BufferedTable {
    /// A plan over the buffered rows, with these filters applied.
    fn buffered(
        &self,
        pieces: &[Piece],
        projection: Option<&Vec<usize>>,
        filters: &[Arc<dyn PhysicalExpr>],
        partitions: usize,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let mut read = wanted.clone();
        for column in filters.iter().flat_map(collect_columns) {
            if !read.contains(&column.index()) {
                read.push(column.index());
            }
        }
        let schema: SchemaRef = Arc::new(Schema::new(
            read.iter().map(|place| Arc::clone(&self.schema.fields()[*place])).collect::<Vec<_>>(),
        ));
        let batch = |piece: &Piece| Ok(piece.batch(&self.schema, &read, &schema)?);
        let batches = pieces.iter().map(batch).collect::<EngineResult<Vec<_>>>()?;
        let groups = batches.chunks(batches.len().div_ceil(partitions.max(1)).max(1)).map(<[_]>::to_vec);
        let kept = (read.len() > wanted.len()).then(|| (0..wanted.len()).collect::<Vec<_>>());
        let groups: Vec<Vec<_>> = groups.collect();
        if filters.is_empty() {
            return Ok(MemorySourceConfig::try_new_exec(&groups, schema, kept)?);
        }
        let rows = MemorySourceConfig::try_new_exec(&groups, Arc::clone(&schema), None)?;
        let predicate = reassign_expr_columns(conjunction(filters.iter().map(Arc::clone)), &schema)?;
        let filtered = Arc::new(FilterExec::try_new(predicate, rows)?);
        match kept {
            Some(kept) => project(filtered, &schema, &kept),
            None => Ok(filtered),
        }
    }
}

fn project(
    input: Arc<dyn ExecutionPlan>,
    schema: &SchemaRef,
    columns: &[usize],
) -> EngineResult<Arc<dyn ExecutionPlan>> {
    use datafusion::physical_plan::{expressions::Column, projection::ProjectionExec};
    let column = |place: &usize| {
        let name = schema.field(*place).name().clone();
        (Arc::new(Column::new(&name, *place)) as Arc<dyn PhysicalExpr>, name)
    };
    let columns: Vec<_> = columns.iter().map(column).collect();
    Ok(Arc::new(ProjectionExec::try_new(columns, input)?))
}
