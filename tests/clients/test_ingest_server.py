"""One server's life with rows: restarts, keys of requests, back-pressure, two processes, rights, an orderly stop."""

import subprocess
import threading
import time

import requests

from conftest import BINARY, Server, clean_environment
from ingestion import COLUMNS, RULES, append, create, flush, ndjson, post, rows_of, sequences, url_of, wait_for
from object_store import free_port



def state_of(server, table="events"):
    return server.rows(f"SELECT * FROM system.ingest WHERE \"table\" = '{table}'")[0]


def test_rows_and_keys_outlive_a_restart(tmp_path):
    slow = {"LAKEBED_INGEST_FLUSH_AGE": "1h"}
    server = Server(tmp_path, environment=slow)
    create(server)
    first = append(server, rows_of("p", range(500)), headers={"Idempotency-Key": "one"})
    assert not first["repeated"]
    server.process.kill()
    server.process.wait()
    server = Server(tmp_path, environment=slow)
    try:
        assert sequences(server) == {"p": (500, 500, 0, 499)}
        again = append(server, rows_of("p", range(500)), headers={"Idempotency-Key": "one"})
        assert again["repeated"] and (again["lsn"], again["accepted"]) == (first["lsn"], 500)
        flush(server)
        again = append(server, rows_of("p", range(500)), headers={"Idempotency-Key": "one"})
        assert again["repeated"]
        other = append(server, rows_of("p", range(500, 600)), headers={"Idempotency-Key": "two"})
        assert not other["repeated"] and other["lsn"] > first["lsn"]
        assert sequences(server) == {"p": (600, 600, 0, 599)}
    finally:
        assert server.stop() == 0


def test_an_orderly_stop_leaves_nothing_in_the_log(tmp_path):
    server = Server(tmp_path, environment={"LAKEBED_INGEST_FLUSH_AGE": "1h"})
    create(server)
    append(server, rows_of("p", range(100)))
    assert state_of(server)["buffered_rows"] == 100
    assert server.stop() == 0
    server = Server(tmp_path, environment={"LAKEBED_INGEST_FLUSH_AGE": "1h"})
    try:
        assert sequences(server) == {"p": (100, 100, 0, 99)}
        found = server.rows("SELECT buffered_rows FROM system.ingest WHERE \"table\" = 'events'")
        assert not found or found[0]["buffered_rows"] == 0, found
    finally:
        server.stop()


def test_the_same_key_at_the_same_time_brings_the_rows_once(serve):
    server = serve()
    create(server)
    body, answers = ndjson(rows_of("p", range(1000))), []
    send = lambda: answers.append(post(server, body, headers={"Idempotency-Key": "k"}))
    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(answer.status_code in (200, 429) for answer in answers), [answer.text for answer in answers]
    assert sum(answer.status_code == 200 and not answer.json()["repeated"] for answer in answers) == 1
    assert sequences(server) == {"p": (1000, 1000, 0, 999)}


def test_a_second_process_on_the_same_log_says_so_and_stops(serve):
    server = serve()
    create(server)
    append(server, rows_of("p", range(10)))
    folder = server.log.parent
    command = [BINARY, "serve", "--http", f"127.0.0.1:{free_port()}", "--data-dir", str(folder / "other"), "--flight", "off"]
    environment = clean_environment({"LAKEBED_INGEST_WAL": str(folder / "lakebed-data/wal")})
    second = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1, second.stderr
    assert "wal" in second.stderr and "error:" in second.stderr, second.stderr
    append(server, rows_of("p", range(10, 20)))
    assert sequences(server) == {"p": (20, 20, 0, 19)}


def test_a_server_that_is_full_says_so_and_takes_rows_again(tmp_path, s3):
    """Nothing can be written to the bucket, so memory fills: what is refused is not kept, what is acknowledged is."""
    bucket = s3.bucket("full")
    gate = Gate(s3.port)
    environment = s3.environment() | {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{gate.port}", "LAKEBED_INGEST_MEMORY": "8MiB",
                                      "LAKEBED_INGEST_FLUSH_AGE": "200ms"}
    server = Server(tmp_path, "--lake", f"s3://{bucket}/lake/", environment=environment)
    try:
        create(server)
        append(server, rows_of("p", range(1000)))
        flush(server)
        gate.close()
        sent = 1
        while (answer := post(server, batch_of(sent))).status_code == 200:
            sent += 1
            assert sent < 500, "memory is bounded"
        assert (answer.status_code, answer.json()["code"]) == (429, "ingest_busy"), answer.text
        assert int(answer.headers["Retry-After"]) >= 1
        assert requests.get(server.url + "/metrics", timeout=60).text.count("lakebed_ingest_busy_total") > 0
        gate.open()
        wait_for(lambda: post(server, batch_of(sent)).status_code == 200, "rows are taken again", 120)
        rows = (sent + 1) * 1000
        wait_for(lambda: state_of(server)["buffered_rows"] == 0, "the rows are written", 120)
        assert sequences(server) == {"p": (rows, rows, 0, rows - 1)}
    finally:
        gate.stop()
        server.stop()


