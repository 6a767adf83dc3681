//! The SQL scripts of `tests/sql`, each through the query service itself and through HTTP: one source, equal answers.

use std::{path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray},
    util::display::array_value_to_string,
};
use async_trait::async_trait;
use futures::TryStreamExt;
use lakebed_access::{AdmitOptions, Principal};
use lakebed_api_rest::RestSettings;
use lakebed_query::{CachePolicy, Parameters, QueryOptions, QueryService};
use lakebed_testkit::{Answer, Door, TestLake, run_scripts};
use lakebed_types::{DatabaseName, Error, ErrorKind};
use serde_json::Value;

use super::server::{Server, sql_request};

/// The façade, without any API.
#[derive(Clone)]
struct Service(QueryService);

#[async_trait]
impl Door for Service {
    async fn ask(&self, sql: &str) -> Result<Answer, Error> {
        let who = Principal::local();
        let options = QueryOptions {
            database: DatabaseName::default_database(),
            parameters: Parameters::None,
            source: "test",
            result_cache: CachePolicy::Use,
        };
        let prepared = self.0.prepare(&who, sql, &options).await?;
        let admitted = self.0.access().admit(&who, &AdmitOptions::default()).await?;
        let running = self.0.run(admitted, prepared).await?;
        let columns = running.schema.fields().len();
        let batches: Vec<RecordBatch> = running.batches.try_collect().await?;
        let rows = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|row| cells(batch, row))).collect();
        Ok(Answer { columns, rows })
    }
}

fn cells(batch: &RecordBatch, row: usize) -> Vec<String> {
    let text = |column: &ArrayRef| match column.is_null(row) {
        true => "NULL".to_owned(),
        false => or_empty(array_value_to_string(column, row).unwrap()),
    };
    batch.columns().iter().map(text).collect()
}

/// `POST /v1/sql` with the whole stack of layers.
#[derive(Clone)]
struct Http(Arc<Server>);

#[async_trait]
impl Door for Http {
    async fn ask(&self, sql: &str) -> Result<Answer, Error> {
        let answer = self.0.send(sql_request("/v1/sql", sql)).await;
        let document = answer.json();
        if !answer.status.is_success() {
            return Err(Error::new(ErrorKind::InvalidQuery, document.to_string()));
        }
        let columns = document["columns"].as_array().unwrap().len();
        let row = |row: &Value| row.as_object().unwrap().values().map(as_text).collect();
        Ok(Answer { columns, rows: document["data"].as_array().unwrap().iter().map(row).collect() })
    }
}

/// As the service writes it: numbers and texts without quotes.
fn as_text(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => or_empty(text.clone()),
        other => other.to_string(),
    }
}

fn or_empty(text: String) -> String {
    if text.is_empty() { "(empty)".to_owned() } else { text }
}

async fn server() -> Server {
    let lake = TestLake::new().unwrap();
    let trips = RecordBatch::try_from_iter([
        ("VendorID", Arc::new(Int64Array::from(vec![1, 2, 1])) as ArrayRef),
        ("payment", Arc::new(StringArray::from(vec!["card", "card", "cash"])) as ArrayRef),
        ("fare", Arc::new(Float64Array::from(vec![10.5, 7.25, 20.0])) as ArrayRef),
        ("day", Arc::new(Int32Array::from(vec![1, 1, 2])) as ArrayRef),
    ]);
    lake.write_parquet("trips/part-0.parquet", &[trips.unwrap()]).unwrap();
    Server::over(lake, RestSettings::default()).await
}

fn scripts() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/sql"))
}

#[tokio::test]
async fn scripts_hold_for_the_query_service() {
    let server = server().await;
    run_scripts(scripts(), Service(server.query.clone())).await.unwrap();
}

#[tokio::test]
async fn scripts_hold_over_http() {
    run_scripts(scripts(), Http(Arc::new(server().await))).await.unwrap();
}
