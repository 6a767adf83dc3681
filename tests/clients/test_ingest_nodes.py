"""Three servers write one table on one bucket, each with a log and a catalog of its own, and one of them is killed.

Some seconds by default; LAKEBED_TEST_NODES_SECONDS=600 for ten minutes.
"""

import collections
import os
import random
import threading
import time

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
import requests

deltalake = pytest.importorskip("deltalake")
polars = pytest.importorskip("polars")

from conftest import Server
from ingestion import DAYS, RULES, append, create, flush, merge, rows_of, sequences, url_of, wait_for
from store_proxy import StoreProxy
from test_ingest_kills import Producer

SECONDS = float(os.environ.get("LAKEBED_TEST_NODES_SECONDS", "12"))
NODES = 3
PRODUCERS = 2
# Small, so that a day's rows become several files, in order.
SETTINGS = {"LAKEBED_INGEST_FLUSH_AGE": "500ms", "LAKEBED_INGEST_MERGE_BYTES": "256KiB"}
COLUMNS = "producer, sequence, ts, amount, text"


class Node:
    """A server with a folder of its own; its producers find it again after a restart."""

    def __init__(self, folder, number, bucket, s3):
        self.folder, self.seen = folder / f"node{number}", {}
        self.folder.mkdir()
        self.arguments = ("--lake", f"s3://{bucket}/lake/")
        self.environment = s3.environment() | SETTINGS | {"LAKEBED_INGEST_NODE": f"node{number}"}
        self.producers = [Producer(f"n{number}p{k}", 10 * number + k) for k in range(PRODUCERS)]
        self.start()

    def start(self):
        self.server = Server(self.folder, *self.arguments, environment=self.environment)

    def kill(self):
        self.server.process.kill()
        self.server.process.wait()

    def attach(self, location):
        answer = requests.put(url_of(self.server, "events"), json={"location": location, "ingest": RULES}, timeout=60)
        assert answer.status_code == 201, answer.text

    def look(self):
        """Of each producer of every node a beginning of its rows, which only grows; of one's own all acknowledged ones."""
        acknowledged = {producer.name: producer.next for producer in self.producers}
        # Of those who look at the same time, each knows what was seen before it began.
        seen = dict(self.seen)
        found = sequences(self.server)
        for name, (rows, distinct, least, most) in found.items():
            assert rows == distinct == most + 1 and least == 0, f"{name}: {rows} rows, {distinct} numbers, {least} to {most}"
            assert rows >= seen.get(name, 0), f"{name}: {rows} after {seen[name]}"
            self.seen[name] = max(rows, self.seen.get(name, 0))
        for name, rows in acknowledged.items():
            assert found.get(name, (0,))[0] >= rows, f"{name}: {rows} acknowledged, {found.get(name)} found"


def expected_rows(nodes):
    """What was acknowledged, as a table of DuckDB's connection."""
    oracle = duckdb.connect()
    oracle.execute("SET TimeZone = 'UTC'")
    oracle.execute("CREATE TABLE expected (producer VARCHAR, sequence BIGINT, ts TIMESTAMPTZ, amount DECIMAL(10, 2), text VARCHAR)")
    for producer in (producer for node in nodes for producer in node.producers):
        for start in range(0, producer.next, 50_000):
            part = pa.Table.from_pylist(rows_of(producer.name, range(start, min(start + 50_000, producer.next))))
            oracle.register("part", part)
            oracle.execute(f"INSERT INTO expected SELECT {COLUMNS} FROM part")
            oracle.unregister("part")
    return oracle


def same_rows(oracle, actual):
    """The same multiset of rows, duplicates and all."""
    for one, other, what in (("expected", actual, "lost"), (actual, "expected", "too many")):
        missing = f"SELECT {COLUMNS} FROM {one} EXCEPT ALL SELECT {COLUMNS} FROM {other}"
        rows = oracle.sql(f"SELECT * REPLACE (ts::VARCHAR AS ts) FROM ({missing}) LIMIT 3").fetchall()
        assert not rows, f"{what}: {rows}"


def active_files(table, s3, bucket, folder):
    """The files of the table's last version on this machine: `{day: [path]}`."""
    days = collections.defaultdict(list)
    for number, uri in enumerate(sorted(table.file_uris())):
        key = uri.split(f"{bucket}/", 1)[1]
        day = key.split("/date=", 1)[1].split("/", 1)[0]
        days[day].append(folder / f"{day}-{number}.parquet")
        s3.client.download_file(bucket, key, str(days[day][-1]))
    return days


def check_order(days):
    """Of each day one sorted set of files: each in order, said so in its footer, and one after the other."""
    assert sorted(days) == sorted(DAYS)
    for day, files in days.items():
        ends = []
        for file in files:
            parquet = pa.parquet.ParquetFile(file)
            for group in range(parquet.num_row_groups):
                names = [parquet.schema_arrow.names[column.column_index] for column in parquet.metadata.row_group(group).sorting_columns]
                assert names == ["producer", "sequence"], (file, names)
            columns = parquet.read(columns=["producer", "sequence", "ts"])
            keys = list(zip(columns["producer"].to_pylist(), columns["sequence"].to_pylist()))
            assert keys == sorted(keys), file
            assert {str(time.date()) for time in columns["ts"].to_pylist()} == {day}
            ends.append((keys[0], keys[-1]))
        ends.sort()
        assert all(before[1] < after[0] for before, after in zip(ends, ends[1:])), (day, ends)


def merged_by(node):
    """Merges until no other node was quicker for a day."""
    wait_for(lambda: not merge(node.server)["lost"], "a merge of all days", 300)


