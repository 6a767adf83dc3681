"""`lakebed ingest`: files of every format, again without doubling, refused rows by their place in the file, exit codes."""

import gzip
import json
import threading
import time

import pyarrow as pa
import pyarrow.parquet
import pytest

from conftest import Server
from ingestion import COLUMNS, RULES, create, ndjson, rows_of, sequences
from object_store import free_port


def test_generated_events_in_every_format(serve, lakebed, tmp_path):
    server = serve()
    rows = 20_000
    for name in ("events.parquet", "events.csv", "events.csv.gz", "events.ndjson"):
        made = lakebed("generate", "--dataset", "events", "--rows", rows, "--output", name)
        assert made.returncode == 0, made.stderr
    table = pa.parquet.read_table(tmp_path / "events.parquet")
    with pa.ipc.new_stream(tmp_path / "events.arrows", table.schema) as writer:
        writer.write_table(table)
    with pa.ipc.new_file(tmp_path / "events.arrow", table.schema) as writer:
        writer.write_table(table)
    (tmp_path / "events.json").write_text("[" + ",\n".join((tmp_path / "events.ndjson").read_text().splitlines()) + "]")
    names = ("events.parquet", "events.csv", "events.csv.gz", "events.ndjson", "events.arrows", "events.arrow", "events.json")
    for number, name in enumerate(names):
        done = lakebed("ingest", f"t{number}", name, "--create", "--url", server.url)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert f"20,000 rows are in default.t{number}" in done.stderr, done.stderr
        found = server.rows(f"SELECT count(*) AS n, count(DISTINCT event_id) AS d, sum(sequence) AS s FROM t{number}")[0]
        assert (found["n"], found["d"]) == (rows, rows), name
        assert int(found["s"]) == sum(table.column("sequence").to_pylist())


def test_a_file_that_is_sent_again_is_there_once(serve, lakebed, tmp_path):
    server = serve()
    create(server)
    (tmp_path / "rows.ndjson").write_bytes(ndjson(rows_of("p", range(120_000))))
    send = lambda *more: lakebed("ingest", "events", "rows.ndjson", "--url", server.url, *more)
    assert send().returncode == 0
    again = send()
    assert again.returncode == 0 and "120,000 were there from an earlier run" in again.stderr, again.stderr
    assert sequences(server) == {"p": (120_000, 120_000, 0, 119_999)}
    assert send("--run", "second", "--parallel", "4").returncode == 0
    assert sequences(server)["p"][:2] == (240_000, 120_000)


class Broken:
    """A run that the server took the first parts of; what was sent is recorded in a folder of the test's own."""

    ROWS = 120_000

    def __init__(self, server, lakebed, folder):
        self.server, self.lakebed, self.file, self.state = server, lakebed, folder / "rows.ndjson", folder / "state"
        create(server)
        self.rows = rows_of("p", range(self.ROWS))
        self.file.write_bytes(ndjson(self.rows[:-1] + [self.rows[-1] | {"sequence": "many"}]))
        refused = self.send()
        assert refused.returncode == 1 and f"row {self.ROWS}" in refused.stderr, refused.stderr
        self.sent = sequences(server)["p"][0]
        assert 0 < self.sent < self.ROWS
        self.file.write_bytes(ndjson(self.rows))
        assert len(self.records()) == 1

    def send(self, *more):
        return self.lakebed("ingest", "events", self.file.name, "--url", self.server.url, *more,
                            environment={"XDG_STATE_HOME": str(self.state)})

    def records(self):
        return [file for file in self.state.rglob("*") if file.is_file()]

    def check_whole(self):
        assert sequences(self.server) == {"p": (self.ROWS, self.ROWS, 0, self.ROWS - 1)}
        assert self.records() == []


def test_a_run_that_broke_off_goes_on(serve, lakebed, tmp_path):
    run = Broken(serve(), lakebed, tmp_path)
    again = run.send()
    assert again.returncode == 0 and f"of these, {run.sent:,} were there from an earlier run" in again.stderr, again.stderr
    run.check_whole()
    # The server remembers, as long as it does.
    assert run.send().returncode == 0
    run.check_whole()


def test_a_run_goes_on_after_the_server_has_forgotten_it(serve, lakebed, tmp_path):
    run = Broken(serve(environment={"LAKEBED_INGEST_KEYS_LIFETIME": "1s"}), lakebed, tmp_path)
    time.sleep(1.5)
    asked = run.send()
    assert asked.returncode == 1 and "--resume" in asked.stderr and str(run.records()[0]) in asked.stderr, asked.stderr
    assert sequences(run.server)["p"][0] == run.sent
    resumed = run.send("--resume")
    assert resumed.returncode == 0 and f"of these, {run.sent:,} were there" in resumed.stderr, resumed.stderr
    run.check_whole()


