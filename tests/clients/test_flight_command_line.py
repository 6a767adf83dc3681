"""`lakebed sql --url grpc://…`: the same command, the same answers and the same exit codes as over HTTP."""

import csv
import json
import os
import pathlib
import signal
import subprocess
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from certificates import Authority
from conftest import BINARY, Server, clean_environment, free_port, run_lakebed

SQL = "SELECT a, b FROM numbers ORDER BY a"


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    (folder / "numbers.csv").write_text("a,b\n1,x\n2,\n3,\"Zoë, 🦆\"\n")
    return folder


@pytest.fixture(scope="module")
def server(lake, tpch, tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"), f"{lake}/", f"lineitem={tpch}/lineitem.parquet")
    yield server
    server.stop()


@pytest.mark.parametrize("form", ["display", "csv", "json", "ndjson"])
def test_every_format_is_what_it_is_over_http(server, lakebed, form):
    flight, http = (lakebed("sql", SQL, "--url", url, "--format", form) for url in (server.flight, server.url))
    assert flight.returncode == 0, flight.stderr
    if form == "json":
        ours, theirs = json.loads(flight.stdout), json.loads(http.stdout)
        assert (ours["data"], ours["columns"]) == (theirs["data"], theirs["columns"])
    else:
        assert flight.stdout == http.stdout
    assert "3 rows" in flight.stderr and "\x1b" not in flight.stderr, flight.stderr


@pytest.mark.parametrize("form, name", [("csv", "query_results.csv"), ("parquet", "query_results.parquet"),
                                        ("arrow", "query_results.arrows"), ("json", "query_results.json")])
def test_a_file_without_a_name_gets_one(server, lakebed, tmp_path, form, name):
    done = lakebed("sql", SQL, "--url", server.flight, "--format", form, "--output")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert os.listdir(tmp_path) == [name]
    read = {
        "csv": lambda: list(csv.DictReader(open(tmp_path / name, newline=""))),
        "json": lambda: json.load(open(tmp_path / name))["data"],
        "parquet": lambda: pq.read_table(tmp_path / name).to_pylist(),
        "arrow": lambda: pa.ipc.open_stream(tmp_path / name).read_all().to_pylist(),
    }[form]()
    assert [int(row["a"]) for row in read] == [1, 2, 3] and read[2]["b"] == "Zoë, 🦆"


def test_no_rows_are_a_whole_file(server, lakebed, tmp_path):
    done = lakebed("sql", "SELECT a, b FROM numbers WHERE false", "--url", server.flight, "--output", "none.parquet")
    assert done.returncode == 0, done.stderr
    table = pq.read_table(tmp_path / "none.parquet")
    assert (table.num_rows, table.schema.names) == (0, ["a", "b"])


@pytest.mark.parametrize("sql, words", [
    ("SELECT * FROM nmbers", "nmbers"),
    ("SELEC 1", "expected a statement"),
    ("SELECT 1 / (a - a) FROM numbers", "zero"),
    ("SELECT * FROM read_csv('/etc/passwd')", "passwd"),
])
def test_errors_read_as_they_do_over_http(server, lakebed, tmp_path, sql, words):
    flight, http = (lakebed("sql", sql, "--url", url, "--output", "out.csv") for url in (server.flight, server.url))
    assert (flight.returncode, flight.stdout) == (http.returncode, "")
    assert flight.stderr == http.stderr and words in flight.stderr
    assert os.listdir(tmp_path) == []


def test_six_million_rows_in_a_file_with_flat_memory(server, lakebed, tmp_path):
    client = subprocess.Popen([BINARY, "sql", "SELECT * FROM lineitem", "--url", server.flight, "--output", "l.parquet"],
                              cwd=tmp_path, env=clean_environment(), stderr=subprocess.PIPE, text=True)
    most = 0
    while client.poll() is None:
        status = pathlib.Path(f"/proc/{client.pid}/status")
        most = max([most] + [int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")])
        time.sleep(0.05)
    said = client.stderr.read()
    assert client.returncode == 0, said
    assert "6,001,215 rows" in said
    assert pq.ParquetFile(tmp_path / "l.parquet").metadata.num_rows == 6_001_215
    assert most < 400 * 1024, f"{most // 1024} MiB"


def test_a_file_that_was_not_finished_is_not_there(server, tmp_path):
    sql = "SELECT a.*, b.value AS n FROM lineitem a CROSS JOIN generate_series(1, 1000) b"
    client = subprocess.Popen([BINARY, "sql", sql, "--url", server.flight, "--output", "l.csv"],
                              cwd=tmp_path, env=clean_environment(), stderr=subprocess.PIPE, text=True)
    while not os.listdir(tmp_path):
        assert client.poll() is None, client.stderr.read()
        time.sleep(0.05)
    client.send_signal(signal.SIGINT)
    assert client.wait(20) == 1
    assert os.listdir(tmp_path) == []


def test_a_deadline_is_kept(server, lakebed):
    sql = "SELECT count(*) FROM lineitem a JOIN lineitem b ON a.l_linenumber = b.l_linenumber"
    done = lakebed("sql", sql, "--url", server.flight, "--timeout", "1s", "--format", "csv", timeout=60)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert "longer than its 1 s" in done.stderr


def test_the_database_of_unqualified_tables(server, lakebed):
    for sql in ("CREATE DATABASE IF NOT EXISTS other", "CREATE OR REPLACE VIEW other.few AS SELECT a FROM default.numbers WHERE a < 3"):
        done = lakebed("sql", sql, "--url", server.flight)
        assert done.returncode == 0, done.stderr
    done = lakebed("sql", "SELECT count(*) AS n FROM few", "--url", server.flight, "--database", "other", "--format", "csv")
    assert (done.returncode, done.stdout) == (0, "n\n2\n"), done.stderr


def test_what_flight_does_not_have(server, lakebed):
    done = lakebed("sql", SQL, "--url", server.flight, "--estimate")
    assert done.returncode == 2 and "HTTP" in done.stderr
    done = lakebed("sql", SQL, "--url", "grpc://")
    assert done.returncode == 2 and "grpc://127.0.0.1:8815" in done.stderr
    done = lakebed("sql", SQL, "--url", f"grpc://127.0.0.1:{free_port()}")
    assert done.returncode == 1 and "lakebed serve" in done.stderr, done.stderr


def test_keys_and_certificates(lake, lakebed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    authority = Authority(folder)
    certificate, private = authority.issue("server")
    made = run_lakebed("keys", "create", "root", "--role", "admin", "--data-dir", folder / "lakebed-data", cwd=folder)
    key = made.stdout.strip()
    environment = {"LAKEBED_SERVER_TLS_CERT": str(certificate), "LAKEBED_SERVER_TLS_KEY": str(private)}
    server = Server(folder, f"{lake}/", environment=environment, ca=authority.ca)
    try:
        ask = ("sql", SQL, "--url", server.flight, "--format", "csv")
        trusted = (*ask, "--ca-cert", authority.ca)
        done = lakebed(*trusted, environment={"LAKEBED_CLIENT_KEY": key})
        assert (done.returncode, done.stdout.splitlines()[0]) == (0, "a,b"), done.stderr
        done = lakebed(*trusted, "--key", key)
        assert done.returncode == 0, done.stderr
        nobody = lakebed(*trusted)
        assert nobody.returncode == 1 and "LAKEBED_CLIENT_KEY" in nobody.stderr
        stranger = lakebed(*ask, "--key", key)
        assert stranger.returncode == 1 and "--ca-cert" in stranger.stderr, stranger.stderr
    finally:
        server.stop()
