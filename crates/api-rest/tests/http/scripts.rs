//! The SQL scripts of `tests/sql`, each through the query service itself and through HTTP: one source, equal answers.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::TryStreamExt;
use lakebed_access::{AdmitOptions, Principal};
use lakebed_api_rest::RestSettings;
use lakebed_query::{CachePolicy, Parameters, QueryOptions, QueryService};
use lakebed_testkit::{Answer, Door, or_empty, run_scripts, scripts_folder, scripts_lake};
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
        Ok(Answer::of_batches(columns, &batches).unwrap())
    }
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

async fn server() -> Server {
    Server::over(scripts_lake().unwrap(), RestSettings::default()).await
}

#[tokio::test]
async fn scripts_hold_for_the_query_service() {
    let server = server().await;
    run_scripts(&scripts_folder(), Service(server.query.clone())).await.unwrap();
}

#[tokio::test]
async fn scripts_hold_over_http() {
    run_scripts(&scripts_folder(), Http(Arc::new(server().await))).await.unwrap();
}
