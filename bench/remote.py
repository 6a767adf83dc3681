"""TPC-H from a real S3 server: what a first pass asks the store for, a second one, and one after a file was replaced."""

import decimal
import pathlib
import sys
import tempfile
import time

import duckdb
import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/clients"))

from answers import QUERIES, assert_same_rows
from object_store import ObjectStore

PARTS = 4
ARROW = "application/vnd.apache.arrow.stream"


def make_lake(source, tables, folder):
    """TPC-H with lineitem in parts, and another version of the first part."""
    connection = duckdb.connect()
    for name in tables:
        if name != "lineitem":
            (folder / f"{name}.parquet").write_bytes((source / f"{name}.parquet").read_bytes())
    (folder / "lineitem").mkdir()
    for part in range(PARTS):
        rows = f"SELECT * FROM '{source}/lineitem.parquet' WHERE l_orderkey % {PARTS} = {part}"
        connection.sql(f"COPY ({rows}) TO '{folder}/lineitem/part-{part}.parquet'")
    changed = folder / "changed.parquet"
    connection.sql(f"""COPY (SELECT * REPLACE ((l_quantity + 1)::DECIMAL(15, 2) AS l_quantity)
                       FROM '{folder}/lineitem/part-0.parquet') TO '{changed}'""")
    return changed


def oracle(folder, tables):
    connection = duckdb.connect()
    for name in tables:
        files = f"{folder}/lineitem/*.parquet" if name == "lineitem" else f"{folder}/{name}.parquet"
        connection.sql(f"CREATE VIEW {name} AS SELECT * FROM '{files}'")
    return connection


def one_pass(session, url, expected):
    """Requests, megabytes and seconds of each query; its rows are DuckDB's."""
    figures = {}
    for number, sql in QUERIES.items():
        started = time.perf_counter()
        document = session.post(url + "/v1/sql", json={"query": sql}).json(parse_float=decimal.Decimal)
        seconds = time.perf_counter() - started
        assert "error" not in document, document["error"]
        names = [column["name"] for column in document["columns"]]
        rows = [tuple(row[name] for name in names) for row in document["data"]]
        assert_same_rows(typed(rows, expected[number]), expected[number], f"q{number}")
        statistics = document["statistics"]
        figures[number] = (statistics["store_requests"], statistics["bytes_fetched"] / 1e6, seconds)
    return figures


def typed(rows, expected):
    """JSON has text where DuckDB has dates and decimals: what the oracle's row is made of says what to make of it."""
    if not expected or len(rows) != len(expected):
        return rows
    makers = [type(value) for value in expected[0]]
    return [tuple(make(value, maker) for value, maker in zip(row, makers)) for row in rows]


def make(value, maker):
    if hasattr(maker, "fromisoformat"):
        return maker.fromisoformat(value)
    if isinstance(value, str) and maker is not str:
        return decimal.Decimal(value)
    return value


def answers(connection):
    return {number: connection.sql(sql).fetchall() for number, sql in QUERIES.items()}


def run(lakebed, source, tables):
    """The rows of the table, a row a query and their sum."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "lake").mkdir()
        (folder / "s3").mkdir()
        changed = make_lake(source, tables, folder / "lake")
        store = ObjectStore(folder / "s3")
        try:
            bucket = store.bucket("tpch")
            for file in (folder / "lake").rglob("*.parquet"):
                if file != changed:
                    store.client.upload_file(str(file), bucket, f"sf1/{file.relative_to(folder / 'lake')}")
            first = answers(oracle(folder / "lake", tables))
            environment = store.environment(LAKEBED_CATALOG_FRESHNESS="on_query:0s")
            with lakebed(f"s3://{bucket}/sf1/", environment=environment) as (url, _), requests.Session() as session:
                passes = {"cold": one_pass(session, url, first), "warm": one_pass(session, url, first)}
                (folder / "lake/lineitem/part-0.parquet").write_bytes(changed.read_bytes())
                store.client.upload_file(str(changed), bucket, "sf1/lineitem/part-0.parquet")
                second = answers(oracle(folder / "lake", tables))
                assert first != second
                passes["changed"] = one_pass(session, url, second)
        finally:
            store.stop()
    rows = [(f"q{number}", *(cell for figures in passes.values() for cell in cells(figures[number]))) for number in QUERIES]
    sums = [cell for figures in passes.values() for cell in cells([sum(column) for column in zip(*figures.values())])]
    return rows + [("**total**", *sums)]


def cells(figures):
    requests_sent, megabytes, seconds = figures
    return requests_sent, f"{megabytes:.1f}", f"{seconds:.2f}"
