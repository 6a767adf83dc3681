//! From the table's columns to a file's: other case, other order, narrower types, missing ones.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::{
    common::tree_node::{Transformed, TransformedResult, TreeNode},
    error::Result,
    physical_expr::{PhysicalExpr, expressions::Column},
    physical_expr_adapter::{DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory},
};

use crate::columns::match_columns;

/// Renames columns to the file's spelling, then leaves types and missing columns to the engine's own adapter.
#[derive(Debug)]
pub(crate) struct FileColumns;

impl PhysicalExprAdapterFactory for FileColumns {
    fn create(&self, table: SchemaRef, file: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let places = match_columns(&table, &file);
        let mut renamed = HashMap::new();
        let mut fields = Vec::with_capacity(places.len());
        for (field, place) in table.fields().iter().zip(&places) {
            let field = match place.map(|place| file.field(place)) {
                Some(found) => {
                    if found.name() != field.name() {
                        renamed.insert(field.name().clone(), found.name().clone());
                    }
                    in_file(field, found)
                }
                None => field.as_ref().clone(),
            };
            fields.push(field);
        }
        let inner = DefaultPhysicalExprAdapterFactory.create(Arc::new(Schema::new(fields)), file)?;
        Ok(Arc::new(FileColumn { renamed, inner }))
    }
}

/// The file's own field where the types agree: another nullability or metadata alone would cost a cast.
fn in_file(table: &Field, file: &Field) -> Field {
    if table.data_type() == file.data_type() { file.clone() } else { table.clone().with_name(file.name()) }
}

#[derive(Debug)]
struct FileColumn {
    renamed: HashMap<String, String>,
    inner: Arc<dyn PhysicalExprAdapter>,
}

impl PhysicalExprAdapter for FileColumn {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        if self.renamed.is_empty() {
            return self.inner.rewrite(expr);
        }
        let rename = |expr: Arc<dyn PhysicalExpr>| {
            let column = expr.downcast_ref::<Column>();
            let name = column.and_then(|column| self.renamed.get(column.name()));
            Ok(match (column, name) {
                (Some(column), Some(name)) => {
                    Transformed::yes(Arc::new(Column::new(name, column.index())) as Arc<dyn PhysicalExpr>)
                }
                _ => Transformed::no(expr),
            })
        };
        self.inner.rewrite(expr.transform(rename).data()?)
    }
}
