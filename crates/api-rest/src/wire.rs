//! Answers as JSON: the shapes that several routes share.

use std::borrow::Cow;

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use lakebed_query::QueryRecord;
use lakebed_types::{
    Estimate, QueryId, QueryState, QueryStatistics, ResultCacheUse, StatementClass, StatementKind, sql_type_name,
};
use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

/// One column of a table or result.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Column {
    /// In the spelling of the files.
    #[schema(example = "carrier")]
    name: String,
    /// SQL type name.
    #[serde(rename = "type")]
    #[schema(example = "VARCHAR")]
    data_type: String,
    nullable: bool,
    /// Whether its values come from the folders' names.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    partition: bool,
}

/// The columns of a schema. `partitions`: names of the partition columns.
pub(crate) fn columns(schema: &SchemaRef, partitions: &[String]) -> Vec<Column> {
    let column = |field: &std::sync::Arc<arrow::datatypes::Field>| Column {
        name: field.name().clone(),
        data_type: sql_type_name(field.data_type()),
        nullable: field.is_nullable(),
        partition: partitions.contains(field.name()),
    };
    schema.fields().iter().map(column).collect()
}

/// One query execution.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueryExecution {
    #[schema(value_type = String, format = "uuid")]
    query_id: QueryId,
    #[schema(value_type = String, example = "SUCCEEDED")]
    state: QueryState,
    /// None while the statement has not been read.
    #[schema(value_type = Option<String>, example = "SELECT")]
    statement_kind: Option<StatementKind>,
    #[schema(value_type = Option<String>, example = "DML")]
    statement_class: Option<StatementClass>,
    #[schema(example = "SELECT count(*) FROM flights")]
    query: String,
    #[schema(example = "default")]
    database: String,
    principal: String,
    /// Whose limits hold for it.
    #[schema(example = "default")]
    workgroup: String,
    /// While it is queued: its place in the queue, from 1 on.
    queue_position: Option<u64>,
    /// The API that it came through.
    #[schema(value_type = String, example = "rest")]
    source: Cow<'static, str>,
    submitted: DateTime<Utc>,
    ended: Option<DateTime<Utc>>,
    #[schema(schema_with = statistics_schema)]
    statistics: QueryStatistics,
    /// Why it failed.
    error: Option<QueryError>,
}

/// Why a query failed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueryError {
    #[schema(example = "table_not_found")]
    code: &'static str,
    detail: String,
}

impl From<QueryRecord> for QueryExecution {
    fn from(record: QueryRecord) -> Self {
        Self {
            query_id: record.id,
            state: record.state,
            statement_kind: record.kind,
            statement_class: record.kind.map(StatementKind::class),
            query: record.sql,
            database: record.database.to_string(),
            principal: record.principal,
            workgroup: record.workgroup,
            queue_position: record.queue_position.map(|position| position as u64),
            source: record.source,
            submitted: record.submitted,
            ended: record.ended,
            statistics: record.statistics,
            error: record.error.map(|(kind, detail)| QueryError { code: kind.code(), detail }),
        }
    }
}

/// A problem document, for the OpenAPI document alone: `error.rs` writes them.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct Problem {
    #[schema(example = "urn:lakebed:error:table_not_found")]
    r#type: String,
    #[schema(example = "Table not found")]
    title: String,
    #[schema(example = 404)]
    status: u16,
    #[schema(example = "there is no table `default.flihgts`")]
    detail: String,
    /// From the closed list in docs/reference/errors.md.
    #[schema(example = "table_not_found")]
    code: String,
    #[schema(example = "Did you mean `flights`?")]
    hint: Option<String>,
    /// Also in the `x-query-id` header.
    #[schema(format = "uuid")]
    query_id: String,
    /// Of rows that were sent and refused: 0, for then none is taken.
    accepted: Option<u64>,
    /// How many cannot be taken.
    rejected: Option<u64>,
    /// And the first 100 of them.
    errors: Option<Vec<RowProblem>>,
}

/// Why a row that was sent is not taken.
#[derive(Serialize, ToSchema)]
pub(crate) struct RowProblem {
    /// The row's number in the body, from 1.
    #[schema(example = 17)]
    pub(crate) row: u64,
    /// The field that is wrong, where it is one.
    #[schema(example = "price")]
    pub(crate) field: Option<String>,
    #[schema(example = "`abc` is not a DOUBLE")]
    pub(crate) reason: String,
}

/// The schema of the statistics block, from the block itself.
pub(crate) fn statistics_schema() -> Schema {
    let mut schema = schema_of(&serde_json::to_value(QueryStatistics::default()).unwrap_or_default());
    if let Schema::Object(statistics) = &mut schema {
        let words = [ResultCacheUse::Hit, ResultCacheUse::Miss, ResultCacheUse::Bypass].map(ResultCacheUse::name);
        let about = "Whether the answer was given before: `hit`, `miss`, or `bypass` where none was looked for.";
        let word = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).description(Some(about));
        statistics.properties.insert("result_cache".to_owned(), word.build().into());
    }
    schema
}

/// The schema of an estimate, from an estimate itself.
pub(crate) struct EstimateSchema;

impl PartialSchema for EstimateSchema {
    fn schema() -> RefOr<Schema> {
        let example = Estimate { tables: vec![lakebed_types::TableEstimate::default()], ..Estimate::default() };
        schema_of(&serde_json::to_value(example).unwrap_or_default()).into()
    }
}

impl ToSchema for EstimateSchema {
    fn name() -> std::borrow::Cow<'static, str> {
        "Estimate".into()
    }
}

/// The loosest schema that this value and its kind have. Null stands for an optional number.
fn schema_of(value: &serde_json::Value) -> Schema {
    use serde_json::Value as V;
    let of_type = |schema_type| Schema::Object(ObjectBuilder::new().schema_type(schema_type).build());
    match value {
        V::Object(members) => {
            let object = members.iter().fold(ObjectBuilder::new(), |object, (name, member)| {
                let object = object.property(name, schema_of(member));
                if member.is_null() { object } else { object.required(name) }
            });
            Schema::Object(object.build())
        }
        V::Array(items) => {
            let item = items.first().map_or_else(|| of_type(Type::String), schema_of);
            Schema::Array(utoipa::openapi::ArrayBuilder::new().items(RefOr::T(item)).build())
        }
        V::Bool(_) => of_type(Type::Boolean),
        V::Number(number) if number.is_u64() => of_type(Type::Integer),
        V::Number(_) => of_type(Type::Number),
        V::String(_) => of_type(Type::String),
        V::Null => Schema::Object(
            ObjectBuilder::new()
                .schema_type(utoipa::openapi::schema::SchemaType::from_iter([Type::Number, Type::Null]))
                .build(),
        ),
    }
}
