//! Ruling out buffered rows by their bounds, chunk by chunk.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{ArrayRef, BooleanArray, UInt64Array},
    datatypes::SchemaRef,
};
use datafusion::{
    common::{Column, ScalarValue},
    physical_expr::{PhysicalExpr, conjunction},
    physical_optimizer::pruning::{PruningPredicateBuilder, PruningStatistics},
};

use super::{chunk::Bounds, rows::Piece};

/// The pieces that may hold a row for which all filters are true.
pub(super) fn surviving(pieces: &[Piece], table: &SchemaRef, filters: &[Arc<dyn PhysicalExpr>]) -> Vec<Piece> {
    let all = || pieces.to_vec();
    if filters.is_empty() || pieces.is_empty() {
        return all();
    }
    let predicate = PruningPredicateBuilder::new()
        .with_file_schema(Arc::clone(table))
        .build(conjunction(filters.iter().map(Arc::clone)));
    let places = pieces.iter().map(|piece| piece.places(table)).collect();
    // A predicate that cannot be turned into one on bounds rules nothing out.
    match predicate.map(|predicate| predicate.prune(&Pieces { pieces, table, places })) {
        Some(Ok(may_match)) => {
            pieces.iter().zip(may_match).filter(|(_, may_match)| *may_match).map(|(piece, _)| piece.clone()).collect()
        }
        _ => all(),
    }
}

struct Pieces<'a> {
    pieces: &'a [Piece],
    table: &'a SchemaRef,
    places: Vec<Vec<Option<usize>>>,
}

impl Pieces<'_> {
    fn bounds(&self, column: &Column, pick: impl Fn(&Bounds) -> &ScalarValue) -> Option<ArrayRef> {
        let index = self.table.index_of(column.name()).ok()?;
        let data_type = self.table.field(index).data_type();
        let none = ScalarValue::try_from(data_type).ok()?;
        let of = |(piece, places): (&Piece, &Vec<Option<usize>>)| {
            let bounds = places[index].and_then(|place| piece.chunk.bounds(place));
            bounds.map(&pick).filter(|value| value.data_type() == *data_type).unwrap_or(&none).clone()
        };
        ScalarValue::iter_to_array(self.pieces.iter().zip(&self.places).map(of)).ok()
    }
}

impl PruningStatistics for Pieces<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |bounds| &bounds.min)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |bounds| &bounds.max)
    }

    fn num_containers(&self) -> usize {
        self.pieces.len()
    }

    fn null_counts(&self, _column: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.pieces.iter().map(|piece| Some(piece.rows() as u64)).collect::<UInt64Array>()))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