def batch_of(number):
    return ndjson(rows_of("p", range(number * 1000, (number + 1) * 1000)))


def test_a_table_can_be_dropped_and_made_again(serve):
    server = serve()
    create(server)
    append(server, rows_of("p", range(10)), headers={"Idempotency-Key": "first"})
    assert requests.delete(url_of(server, "events"), timeout=60).status_code == 204
    assert post(server, ndjson(rows_of("p", [1]))).status_code == 404
    assert server.sql("SELECT 1 FROM events").status_code == 404
    create(server)
    assert server.rows("SELECT count(*) AS n FROM events") == [{"n": 0}]
    # What a key brought to the table of before is not in this one.
    assert not append(server, rows_of("p", range(10)), headers={"Idempotency-Key": "first"})["repeated"]
    append(server, rows_of("q", range(5)))
    flush(server)
    assert sequences(server) == {"p": (10, 10, 0, 9), "q": (5, 5, 0, 4)}


def test_rights(serve, lakebed):
    server = serve()
    create(server)
    create(server, "secret")
    root = lakebed("keys", "create", "root", "--role", "admin", "--url", server.url).stdout.strip()
    environment = {"LAKEBED_CLIENT_KEY": root}

    def key(name, *arguments):
        made = lakebed("keys", "create", name, *arguments, "--url", server.url, environment=environment)
        return {"Authorization": f"Bearer {made.stdout.strip()}"}

    writer, reader = key("writer", "--role", "write", "--grant", "default.events"), key("reader", "--role", "read")
    body = ndjson(rows_of("p", range(3)))
    assert post(server, body).status_code == 401
    assert post(server, body, headers=writer).status_code == 200
    assert post(server, body, headers=reader).status_code == 403
    for what in ("/flush", "/merge"):
        assert requests.post(url_of(server, "events", what), headers=writer, timeout=60).status_code == 200
        assert requests.post(url_of(server, "events", what), headers=reader, timeout=60).status_code == 403
        assert requests.post(url_of(server, "secret", what), headers=writer, timeout=60).status_code == 404
    # What a principal may not see does not exist for it.
    hidden, missing = (post(server, body, table, headers=writer) for table in ("secret", "nowhere"))
    assert hidden.status_code == missing.status_code == 404
    assert hidden.json()["detail"].replace("secret", "nowhere") == missing.json()["detail"]
    assert requests.get(url_of(server, "secret", "/tail"), headers=writer, timeout=60).status_code == 404
    created = requests.put(url_of(server, "mine"), json={"columns": COLUMNS, "ingest": RULES}, headers=writer, timeout=60)
    assert created.status_code == 403
    assert post(server, body, "mine", headers=writer, create="true").status_code in (403, 404)


def test_a_store_that_stops_for_a_while(tmp_path, s3):
    """Rows are taken and seen while nothing can be written to the bucket, and are written when it can again."""
    bucket = s3.bucket("pauses")
    gate = Gate(s3.port)
    environment = s3.environment() | {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{gate.port}", "LAKEBED_INGEST_FLUSH_AGE": "200ms"}
    server = Server(tmp_path, "--lake", f"s3://{bucket}/lake/", environment=environment)
    try:
        create(server)
        append(server, rows_of("p", range(100)))
        flush(server)
        gate.close()
        append(server, rows_of("p", range(100, 200)))
        time.sleep(1)
        gate.open()
        wait_for(lambda: state_of(server)["buffered_rows"] == 0, "the rows are written", 120)
        assert sequences(server) == {"p": (200, 200, 0, 199)}
    finally:
        gate.stop()
        server.stop()


class Gate:
    """A way to the object store that can be closed."""

    def __init__(self, to):
        import socket

        self.to, self.is_open, self.connections = to, True, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        import socket

        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if not self.is_open:
                client.close()
                continue
            store = socket.create_connection(("127.0.0.1", self.to))
            self.connections += [client, store]
            for source, target in ((client, store), (store, client)):
                threading.Thread(target=self._copy, args=(source, target), daemon=True).start()

    def _copy(self, source, target):
        import socket

        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        import socket

        self.is_open = False
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.connections = []

    def open(self):
        self.is_open = True

    def stop(self):
        self.close()
        self.listener.close()
