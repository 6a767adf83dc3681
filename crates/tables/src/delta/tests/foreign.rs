//! Tables of other programs: what is beyond us is refused, and what they have noted stays.

use object_store::{ObjectStoreExt, path::Path};
use serde_json::{Value, json};

use super::*;

fn column(name: &str, data_type: Value, metadata: Value) -> Value {
    json!({"name": name, "type": data_type, "nullable": true, "metadata": metadata})
}

fn metadata(columns: Vec<Value>, partition_columns: &[&str], configuration: Value) -> Value {
    let schema = json!({"type": "struct", "fields": columns});
    json!({"metaData": {
        "id": "theirs",
        "format": {"provider": "parquet", "options": {}},
        "schemaString": schema.to_string(),
        "partitionColumns": partition_columns,
        "configuration": configuration,
    }})
}

/// A table whose first version another program has written.
async fn theirs(protocol: Value, metadata: Value) -> (Storage, lakebed_types::Result<DeltaTable>) {
    let storage = storage();
    let first = format!("{}\n{metadata}\n", json!({ "protocol": protocol }));
    let path = Path::from("t/_delta_log/00000000000000000000.json");
    storage.store(&location()).unwrap().put(&path, first.into_bytes().into()).await.unwrap();
    let table = DeltaTable::open(&storage, location(), clock()).await;
    (storage, table)
}

fn plain() -> Value {
    json!({"minReaderVersion": 1, "minWriterVersion": 2})
}

fn newest() -> Value {
    json!({"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": [], "writerFeatures": ["appendOnly"]})
}

#[tokio::test]
async fn what_we_would_break_or_misread_is_refused_by_its_name() {
    let id = || column("id", json!("long"), json!({}));
    let with = |metadata: Value| vec![id(), column("n", json!("long"), metadata)];
    let mut required = column("n", json!("long"), json!({}));
    required["nullable"] = json!(false);
    let inside =
        json!({"type": "array", "containsNull": true, "elementType": {"type": "struct", "fields": [required]}});
    let refused = [
        (metadata(with(json!({})), &["id", "n"], json!({})), "`id`, `n`"),
        (metadata(vec![id(), column("x", json!("double"), json!({}))], &["x"], json!({})), "`x`"),
        (metadata(vec![id(), required.clone()], &[], json!({})), "column `n`"),
        (metadata(vec![id(), column("l", inside, json!({}))], &[], json!({})), "column `l.n`"),
        (metadata(with(json!({"delta.invariants": "{}"})), &[], json!({})), "column `n`"),
        (metadata(with(json!({"delta.generationExpression": "id + 1"})), &[], json!({})), "column `n`"),
        (metadata(with(json!({"delta.identity.start": 1})), &[], json!({})), "column `n`"),
        (metadata(vec![id()], &[], json!({"delta.constraints.positive": "id > 0"})), "`positive`"),
    ];
    for (metadata, named) in refused {
        let error = theirs(plain(), metadata.clone()).await.1.unwrap_err();
        assert_eq!(error.kind().code(), "unsupported", "{metadata}: {error}");
        assert!(error.message().contains(named) && error.hint().is_some(), "{error:?}");
    }
    let fine = metadata(with(json!({"comment": "theirs"})), &["n"], json!({}));
    assert_eq!(theirs(plain(), fine).await.1.unwrap().state().partition_column(), Some("n"));
}

#[tokio::test]
async fn columns_are_added_beside_those_of_other_programs() {
    let tags = json!({"type": "array", "elementType": "string", "containsNull": false});
    let columns = vec![column("tags", tags, json!({"comment": "theirs"}))];
    let zoneless = Field::new("at", DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None), true);
    for protocol in [plain(), newest()] {
        let (storage, table) = theirs(protocol, metadata(columns.clone(), &[], json!({}))).await;
        let table = table.unwrap();
        table.add_columns(vec![zoneless.clone()], soon(&table)).await.unwrap();
        let state = open(&storage).await.state();
        let schema: Value = serde_json::from_str(&state.metadata.schema_string).unwrap();
        assert_eq!(schema["fields"][0], columns[0]);
        assert_eq!(schema["fields"][1]["type"], "timestamp_ntz");
        let has = |features: &Option<Vec<String>>, name: &str| features.iter().flatten().any(|known| known == name);
        assert!(has(&state.protocol.reader_features, "timestampNtz"), "{:?}", state.protocol);
        assert!(has(&state.protocol.writer_features, "timestampNtz"), "{:?}", state.protocol);
        assert!(has(&state.protocol.writer_features, "appendOnly"), "{:?}", state.protocol);
    }
}

#[tokio::test]
async fn days_of_a_table_that_only_grows_are_not_removed() {
    let storage = storage();
    let configuration = [("delta.appendOnly".to_owned(), "true".to_owned())].into();
    let options = DeltaOptions { configuration, ..options() };
    let table = DeltaTable::create(&storage, location(), schema(), options, clock()).await.unwrap();
    add(&table, vec![rows(0..5, 1)], "a", 1).await;
    let error = table.remove_partition(Some("1970-01-02"), soon(&table)).await.unwrap_err();
    assert_eq!(error.kind().code(), "unsupported");
    assert!(error.message().contains("delta.appendOnly"), "{error}");
    assert_eq!(table.remove_partition(Some("1970-01-03"), soon(&table)).await.unwrap().files, 0);
    // The same rows in other files are no removal.
    add(&table, vec![rows(5..8, 1)], "a", 2).await;
    let options = crate::delta::MergeOptions { name_prefix: "m".to_owned(), ..Default::default() };
    assert_eq!(crate::delta::merge_partition(&table, Some("1970-01-02"), options, &|_| ()).await.unwrap().rounds, 1);
    assert_eq!(ids(&storage, &open(&storage).await.state()).await, (0..8).collect::<Vec<_>>());
}