def produce(node, producer, over, failures):
    try:
        with requests.Session() as session:
            while not over.is_set():
                producer.step(node.server, session)
                # Ten minutes shall not make ten times as many rows.
                over.wait(SECONDS / 1200)
    except BaseException as failure:
        failures.append(failure)
        over.set()


def disturb(nodes, over, chance, failures):
    """Flushes, merges and looks at nodes that live; merges of two nodes meet."""
    while not over.is_set():
        node = chance.choice([node for node in nodes if node is not nodes[1]])
        try:
            chance.choice([lambda: flush(node.server), lambda: merge(node.server), node.look, node.look])()
        except BaseException as failure:
            failures.append(failure)
            over.set()
        over.wait(SECONDS / 200)


def run(nodes):
    over, failures, chance = threading.Event(), [], random.Random(5)
    threads = [threading.Thread(target=produce, args=(node, producer, over, failures)) for node in nodes for producer in node.producers]
    threads += [threading.Thread(target=disturb, args=(nodes, over, random.Random(k), failures)) for k in range(2)]
    for thread in threads:
        thread.start()
    try:
        over.wait(SECONDS * 0.4 + chance.random())
        nodes[1].kill()
        over.wait(SECONDS * 0.1)
        nodes[1].start()
        over.wait(SECONDS * 0.5)
    finally:
        over.set()
        for thread in threads:
            thread.join(180)
    assert not failures, failures[0]


def test_three_nodes_on_one_bucket(tmp_path, s3):
    bucket = s3.bucket("nodes")
    nodes = []
    try:
        for number in range(NODES):
            nodes.append(Node(tmp_path, number, bucket, s3))
        create(nodes[0].server)
        location = nodes[0].server.rows("SELECT location FROM system.tables WHERE name = 'events'")[0]["location"]
        for node in nodes[1:]:
            node.attach(location)
        run(nodes)
        for node in nodes:
            for producer in node.producers:
                # What was on its way is sent once more, under its key.
                while producer.batch:
                    producer.step(node.server, requests)
            flush(node.server)
        totals = {producer.name: producer.next for node in nodes for producer in node.producers}
        assert min(totals.values()) > 0, totals
        merged_by(nodes[2])
        for node in nodes:
            wait_for(lambda: {name: rows for name, (rows, *_) in sequences(node.server).items()} == totals, f"{totals} at {node.folder}")
            node.look()
        options = {"AWS_ENDPOINT_URL": s3.url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": s3.ADMIN[0],
                   "AWS_SECRET_ACCESS_KEY": s3.ADMIN[1], "AWS_ALLOW_HTTP": "true"}
        table = deltalake.DeltaTable(location, storage_options=options)
        days = active_files(table, s3, bucket, tmp_path)
        check_order(days)
        oracle = expected_rows(nodes)
        files = [str(file) for those in days.values() for file in those]
        oracle.execute(f"CREATE VIEW by_duckdb AS SELECT * FROM read_parquet({files})")
        same_rows(oracle, "by_duckdb")
        frame = polars.read_delta(location, storage_options=options).select(COLUMNS.split(", ")).to_arrow()
        oracle.register("by_polars", frame)
        same_rows(oracle, "by_polars")
        for node in nodes:
            assert node.server.stop() == 0
    finally:
        for node in nodes:
            node.server.process.kill()


def refused_for_its_store(answer):
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "unsupported"), problem
    assert "ignores conditional writes" in problem["detail"] and "If-None-Match" in str(problem), problem


def test_a_store_that_ignores_conditions_is_refused(tmp_path, s3):
    """Two writers would overwrite each other's commits there: no table is made, none is taken, none is written."""
    bucket = s3.bucket("unconditional")
    proxy = StoreProxy(s3)
    proxy.ignores_conditions = True
    arguments = ("--lake", f"s3://{bucket}/lake/")
    environment = proxy.environment(LAKEBED_INGEST_FLUSH_AGE="1h")
    table = {"columns": [{"name": "producer", "type": "VARCHAR"}], "ingest": {}}
    server = Server(tmp_path, *arguments, environment=environment)
    try:
        refused_for_its_store(requests.put(url_of(server, "events"), json=table, timeout=60))
        assert requests.get(url_of(server, "events"), timeout=60).status_code == 404
        assert "Contents" not in s3.client.list_objects_v2(Bucket=bucket), "nothing is left behind"
        proxy.ignores_conditions = False
        create(server)
        append(server, rows_of("p", range(100)), ack="lake")
        # A server that starts when the store has changed for the worse keeps rows in its log, and says why.
        server.stop()
        proxy.ignores_conditions = True
        server = Server(tmp_path, *arguments, environment=environment)
        append(server, rows_of("p", range(100, 200)))
        refused_for_its_store(requests.post(url_of(server, "events", "/flush"), timeout=60))
        location = server.rows("SELECT location FROM system.tables WHERE name = 'events'")[0]["location"]
        (tmp_path / "other").mkdir()
        other = Server(tmp_path / "other", *arguments, environment=environment)
        try:
            attaching = {"location": location, "ingest": RULES}
            refused_for_its_store(requests.put(url_of(other, "events"), json=attaching, timeout=60))
        finally:
            other.process.kill()
        assert sequences(server) == {"p": (200, 200, 0, 199)}
        proxy.ignores_conditions = False
        flush(server)
        assert sequences(server) == {"p": (200, 200, 0, 199)}
        assert server.stop() == 0
    finally:
        server.process.kill()
        proxy.stop()
