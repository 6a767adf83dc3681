"""Six million rows over HTTP: soon the first byte, flat memory, and clients that leave or dawdle hold nothing."""

import json
import socket
import time

import pytest

from conftest import wait_until

ROWS = 6_001_215


@pytest.fixture
def server(serve, tpch):
    server = serve(f"{tpch}/", environment={"LAKEBED_LIMITS_IDLE_CLIENT": "3s"})
    server.rows("SELECT count(*) FROM lineitem")
    return server


def test_six_million_rows_as_ndjson_with_flat_memory(server):
    before, most, rows = server.resident_bytes(), 0, 0
    headers = {"Accept": "application/x-ndjson", "Accept-Encoding": "identity"}
    with server.sql("SELECT * FROM lineitem", headers=headers, stream=True) as answer:
        assert answer.status_code == 200
        for number, chunk in enumerate(answer.iter_content(1 << 20)):
            rows += chunk.count(b"\n")
            if number % 50 == 0:
                most = max(most, server.resident_bytes())
    assert rows == ROWS
    assert most - before < 100 << 20, f"grew by {(most - before) >> 20} MiB"


def test_json_document_is_whole_and_ends_with_statistics(server):
    columns = "l_orderkey, l_partkey, l_extendedprice, l_shipdate, l_comment"
    answer = server.sql(f"SELECT {columns} FROM lineitem LIMIT 1000000")
    document = json.loads(answer.content)
    assert len(document["data"]) == document["row_count"] == 1_000_000
    assert list(document)[-1] == "statistics"
    assert document["statistics"]["rows_returned"] == 1_000_000


def test_a_client_that_disconnects_frees_its_query(server):
    answer = server.sql("SELECT * FROM lineitem", headers={"Accept": "application/x-ndjson"}, stream=True)
    next(answer.iter_content(1024))
    assert server.running_queries() == 1
    answer.close()
    wait_until(lambda: server.running_queries() == 0, "the permit", seconds=10)


def test_a_client_that_does_not_read_is_ended(server):
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"POST /v1/sql?format=ndjson HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
                       b"Content-Length: 22\r\n\r\nSELECT * FROM lineitem")
        client.recv(1024)
        before = server.resident_bytes()
        time.sleep(1.5)
        assert server.resident_bytes() - before < 64 << 20
        wait_until(lambda: server.running_queries() == 0, "the idle client's permit", seconds=10)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_compressed_answers_are_equal(server, encoding):
    sql = "SELECT l_orderkey, l_comment FROM lineitem WHERE l_orderkey < 1000 ORDER BY l_orderkey, l_linenumber"
    plain = server.sql(sql, headers={"Accept": "text/csv", "Accept-Encoding": "identity"})
    packed = server.sql(sql, headers={"Accept": "text/csv", "Accept-Encoding": encoding}, stream=True)
    assert packed.headers["content-encoding"] == encoding
    raw = packed.raw.read(decode_content=False)
    assert len(raw) < len(plain.content) / 2
    if encoding == "gzip":
        import gzip
        assert gzip.decompress(raw) == plain.content
    else:
        import pyarrow as pa
        codec = pa.input_stream(pa.BufferReader(raw), compression="zstd")
        assert codec.read() == plain.content
