"""Bad input of every kind in every format: message, field, row number; the raw bytes among the rejects; nothing half-taken."""

import base64
import gzip
import io
import itertools
import json

import pyarrow as pa
import pyarrow.parquet
import pytest
import requests

from conftest import Server
from ingestion import create, post, url_of

COLUMNS = [
    {"name": "id", "type": "BIGINT"},
    {"name": "price", "type": "DOUBLE"},
    {"name": "kind", "type": "VARCHAR"},
    {"name": "ts", "type": "TIMESTAMP WITH TIME ZONE"},
    {"name": "flag", "type": "BOOLEAN"},
    {"name": "day", "type": "DATE"},
    {"name": "amount", "type": "DECIMAL(6, 2)"},
]
RULES = {"columns": {
    "id": {"required": True, "aliases": ["identifier"]},
    "price": {"min": 0, "max": 1000, "default": 1.5},
    "kind": {"trim": True, "case": "lower", "enum": ["click", "view"]},
    "ts": {"time_zone": "Europe/Berlin"},
}}
GOOD = {"id": 1, "kind": "click"}
NUMBERS = itertools.count()
# Field and value that no row may have, as JSON and CSV send them.
BAD_VALUES = [
    ("id", "abc"), ("id", "1.5"), ("id", "99999999999999999999"), ("id", ""), ("price", "dear"), ("price", "-1"),
    ("price", "1001"), ("kind", "jump"), ("ts", "yesterday"), ("ts", "2024-02-30T00:00:00Z"), ("flag", "perhaps"),
    ("day", "2024-13-01"), ("amount", "12345.67"), ("amount", "x"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("ingest"), environment={"LAKEBED_INGEST_BODY_LIMIT": "1MiB",
                                                                    "LAKEBED_INGEST_INFLATED_LIMIT": "2MiB"})
    yield server
    server.stop()


@pytest.fixture
def table(server, request):
    # Long names are cut, and differ by what comes first.
    name = f"t{next(NUMBERS)}_" + "".join(c if c.isalnum() else "_" for c in request.node.name.lower())[:50]
    create(server, name, COLUMNS, RULES)
    return name


def count(server, table):
    return server.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"]


def refused(answer, status=422, code="invalid_value"):
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return answer.json()


def csv_of(rows):
    names = ["id", "kind", *sorted({name for row in rows for name in row} - {"id", "kind"})]
    quoted = lambda value: "" if value is None else '"' + str(value).replace('"', '""') + '"'
    return "\n".join([",".join(names), *(",".join(quoted(row.get(name)) for name in names) for row in rows)]).encode()


BODIES = {
    "ndjson": ("application/x-ndjson", lambda rows: "\n".join(map(json.dumps, rows)).encode()),
    "json": ("application/json", lambda rows: json.dumps(rows).encode()),
    "csv": ("text/csv", csv_of),
}


@pytest.mark.parametrize("form", BODIES)
@pytest.mark.parametrize("field, value", BAD_VALUES)
def test_a_bad_value_is_named_and_nothing_is_taken(server, form, field, value):
    table = "values_" + form
    create(server, table, COLUMNS, RULES)
    media_type, encode = BODIES[form]
    rows = [GOOD, GOOD | {"id": 2}, GOOD | {"id": 3, field: value}, GOOD | {"id": 4}]
    problem = refused(post(server, encode(rows), table, media_type))
    assert (problem["accepted"], problem["rejected"]) == (0, 1), problem
    assert [(error["row"], error["field"]) for error in problem["errors"]] == [(3, field)], problem
    assert problem["errors"][0]["reason"] and f"row 3, field `{field}`" in problem["detail"], problem
    assert count(server, table) == 0


@pytest.mark.parametrize("form", BODIES)
def test_rejected_rows_keep_their_bytes(server, table, form):
    media_type, encode = BODIES[form]
    rows = [GOOD, GOOD | {"id": "x"}, GOOD | {"id": 3}, GOOD | {"id": 4, "kind": "jump"}]
    answer = post(server, encode(rows), table, media_type, on_error="reject_rows")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (2, 2)
    rejects = server.rows(f"SELECT * FROM {table}__rejects ORDER BY row")
    assert [(reject["row"], reject["field"]) for reject in rejects] == [(2, "id"), (4, "kind")], rejects
    for reject, row in zip(rejects, (rows[1], rows[3])):
        raw = base64.b64decode(reject["raw"]).decode()
        if form == "csv":
            assert str(row["id"]) in raw and row["kind"] in raw, raw
        else:
            assert json.loads(raw) == row, raw


def test_what_is_harmonized(server, table):
    rows = [
        {"identifier": "7", "kind": " CLICK ", "ts": "2024-07-01 12:00:00", "flag": "true", "day": "2024-07-01", "amount": "1.5"},
        {"id": 8, "kind": "View", "ts": "2024-07-01T12:00:00Z", "price": None, "flag": False, "amount": 2},
        {"id": 9.0, "ts": "2024-01-01T12:00:00+05:00", "price": "3"},
    ]
    answer = post(server, BODIES["ndjson"][1](rows), table)
    assert answer.status_code == 200, answer.text
    found = server.rows(f"SELECT id, kind, ts, flag, price, amount FROM {table} ORDER BY id")
    assert [row["kind"] for row in found] == ["click", "view", None]
    assert [row["ts"][:19] for row in found] == ["2024-07-01T10:00:00", "2024-07-01T12:00:00", "2024-01-01T07:00:00"]
    assert [row["flag"] for row in found] == [True, False, None]
    assert [row["price"] for row in found] == [1.5, 1.5, 3.0]
    assert [float(row["amount"] or 0) for row in found] == [1.5, 2.0, 0.0]


def test_fields_that_are_no_columns(server):
    row = b'{"id": 1, "colour": "red", "deep": {"a": [1, 2]}}'
    for name, unknown in (("unknown_reject", "reject"), ("unknown_column", {"column": "extra"}), ("unknown_add", "add")):
        columns = COLUMNS + ([{"name": "extra", "type": "VARCHAR"}] if name == "unknown_column" else [])
        create(server, name, columns, RULES | {"unknown": unknown})
        answer = post(server, row, name)
        if unknown == "reject":
            assert refused(answer)["errors"][0]["field"] in ("colour", "deep")
        else:
            assert answer.status_code == 200, answer.text
    assert json.loads(server.rows("SELECT extra FROM unknown_column")[0]["extra"]) == {"colour": "red", "deep": {"a": [1, 2]}}
    assert server.rows("SELECT id, colour FROM unknown_add") == [{"id": 1, "colour": "red"}]


@pytest.mark.parametrize("body", [
    b'{"id": 1', b'{"id": 1}}', b"[1, 2]", b"null", b"\xff\xfe", b'{"id": 1}\n{"id": 2', b'{"id": "\xff"}', b"id,kind\n1,click\n",
    b'{"id": 1}\nnonsense\n', b'{"id": 1, "kind": {"a": 1}}',
])
def test_ndjson_that_is_none(server, table, body):
    answer = post(server, body, table)
    assert 400 <= answer.status_code < 500 and answer.json()["detail"], answer.text
    assert count(server, table) == 0


@pytest.mark.parametrize("body", [b"", b"[", b'[{"id": 1},]', b'[{"id": 1}', b"42", b'[{"id": 1}] x', b"[[1]]", b'["a"]'])
def test_json_that_is_none(server, table, body):
    answer = post(server, body, table, "application/json")
    assert (400 <= answer.status_code < 500) or answer.json()["accepted"] == 0, answer.text
    assert count(server, table) == 0


@pytest.mark.parametrize("body", [
    b"id,kind\n1,click,more\n", b"id,id\n1,2\n", b'id,kind\n1,"click\n', b"\xff\xff\n1\n", b"nothing,here\n1,2\n", b"id,kind\n1\n",
])
def test_csv_that_is_none(server, table, body):
    answer = post(server, body, table, "text/csv")
    assert 400 <= answer.status_code < 500 and answer.json()["detail"], answer.text
    assert count(server, table) == 0


def arrow_of(arrow_table):
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, arrow_table.schema) as writer:
        writer.write_table(arrow_table)
    return sink.getvalue()