def test_a_table_that_was_made_anew_gets_the_whole_file(serve, lakebed, tmp_path):
    run = Broken(serve(), lakebed, tmp_path)
    assert run.server.sql("DROP TABLE events").status_code == 200
    create(run.server)
    asked = run.send()
    assert asked.returncode == 1 and "does not remember" in asked.stderr, asked.stderr
    run.records()[0].unlink()
    assert run.send().returncode == 0
    run.check_whole()


def test_a_table_that_is_gone_gets_the_whole_file(serve, lakebed, tmp_path):
    run = Broken(serve(), lakebed, tmp_path)
    assert run.server.sql("DROP TABLE events").status_code == 200
    assert run.send().returncode == 1
    made = run.send("--create")
    assert made.returncode == 0, made.stderr
    run.check_whole()


def test_a_server_that_is_restarted_meanwhile(lakebed, tmp_path):
    (tmp_path / "rows.ndjson").write_bytes(ndjson(rows_of("p", range(400_000))))
    server = Server(tmp_path)
    create(server)
    done = []
    send = threading.Thread(target=lambda: done.append(lakebed("ingest", "events", "rows.ndjson", "--url", server.url)))
    send.start()
    deadline = time.monotonic() + 60
    while not sequences(server) and time.monotonic() < deadline:
        time.sleep(0.01)
    server.process.kill()
    server.process.wait()
    # At the same address: the client asks again until somebody answers.
    port = server.url.rsplit(":", 1)[1]
    server = restarted(tmp_path, port)
    try:
        send.join(120)
        assert done[0].returncode == 0, done[0].stderr
        assert sequences(server) == {"p": (400_000, 400_000, 0, 399_999)}
    finally:
        server.stop()


def restarted(folder, port):
    import conftest

    ports = iter([int(port), free_port()])
    before, conftest.free_port = conftest.free_port, lambda: next(ports)
    try:
        return Server(folder)
    finally:
        conftest.free_port = before


def test_rows_that_are_refused_are_named_by_their_place_in_the_file(serve, lakebed, tmp_path):
    server = serve()
    create(server)
    rows = rows_of("p", range(60_000))
    rows[55_555] = rows[55_555] | {"sequence": "many"}
    (tmp_path / "rows.ndjson").write_bytes(ndjson(rows))
    refused = lakebed("ingest", "events", "rows.ndjson", "--url", server.url)
    assert refused.returncode == 1 and "row 55556: field `sequence`" in refused.stderr, refused.stderr
    assert "hint:" in refused.stderr
    kept = lakebed("ingest", "events", "rows.ndjson", "--on-error", "reject-rows", "--url", server.url)
    assert kept.returncode == 0 and "1 rows were rejected" in kept.stderr, kept.stderr
    assert sequences(server)["p"][:2] == (59_999, 59_999)
    assert server.rows("SELECT count(*) AS n FROM events__rejects") == [{"n": 1}]


@pytest.mark.parametrize("arguments, code, text", [
    (("events", "missing.csv"), 1, "missing.csv cannot be read"),
    (("events", "rows.unknown"), 2, "nothing tells the format of rows.unknown"),
    (("nowhere", "rows.ndjson"), 1, "nowhere"),
    (("a.b.c", "rows.ndjson"), 2, "error:"),
    (("events", "broken.ndjson.gz"), 1, "broken.ndjson.gz is damaged"),
    (("events", "two.json"), 1, "two.json goes on after its array"),
    (("events", "rows.ndjson", "--ack", "soon"), 2, "soon"),
    (("events",), 2, "FILE"),
])
def test_what_cannot_be_sent_is_told(serve, lakebed, tmp_path, arguments, code, text):
    server = serve()
    create(server)
    (tmp_path / "rows.ndjson").write_bytes(ndjson(rows_of("p", range(3))))
    (tmp_path / "rows.unknown").write_bytes(b"x")
    (tmp_path / "broken.ndjson.gz").write_bytes(gzip.compress(b'{"producer": "p"}\n' * 1000)[:-10])
    (tmp_path / "two.json").write_text('[{"producer": "p", "sequence": 1}]\n[{"producer": "p", "sequence": 2}]')
    done = lakebed("ingest", *arguments, "--url", server.url)
    assert done.returncode == code and text in done.stderr, (done.returncode, done.stderr)
    assert done.stdout == ""


def test_a_server_that_is_not_there(lakebed, tmp_path):
    (tmp_path / "rows.ndjson").write_bytes(b"{}\n")
    done = lakebed("ingest", "t", "rows.ndjson", "--retry-for", "1s", "--url", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1 and "no answer from" in done.stderr, done.stderr


def test_stdin_and_a_key(serve, lakebed):
    server = serve()
    create(server, "events", COLUMNS, RULES)
    root = lakebed("keys", "create", "root", "--role", "admin", "--url", server.url).stdout.strip()
    text = "".join(json.dumps(row) + "\n" for row in rows_of("p", range(10)))
    send = lambda **options: lakebed("ingest", "events", "-", "--format", "ndjson", "--url", server.url, stdin=text, **options)
    assert send().returncode == 1
    assert send(environment={"LAKEBED_CLIENT_KEY": root}).returncode == 0
