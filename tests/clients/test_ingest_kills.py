"""Kill -9 at any moment: what was acknowledged is there once, what was refused is not.

Some kills by default; LAKEBED_TEST_KILLS=200 for many.
"""

import json
import os
import pathlib
import random
import threading
import time

import pytest
import requests

from conftest import Server
from ingestion import COLUMNS, RULES, create, flush, merge, ndjson, rows_of, sequences, url_of, wait_for

KILLS = int(os.environ.get("LAKEBED_TEST_KILLS", "6"))
PRODUCERS = 3
SETTINGS = {"LAKEBED_INGEST_FLUSH_AGE": "500ms", "LAKEBED_INGEST_MERGE_FILES": "2", "LAKEBED_INGEST_MERGE_AFTER": "1s",
            "LAKEBED_INGEST_VACUUM_AFTER": "5s", "LAKEBED_INGEST_VACUUM_EVERY": "1s"}


class Producer:
    """Sends batches in order, each under a key of its own and again until it is acknowledged."""

    def __init__(self, name, seed):
        self.name, self.next, self.bad, self.batch = name, 0, 0, None
        self.chance = random.Random(seed)

    def prepare(self):
        if self.batch is None:
            count = self.chance.randrange(1, 400)
            rows = rows_of(self.name, range(self.next, self.next + count))
            bad = self.chance.randrange(3) == 0
            body = ndjson(rows) + (b'{"producer": "%s", "sequence": -1}\n' % self.name.encode() if bad else b"")
            ack = self.chance.choice(["wal", "wal", "lake"])
            self.batch = (body, count, bad, ack, f"{self.name}-{self.next}")
        return self.batch

    def step(self, server, session):
        body, count, bad, ack, key = self.prepare()
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": key}
        try:
            answer = session.post(url_of(server, "events", "/rows"), data=body, timeout=60, headers=headers,
                                  params={"ack": ack, "on_error": "reject_rows"})
        except requests.RequestException:
            return time.sleep(0.02)
        if answer.status_code in (429, 503):
            return time.sleep(0.1)
        assert answer.status_code == 200, answer.text
        receipt = answer.json()
        assert (receipt["accepted"], receipt["rejected"]) == (count, int(bad)), receipt
        assert receipt["durable"] == ack or receipt["repeated"], receipt
        self.next += count
        self.bad += bad
        self.batch = None

    def run(self, server, over):
        with requests.Session() as session:
            while not over.is_set():
                self.step(server, session)


class Disturber:
    """Flushes, merges, changes rules and sends rows that bring columns, in turn; counts what the server has done of it.

    Lives through the kills, as the producers do.
    """

    EXTRA = [f"more_{k}" for k in range(5)]

    def __init__(self, chance):
        self.chance, self.turn = chance, 0
        self.done = dict.fromkeys(("flush", "merge", "rules"), 0)
        self.merged_files, self.acknowledged, self.unknown = 0, set(), set()

    def run(self, server, over):
        while not over.is_set():
            # What a kill has cut off is done by the next server.
            what = list(self.done)[self.turn % len(self.done)]
            if self.is_done("extra", self.extra(server)) and self.is_done(what, getattr(self, what)(server)):
                self.done[what] += 1
                self.turn += 1
            over.wait(self.chance.uniform(0, 0.2))

    def is_done(self, what, answer):
        """A server that is gone or busy is no failure; any other answer but success is one."""
        if answer is None or answer.status_code in (429, 503):
            return False
        assert answer.status_code == 200, f"{what}: {answer.status_code} {answer.text}"
        return True

    def ask(self, method, url, **options):
        """The answer; none where the server is gone."""
        try:
            return requests.request(method, url, timeout=120, **options)
        except requests.RequestException:
            return None

    def flush(self, server):
        return self.ask("POST", url_of(server, "events", "/flush"))

    def merge(self, server):
        answer = self.ask("POST", url_of(server, "events", "/merge"))
        if answer is not None and answer.status_code == 200:
            self.merged_files += answer.json()["files_before"]
        return answer

    def rules(self, server):
        columns = RULES["columns"] | {"text": {"trim": bool(self.chance.randrange(2))}}
        body = {"columns": COLUMNS, "ingest": RULES | {"columns": columns, "unknown": "add"}}
        return self.ask("PUT", url_of(server, "events"), json=body)

    def extra(self, server):
        """A row with a field that is no column yet, or was none at first."""
        number = len(self.acknowledged) + len(self.unknown)
        row = rows_of("extra", [number])[0] | {self.EXTRA[number % len(self.EXTRA)]: number}
        answer = self.ask("POST", url_of(server, "events", "/rows"), data=ndjson([row]),
                          headers={"Content-Type": "application/x-ndjson"})
        # Without a key nobody can tell what became of a request that got no answer.
        (self.acknowledged if answer is not None and answer.status_code == 200 else self.unknown).add(number)
        return answer

    def check(self, server):
        rows = server.rows("SELECT * FROM events WHERE producer = 'extra'")
        numbers = [int(row["sequence"]) for row in rows]
        assert len(numbers) == len(set(numbers)), "an extra row is there twice"
        assert self.acknowledged <= set(numbers) <= self.acknowledged | self.unknown, (self.acknowledged, self.unknown)
        for number, row in zip(numbers, rows):
            found = {name: int(row[name]) for name in self.EXTRA if row.get(name) is not None}
            assert found == {self.EXTRA[number % len(self.EXTRA)]: number}, row

    def has_done_all(self):
        return all(self.done.values()) and self.merged_files > 0 and len(self.acknowledged) >= len(self.EXTRA)