def parquet_of(arrow_table):
    sink = io.BytesIO()
    pa.parquet.write_table(arrow_table, sink)
    return sink.getvalue()


BINARY = {"application/vnd.apache.arrow.stream": arrow_of, "application/vnd.apache.parquet": parquet_of}


@pytest.mark.parametrize("media_type", BINARY)
def test_batches_with_bad_rows_and_batches_that_are_none(server, table, media_type):
    encode = BINARY[media_type]
    good = encode(pa.table({"id": pa.array([1, 2], pa.int32()), "kind": ["click", " VIEW"]}))
    answer = post(server, good, table, media_type)
    assert answer.status_code == 200 and answer.json()["accepted"] == 2, answer.text
    bad = encode(pa.table({"id": [3, None, 5], "price": [1.0, 2.0, -3.0]}))
    problem = refused(post(server, bad, table, media_type))
    assert [(error["row"], error["field"]) for error in problem["errors"]] == [(2, "id"), (3, "price")], problem
    wrong_type = encode(pa.table({"id": [6], "price": [["a"]]}))
    assert 400 <= post(server, wrong_type, table, media_type).status_code < 500
    for broken in (good[: len(good) // 2], b"nonsense", good[:8] + bytes(64) + good[8:], b""):
        answer = post(server, broken, table, media_type)
        assert 400 <= answer.status_code < 500, answer.text
    assert count(server, table) == 2
    kept = post(server, bad, table, media_type, on_error="reject_rows")
    assert kept.status_code == 200 and (kept.json()["accepted"], kept.json()["rejected"]) == (1, 2), kept.text
    assert count(server, f"{table}__rejects") == 2


def test_compressed_bodies_that_are_none_or_too_much(server, table):
    row = b'{"id": 1}\n'
    packed = gzip.compress(row * 100)
    for body in (packed[:-5], packed[:20], b"nonsense", packed[:15] + b"\xff\xff" + packed[17:]):
        answer = post(server, body, table, headers={"Content-Encoding": "gzip"})
        assert 400 <= answer.status_code < 500, answer.text
    bomb = gzip.compress(row * 1_000_000)
    assert len(bomb) < 1 << 20
    refused(post(server, bomb, table, headers={"Content-Encoding": "gzip"}), 413, "request_too_large")
    refused(post(server, b"x", table, headers={"Content-Encoding": "zstd"}), *error_of_zstd())
    assert count(server, table) == 0


def error_of_zstd():
    return 400, "invalid_request"


def test_a_body_that_is_too_large_is_told_so(server, table):
    body = b'{"id": 1}\n' * 200_000
    refused(post(server, body, table), 413, "request_too_large")
    refused(post(server, iter([body[:1_000_000]] * 3), table), 413, "request_too_large")
    assert count(server, table) == 0


def test_many_bad_rows_are_counted_and_some_are_listed(server, table):
    body = b'{"id": "x"}\n' * 500
    problem = refused(post(server, body, table))
    assert problem["rejected"] == 500 and len(problem["errors"]) == 100


def test_a_batch_without_rows_is_fine(server, table):
    for media_type, body in (("application/x-ndjson", b""), ("application/x-ndjson", b"\n\n"), ("text/csv", b"id,kind\n"),
                             ("application/json", b"[]")):
        answer = post(server, body, table, media_type)
        assert answer.status_code == 200 and answer.json()["accepted"] == 0, answer.text


def test_declarations_that_cannot_be(server):
    for body in (
        {"columns": COLUMNS, "ingest": {"columns": {"nowhere": {"required": True}}}},
        {"columns": COLUMNS, "ingest": {"columns": {"id": {"min": "a"}}}},
        {"columns": COLUMNS, "ingest": {"columns": {"kind": {"pattern": "("}}}},
        {"columns": COLUMNS, "ingest": {"columns": {"ts": {"time_zone": "Mars/Base"}}}},
        {"columns": COLUMNS, "ingest": {"day": {"from": "price"}}},
        {"columns": COLUMNS, "ingest": {"sort": ["nowhere"]}},
        {"columns": COLUMNS, "ingest": {"unknown": "keep"}},
        {"columns": [], "ingest": {}},
        {"columns": [{"name": "id", "type": "nonsense"}], "ingest": {}},
    ):
        answer = requests.put(url_of(server, "never"), json=body, timeout=60)
        assert answer.status_code == 400, (body, answer.text)
    assert requests.get(url_of(server, "never"), timeout=60).status_code == 404
