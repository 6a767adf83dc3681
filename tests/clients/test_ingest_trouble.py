"""A disk that is full, a bucket that turns read-only, a store that stops: clear answers, nothing lost, and no hand needed
afterwards.

LAKEBED_TEST_STALL_SECONDS=60 for a store that stops for a minute.
"""

import os
import shutil
import signal
import subprocess
import time

import pytest
import requests

from conftest import BINARY, ObjectStore, Server, clean_environment
from ingestion import append, create, flush, ndjson, post, rows_of, sequences, url_of, wait_for
from object_store import free_port
from store_proxy import StoreProxy

STALL_SECONDS = float(os.environ.get("LAKEBED_TEST_STALL_SECONDS", "15"))
ROWS = 1000


def state_of(server, table="events"):
    return server.rows(f"SELECT * FROM system.ingest WHERE \"table\" = '{table}'")[0]


def metric(server, name):
    """A sample of /metrics by its name and labels; 0 where it is not there."""
    for line in requests.get(server.url + "/metrics", timeout=30).text.splitlines():
        if line.startswith(name + " "):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


def send(server, number, **query):
    """A batch of numbered rows under its own key; the answer is not checked."""
    rows = rows_of("p", range(number * ROWS, (number + 1) * ROWS))
    return post(server, ndjson(rows), headers={"Idempotency-Key": f"batch {number}"}, **query)


def send_until_refused(server, number):
    """Batches until one is told to come back; how many were taken, and the refusal."""
    for number in range(number, 2000):
        if (answer := send(server, number)).status_code != 200:
            return number, answer
    raise AssertionError("nothing is refused")


def told_to_come_back(answer, word):
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (429, "ingest_busy"), problem
    assert word in problem["detail"] and int(answer.headers["Retry-After"]) >= 1, problem


def batches(count):
    """What `sequences` has to say after so many batches."""
    return {"p": (count * ROWS, count * ROWS, 0, count * ROWS - 1)}


def all_written(server, seconds=120):
    wait_for(lambda: state_of(server)["buffered_rows"] == 0, "all rows are in files", seconds)


def refused(answer, *codes):
    problem = answer.json()
    assert answer.status_code in (502, 503, 504) and problem["code"] in codes, problem
    return problem


def on_small_disk(folder, size):
    """A command that runs another one with a disk of this size at the folder, which ends with it."""
    folder.mkdir()
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    script = 'mount -t tmpfs -o size="$1" none "$2" && shift 2 && exec "$@"'
    return [*unshare, "sh", "-c", script, "sh", size, str(folder)]


@pytest.mark.parametrize("ending", ["room", "crash"])
def test_a_full_disk_under_the_log(tmp_path, s3, ending):
    """The log fills its disk while nothing can be written to the bucket."""
    bucket = s3.bucket(f"full-disk-{ending}")
    proxy = StoreProxy(s3)
    wal = tmp_path / "wal"
    environment = proxy.environment(LAKEBED_INGEST_WAL=str(wal), LAKEBED_INGEST_FLUSH_AGE="300ms")
    arguments = ("--lake", f"s3://{bucket}/lake/")
    server = Server(tmp_path, *arguments, environment=environment, within=on_small_disk(wal, "8m"))
    try:
        create(server)
        assert send(server, 0).status_code == 200
        flush(server)
        proxy.read_only = True
        taken, answer = send_until_refused(server, 1)
        told_to_come_back(answer, "disk")
        assert taken > 1 and metric(server, 'lakebed_ingest_busy_total{limit="disk"}') > 0
        assert sequences(server) == batches(taken), "what was refused is not there, what was taken is"
        told_to_come_back(send(server, taken, ack="memory"), "disk")
        if ending == "crash":
            # What a crash in this moment leaves on the disk.
            shutil.copytree(f"/proc/{server.process.pid}/root{wal}", tmp_path / "copy")
            server.process.kill()
            server.process.wait()
            environment["LAKEBED_INGEST_WAL"] = str(tmp_path / "copy")
            server = Server(tmp_path, *arguments, environment=environment)
            assert sequences(server) == batches(taken)
        proxy.read_only = False
        wait_for(lambda: send(server, taken).status_code == 200, "rows are taken again")
        # And for good, under keys that are still known.
        for number in range(taken + 1, taken + 30):
            wait_for(lambda: send(server, number).status_code == 200, "rows go on being taken")
        again = send(server, 1)
        assert again.status_code == 200 and again.json()["repeated"], again.text
        all_written(server)
        assert sequences(server) == batches(taken + 30)
        assert server.stop() == 0
        server = Server(tmp_path, *arguments, environment=environment | {"LAKEBED_INGEST_WAL": str(tmp_path / "third")})
        assert sequences(server) == batches(taken + 30)
    finally:
        server.process.kill()
        proxy.stop()