def kill_and_start(server, environment, arguments):
    server.process.kill()
    server.process.wait()
    return Server(server.log.parent, *arguments, environment=environment)


def check(server, producers, disturber):
    disturber.check(server)
    found = sequences(server)
    for producer in producers:
        rows, distinct, least, most = found.get(producer.name, (0, 0, 0, -1))
        # A batch on its way when the process died is there wholly or not at all.
        on_its_way = producer.batch[1] if producer.batch else 0
        assert rows == distinct, f"{producer.name}: {rows} rows of {distinct} numbers"
        assert rows in (producer.next, producer.next + on_its_way), (producer.name, rows, producer.next, on_its_way)
        assert rows == 0 or (least, most) == (0, rows - 1)


def listed(location, store):
    """The paths in a table's folder, and how to read one."""
    if store is None:
        root = pathlib.Path(location.removeprefix("file://"))
        return {str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()}, lambda path: (root / path).read_bytes()
    bucket, prefix = (location.rstrip("/") + "/").removeprefix("s3://").split("/", 1)
    pages = store.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = {found["Key"].removeprefix(prefix) for page in pages for found in page.get("Contents", ())}
    return keys, lambda path: store.client.get_object(Bucket=bucket, Key=prefix + path)["Body"].read()


def is_vacuumed(location, store):
    """Whether a file that a version took out of the table is deleted."""
    paths, read = listed(location, store)
    versions = [read(path) for path in paths if path.startswith("_delta_log/") and path.endswith(".json")]
    actions = [json.loads(line) for version in versions for line in version.splitlines()]
    return any(action["remove"]["path"] not in paths for action in actions if "remove" in action)


def run_loop(folder, arguments=(), store=None):
    environment = SETTINGS | (store.environment() if store else {})
    server = Server(folder, *arguments, environment=environment)
    create(server, rules=RULES | {"unknown": "add"})
    chance = random.Random(11)
    producers = [Producer(f"p{k}", k) for k in range(PRODUCERS)]
    disturber = Disturber(random.Random(12))
    try:
        for kill in range(3 * KILLS):
            # On a slow machine a merge may want some more lives of the server to get done.
            if kill >= KILLS and disturber.has_done_all():
                break
            over, failures = threading.Event(), []

            def guarded(function, *arguments):
                try:
                    function(*arguments)
                except BaseException as failure:
                    failures.append(failure)

            threads = [threading.Thread(target=guarded, args=(p.run, server, over)) for p in producers]
            threads.append(threading.Thread(target=guarded, args=(disturber.run, server, over)))
            for thread in threads:
                thread.start()
            time.sleep(chance.uniform(0.3, 2.5))
            server.process.kill()
            over.set()
            for thread in threads:
                thread.join(120)
            assert not failures, failures[0]
            server = kill_and_start(server, environment, arguments)
            check(server, producers, disturber)
        # What was on its way is sent once more, under its key.
        for producer in producers:
            while producer.batch:
                producer.step(server, requests)
        check(server, producers, disturber)
        flush(server)
        merge(server)
        check(server, producers, disturber)
        assert all(producer.next > 0 for producer in producers)
        assert disturber.has_done_all(), (disturber.done, disturber.merged_files, disturber.acknowledged)
        location = server.rows("SELECT location FROM system.tables WHERE name = 'events'")[0]["location"]
        wait_for(lambda: is_vacuumed(location, store), "vacuum", 120)
        check(server, producers, disturber)
        if any(producer.bad for producer in producers):
            rejected = server.rows("SELECT count(*) AS n FROM events__rejects")[0]["n"]
            assert rejected == sum(producer.bad for producer in producers)
        assert server.stop() == 0
    finally:
        server.process.kill()


def test_kills_with_a_local_folder(tmp_path):
    run_loop(tmp_path)


def test_kills_with_an_object_store(tmp_path, s3):
    bucket = s3.bucket("kills")
    run_loop(tmp_path, ["--lake", f"s3://{bucket}/lake/"], s3)


@pytest.mark.parametrize("ack", ["wal", "lake"])
def test_what_is_acknowledged_is_there_after_a_kill_at_once(tmp_path, ack):
    server = Server(tmp_path, environment={"LAKEBED_INGEST_FLUSH_AGE": "1h"})
    create(server)
    answer = requests.post(url_of(server, "events", "/rows"), params={"ack": ack}, data=ndjson(rows_of("p", range(1000))),
                           headers={"Content-Type": "application/x-ndjson"}, timeout=60)
    assert answer.status_code == 200, answer.text
    server = kill_and_start(server, {}, [])
    try:
        assert sequences(server) == {"p": (1000, 1000, 0, 999)}
    finally:
        server.stop()
