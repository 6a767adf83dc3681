"""TPC-H at scale factor 1 with 512 MB for queries: each query ends well and right, or says what it lacked."""

import pyarrow as pa
import pytest

from answers import QUERIES, assert_same_rows, rows_of
from conftest import Server


@pytest.fixture(scope="module")
def server(tpch, tmp_path_factory):
    limits = {"LAKEBED_QUERY_MEMORY": "512MB", "LAKEBED_QUERY_COLUMN_CACHE": "64MB", "LAKEBED_QUERY_RESULT_CACHE": "0"}
    server = Server(tmp_path_factory.mktemp("small"), f"{tpch}/", environment=limits)
    yield server
    server.stop()


@pytest.mark.parametrize("number", QUERIES)
def test_right_or_refused(number, server, tpch_oracle):
    answer = server.sql(QUERIES[number], headers={"Accept": "application/vnd.apache.arrow.stream"})
    if answer.status_code != 200:
        problem = answer.json()
        assert problem["code"] == "memory_exhausted", problem
        assert problem["hint"]
        return
    ours = pa.ipc.open_stream(answer.content).read_all()
    assert_same_rows(rows_of(ours), tpch_oracle.sql(QUERIES[number]).fetchall(), f"q{number}")


def test_a_sort_larger_than_the_memory_spills(server):
    sorted_rows = server.sql("SELECT l_comment, l_orderkey, l_partkey FROM lineitem ORDER BY l_comment, l_orderkey, l_partkey",
                             headers={"Accept": "application/x-ndjson"}, stream=True)
    assert sorted_rows.status_code == 200, sorted_rows.text
    count = sum(chunk.count(b"\n") for chunk in sorted_rows.iter_content(1 << 20))
    assert count == 6_001_215
    history = server.rows("SELECT spilled_bytes FROM system.queries WHERE sql LIKE 'SELECT l_comment%' ORDER BY submitted DESC LIMIT 1")
    assert history[0]["spilled_bytes"] > 0