def test_a_bucket_that_turns_read_only(tmp_path, s3):
    bucket = s3.bucket("turns-read-only")
    proxy = StoreProxy(s3)
    arguments = ("--lake", f"s3://{bucket}/lake/")
    environment = proxy.environment(LAKEBED_INGEST_MEMORY="8MiB", LAKEBED_INGEST_FLUSH_AGE="200ms")
    server = Server(tmp_path, *arguments, environment=environment)
    try:
        create(server)
        assert send(server, 0, ack="lake").status_code == 200
        proxy.read_only = True
        # What asks for no more than this server's disk goes on; what asks for the lake is told.
        assert send(server, 1).status_code == 200
        problem = refused(send(server, 2, ack="lake"), "store_access_denied")
        assert bucket in problem["detail"] and "idempotency key" in str(problem), problem
        refused(requests.post(url_of(server, "events", "/flush"), timeout=120), "store_access_denied")
        assert sequences(server) == batches(3)
        wait_for(lambda: state_of(server)["last_error"], "what went wrong is told")
        state = state_of(server)
        assert bucket in state["last_error"] and state["oldest"] and state["buffered_rows"] == 2 * ROWS, state
        assert state["flushed_lsn"] < state["lsn"], state
        wait_for(lambda: metric(server, "lakebed_ingest_flush_lag_seconds") > 1, "the lag is told")
        assert metric(server, 'lakebed_ingest_flushes_total{state="failed"}') > 0
        assert metric(server, "lakebed_ingest_buffer_bytes") > 0 and metric(server, "lakebed_ingest_wal_bytes") > 0
        # A restart in this state neither loses nor hides rows.
        server.process.kill()
        server.process.wait()
        server = Server(tmp_path, *arguments, environment=environment)
        assert sequences(server) == batches(3)
        taken, answer = send_until_refused(server, 3)
        told_to_come_back(answer, "files")
        assert taken > 3 and metric(server, 'lakebed_ingest_busy_total{limit="memory"}') > 0
        assert sequences(server) == batches(taken)
        assert proxy.refused > 0
        proxy.read_only = False
        all_written(server)
        assert state_of(server)["last_error"] is None
        # What was told that it failed had been kept: its key brings the receipt, and no second copy.
        again = send(server, 2, ack="lake")
        receipt = again.json()
        assert again.status_code == 200 and receipt["repeated"] and receipt["table_version"] is not None, receipt
        assert send(server, taken).status_code == 200
        flush(server)
        assert sequences(server) == batches(taken + 1)
        assert server.stop() == 0
    finally:
        server.process.kill()
        proxy.stop()


def test_a_store_that_stops_for_a_while(tmp_path):
    """It takes connections, and answers nothing."""
    (tmp_path / "s3").mkdir()
    store = ObjectStore(tmp_path / "s3")
    bucket = store.bucket("stalls")
    environment = store.environment(LAKEBED_INGEST_FLUSH_AGE="500ms", LAKEBED_STORAGE_REQUEST_TIMEOUT="2s",
                                    LAKEBED_STORAGE_RETRY_BUDGET="3s")
    server = Server(tmp_path, "--lake", f"s3://{bucket}/lake/", environment=environment)
    try:
        create(server)
        assert send(server, 0, ack="lake").status_code == 200
        store.process.send_signal(signal.SIGSTOP)
        stopped, taken, longest, lag = time.monotonic(), 1, 0.0, 0.0
        while time.monotonic() - stopped < STALL_SECONDS:
            began = time.monotonic()
            assert send(server, taken).status_code == 200
            longest = max(longest, time.monotonic() - began)
            taken += 1
            lag = max(lag, metric(server, "lakebed_ingest_flush_lag_seconds"))
            time.sleep(0.5)
        assert longest < STALL_SECONDS / 2, f"an answer took {longest} s"
        # Attempts and their pauses take their time.
        wait_for(lambda: state_of(server)["last_error"], "the error of a flush", 90)
        assert state_of(server)["buffered_rows"] > 0 and lag > 1, lag
        refused(send(server, taken, ack="lake"), "store_unreachable", "store_failed", "unavailable")
        taken += 1
        store.process.send_signal(signal.SIGCONT)
        all_written(server, 180)
        assert state_of(server)["last_error"] is None
        assert send(server, taken, ack="lake").status_code == 200
        assert sequences(server) == batches(taken + 1)
        assert server.stop() == 0
    finally:
        store.process.send_signal(signal.SIGCONT)
        server.process.kill()
        store.stop()


def test_a_second_process_that_is_refused_has_changed_nothing(serve):
    """The first one's kept results and spill files are its own."""
    server = serve()
    submitted = requests.post(server.url + "/v1/queries", json={"query": "SELECT value FROM generate_series(1, 1000)"}, timeout=60)
    assert submitted.status_code == 202, submitted.text
    query = f"{server.url}/v1/queries/{submitted.json()['query_id']}"
    wait_for(lambda: requests.get(query, timeout=60).json()["state"] == "SUCCEEDED", "the query's end")
    folder = server.log.parent / "lakebed-data"
    files = lambda: sorted(str(path) for path in folder.rglob("*"))
    results = lambda: requests.get(query + "/results", timeout=60).json()["data"]
    before, rows = files(), results()
    command = [BINARY, "serve", "--http", f"127.0.0.1:{free_port()}", "--data-dir", str(folder), "--flight", "off"]
    second = subprocess.run(command, cwd=folder, env=clean_environment(), capture_output=True, text=True, timeout=60)
    assert second.returncode == 1 and "uses the write-ahead log" in second.stderr, second.stderr
    assert files() == before
    assert rows and results() == rows
    create(server)
    append(server, rows_of("p", range(10)))
    assert sequences(server) == {"p": (10, 10, 0, 9)}
