"""The tables are ordinary Delta tables: other readers see the same rows, on a folder and on S3.

DuckDB's extension for Delta would have to be downloaded: here DuckDB reads the Parquet files of the newest version.
"""

import urllib.parse

import duckdb
import pytest
import requests

deltalake = pytest.importorskip("deltalake")
polars = pytest.importorskip("polars")

from conftest import Server
from ingestion import RULES, append, create, flush, merge, rows_of, sequences, url_of, wait_for


def location_of(server, table="events"):
    return server.rows(f"SELECT location FROM system.tables WHERE name = '{table}'")[0]["location"]


def expected(rows):
    return sorted((row["producer"], row["sequence"], row["ts"][:10], row["amount"]) for row in rows)


def as_rows(found):
    return sorted((producer, sequence, str(day), f"{amount:.2f}") for producer, sequence, day, amount in found)


def files_of(table, folder, store=None):
    """The Parquet files of the table's newest version as paths on this machine; those of a bucket are fetched first."""
    files = [urllib.parse.unquote(file.removeprefix("file://")) for file in table.file_uris()]
    if store is None:
        return files
    fetched = []
    for file in files:
        bucket, key = file.removeprefix("s3://").split("/", 1)
        # The day is in the folder's name alone.
        copy = folder / "fetched" / key
        copy.parent.mkdir(parents=True, exist_ok=True)
        store.client.download_file(bucket, key, str(copy))
        fetched.append(str(copy))
    return fetched


def check(server, rows, folder, store=None):
    options = store and {"AWS_ENDPOINT_URL": store.url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": store.ADMIN[0],
                         "AWS_SECRET_ACCESS_KEY": store.ADMIN[1], "AWS_ALLOW_HTTP": "true"}
    location = location_of(server)
    table = deltalake.DeltaTable(location, storage_options=options)
    arrow = table.to_pyarrow_table(columns=["producer", "sequence", "date", "amount"])
    wanted = [(p, s, d, f"{float(a):.2f}") for p, s, d, a in expected(rows)]
    assert as_rows(zip(*(arrow.column(name).to_pylist() for name in arrow.column_names))) == wanted
    frame = polars.read_delta(location, storage_options=options).select("producer", "sequence", "date", "amount")
    assert as_rows(frame.iter_rows()) == wanted
    files = files_of(table, folder, store)
    found = duckdb.sql(f"SELECT producer, sequence, date, amount FROM read_parquet({files}, hive_partitioning = true)").fetchall()
    assert as_rows(found) == wanted
    # Each file has the rows of its folder's day.
    strays = f"SELECT count(*) FROM read_parquet({files}, hive_partitioning = true) WHERE date <> (ts AT TIME ZONE 'UTC')::DATE"
    assert duckdb.sql(strays).fetchall() == [(0,)]
    return table


def test_deltalake_and_polars_read_the_table_and_duckdb_its_files(tmp_path, serve):
    server = serve()
    create(server)
    rows = rows_of("a", range(1000))
    append(server, rows)
    flush(server)
    table = check(server, rows, tmp_path)
    more = rows_of("b", range(500))
    append(server, more)
    flush(server)
    table = check(server, rows + more, tmp_path)
    assert len(table.file_uris()) > 3
    merge(server)
    table = check(server, rows + more, tmp_path)
    assert len(table.file_uris()) == 3, "one file a day"
    assert table.metadata().partition_columns == ["date"]
    # Sorted by the table's key, and said so in the files.
    for file in files_of(table, tmp_path):
        found = duckdb.sql(f"SELECT producer, sequence FROM '{file}'").fetchall()
        assert found == sorted(found)
    assert table.history()[0]["operation"]
    # An older version is still there.
    assert deltalake.DeltaTable(location_of(server), version=table.version() - 1).to_pyarrow_table().num_rows == 1500


def test_the_same_on_an_object_store(tmp_path, s3):
    bucket = s3.bucket("delta")
    server = Server(tmp_path, "--lake", f"s3://{bucket}/lake/", environment=s3.environment())
    try:
        create(server)
        rows = rows_of("a", range(300))
        append(server, rows, ack="lake")
        check(server, rows, tmp_path, s3)
    finally:
        server.stop()


def test_two_servers_write_one_table(tmp_path, s3):
    """Each with a log and a catalog of its own, and no coordinator but the bucket."""
    bucket = s3.bucket("shared")
    servers = []
    try:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            environment = s3.environment() | {"LAKEBED_INGEST_NODE": name}
            servers.append(Server(tmp_path / name, "--lake", f"s3://{bucket}/lake/", environment=environment))
        create(servers[0])
        # The second takes the table as it is: its columns stand in its log.
        attached = requests.put(url_of(servers[1], "events"), json={"location": location_of(servers[0]), "ingest": RULES}, timeout=60)
        assert attached.status_code == 201, attached.text
        assert location_of(servers[1]) == location_of(servers[0])
        for k in range(5):
            for number, server in enumerate(servers):
                append(server, rows_of(f"p{number}", range(k * 100, (k + 1) * 100)), ack="lake")
        both = {"p0": (500, 500, 0, 499), "p1": (500, 500, 0, 499)}
        for server in servers:
            # The other's last commits are seen as soon as new files of any table are.
            wait_for(lambda: sequences(server) == both, "both see both")
        merged = merge(servers[0])
        assert merged["files_after"] == 3 and not merged["lost"], merged
        for server in servers:
            append(server, rows_of("late", [servers.index(server)]), ack="lake")
            assert sequences(server)["p1"] == both["p1"]
    finally:
        for server in servers:
            server.stop()
