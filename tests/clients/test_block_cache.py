"""Blocks of files in a bucket stay in memory: the same query again asks the store for nothing, and never gets old bytes."""

import duckdb
import pyarrow as pa
import pytest

from answers import QUERIES, assert_same_rows, rows_of
from conftest import Server

# Answers that are kept whole would hide the blocks.
NO_ANSWERS = {"LAKEBED_QUERY_RESULT_CACHE": "0"}


@pytest.fixture(scope="module")
def server(tpch_bucket, s3, tmp_path_factory):
    # Without decoded columns, which would come before the blocks.
    environment = s3.environment(LAKEBED_QUERY_COLUMN_CACHE="0") | NO_ANSWERS
    server = Server(tmp_path_factory.mktemp("cached"), tpch_bucket, environment=environment)
    yield server
    server.stop()


def run(server, sql):
    """The rows, in the order of their columns, and the statistics."""
    answer = server.sql(sql)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert "error" not in document, document["error"]
    names = [column["name"] for column in document["columns"]]
    return [tuple(row[name] for name in names) for row in document["data"]], document["statistics"]


@pytest.mark.parametrize("number", [1, 3, 6, 14, 21])
def test_a_query_again_asks_the_store_for_nothing(number, server, tpch_oracle):
    first, cold = run(server, QUERIES[number])
    cached_before = server._metric("lakebed_cache_bytes_total")
    second, warm = run(server, QUERIES[number])
    assert second == first
    assert (warm["store_requests"], warm["bytes_fetched"]) == (0, 0), warm
    # Which row groups a filter found while running rules out depends on the order of things.
    assert warm["bytes_cached"] >= warm["bytes_scanned"] > 0
    assert cold["bytes_fetched"] + cold["bytes_cached"] >= cold["bytes_scanned"]
    assert server._metric("lakebed_cache_bytes_total") - cached_before == warm["bytes_cached"]
    assert server._metric("lakebed_cache_size_bytes") > 0
    history = server.rows("SELECT bytes_cached FROM system.queries WHERE bytes_cached > 0 ORDER BY submitted DESC LIMIT 1")
    assert history == [{"bytes_cached": warm["bytes_cached"]}]

    answer = server.sql(QUERIES[number], headers={"Accept": "application/vnd.apache.arrow.stream"})
    ours = rows_of(pa.ipc.open_stream(answer.content).read_all())
    assert_same_rows(ours, tpch_oracle.sql(QUERIES[number]).fetchall(), f"q{number} from the cache")


def test_a_replaced_file_is_read_anew(s3, serve, tmp_path):
    """The new file has the name and the size of the old one."""
    bucket = s3.bucket("replaced")
    sums = "min(id), max(id), sum(id % 1000), sum(h % 1000)"

    def put(start):
        file = tmp_path / f"{start}.parquet"
        duckdb.sql(f"""COPY (SELECT i + {start} AS id, (hash(i + {start}) % 1000000)::BIGINT AS h FROM range(300000) r(i))
                       TO '{file}' (FORMAT parquet, COMPRESSION uncompressed, PARQUET_VERSION v1)""")
        s3.client.upload_file(str(file), bucket, "t/x.parquet")
        return duckdb.sql(f"SELECT {sums} FROM '{file}'").fetchall()

    old = put(1_000_007)
    environment = s3.environment() | NO_ANSWERS | {"LAKEBED_CATALOG_FRESHNESS": "on_query:0s"}
    server = serve(f"s3://{bucket}/", environment=environment)
    for _ in range(2):
        rows, statistics = run(server, f"SELECT {sums} FROM t")
        assert rows == old
    assert statistics["bytes_cached"] > 0
    new = put(2_000_011)
    assert new != old
    for _ in range(2):
        rows, statistics = run(server, f"SELECT {sums} FROM t")
        assert rows == new
    assert statistics["bytes_cached"] > 0 and statistics["store_requests"] == 0


def test_text_files_too(s3, serve):
    bucket = s3.bucket("text")
    s3.client.put_object(Bucket=bucket, Key="t/a.csv", Body=b"x,y\n" + b"1,2\n" * 1_000_000)
    server = serve(f"s3://{bucket}/", environment=s3.environment() | NO_ANSWERS)
    cold, warm = (run(server, "SELECT sum(x), sum(y) FROM t") for _ in range(2))
    assert cold[0] == warm[0] == [(1_000_000, 2_000_000)]
    assert (cold[1]["bytes_fetched"], warm[1]["bytes_fetched"], warm[1]["bytes_cached"]) == (4_000_004, 0, 4_000_004)


def test_switched_off(tpch_bucket, s3, serve):
    none = {"LAKEBED_STORAGE_CACHE": "0", "LAKEBED_QUERY_COLUMN_CACHE": "0"}
    server = serve(tpch_bucket, environment=s3.environment() | NO_ANSWERS | none)
    for _ in range(2):
        _, statistics = run(server, QUERIES[6])
        assert statistics["bytes_cached"] == 0 and statistics["bytes_fetched"] > 0
