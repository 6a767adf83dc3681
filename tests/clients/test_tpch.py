"""All 22 queries of TPC-H at scale factor 1, through the command line and over HTTP, against DuckDB."""

import pyarrow as pa
import pytest

from answers import QUERIES, assert_same_rows, rows_of
from conftest import Server, run_lakebed


@pytest.fixture(scope="module")
def local_server(tpch, tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("local"), f"{tpch}/")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def bucket_server(tpch_bucket, s3, tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("bucket"), tpch_bucket, environment=s3.environment())
    yield server
    server.stop()


def over_http(server, sql):
    # Not from kept results: each run shall scan.
    answer = server.sql(sql, headers={"Accept": "application/vnd.apache.arrow.stream", "Cache-Control": "no-cache"})
    assert answer.status_code == 200, answer.text
    return pa.ipc.open_stream(answer.content).read_all()


def on_the_command_line(location, sql, tmp_path, environment=None):
    output = tmp_path / "result.arrow"
    done = run_lakebed("sql", sql, location, "--format", "arrow", "--output", output, environment=environment)
    assert done.returncode == 0, done.stderr
    return pa.ipc.open_stream(output.read_bytes()).read_all()


@pytest.mark.parametrize("number", QUERIES)
def test_command_line(number, tpch, tpch_oracle, tmp_path):
    ours = on_the_command_line(f"{tpch}/", QUERIES[number], tmp_path)
    assert_same_rows(rows_of(ours), tpch_oracle.sql(QUERIES[number]).fetchall(), f"q{number}")


@pytest.mark.parametrize("number", QUERIES)
def test_http(number, local_server, tpch_oracle):
    expected = tpch_oracle.sql(QUERIES[number]).fetchall()
    # The first run decodes columns, the second one keeps them, the third one finds them.
    for run in ("first", "second", "third"):
        ours = over_http(local_server, QUERIES[number])
        assert_same_rows(rows_of(ours), expected, f"{run} run of q{number}")


@pytest.mark.parametrize("number", QUERIES)
def test_http_over_s3(number, bucket_server, tpch_oracle):
    ours = over_http(bucket_server, QUERIES[number])
    assert_same_rows(rows_of(ours), tpch_oracle.sql(QUERIES[number]).fetchall(), f"q{number}")


@pytest.mark.parametrize("number", [1, 6, 13])
def test_command_line_over_s3(number, tpch_bucket, s3, tpch_oracle, tmp_path):
    ours = on_the_command_line(tpch_bucket, QUERIES[number], tmp_path, s3.environment())
    assert_same_rows(rows_of(ours), tpch_oracle.sql(QUERIES[number]).fetchall(), f"q{number}")
