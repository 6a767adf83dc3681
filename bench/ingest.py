"""Rows in over HTTP: requests of 1,000 rows, acknowledged in memory, on disk, in the lake; and a day's files merged."""

import concurrent.futures
import io
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet
import requests

ROWS_OF_A_REQUEST = 1_000
BODIES = 64
CLIENTS = (1, 8, 64)
ACKS = ("memory", "wal", "lake")
SECONDS = 4
MEDIA_TYPES = {"ndjson": "application/x-ndjson", "csv": "text/csv", "arrow": "application/vnd.apache.arrow.stream"}
COLUMNS = [
    {"name": "event_id", "type": "VARCHAR"}, {"name": "ts", "type": "TIMESTAMP WITH TIME ZONE"},
    {"name": "user_id", "type": "BIGINT"}, {"name": "kind", "type": "VARCHAR"}, {"name": "device", "type": "VARCHAR"},
    {"name": "amount", "type": "DECIMAL(10, 2)"}, {"name": "properties", "type": "VARCHAR"},
    {"name": "producer", "type": "VARCHAR"}, {"name": "sequence", "type": "BIGINT"},
]
RULES = {"columns": {"event_id": {"required": True}, "ts": {"required": True}}, "day": {"from": "ts"}, "sort": ["ts"]}
# Room for what comes in faster than it is written to files: what is measured is taking rows, not being told to wait.
ENVIRONMENT = {"LAKEBED_INGEST_MEMORY": "3GiB", "LAKEBED_INGEST_WAL_LIMIT": "16GiB"}
# Nothing goes to files: what is queried is memory.
IN_MEMORY = ENVIRONMENT | {"LAKEBED_INGEST_FLUSH_AGE": "1h", "LAKEBED_INGEST_FLUSH_BYTES": "3GiB"}
ROWS_IN_MEMORY = 1_000_000
# The day that is merged: its rows come from so many producers, each of which has rows of the whole day.
DAY_ROWS, DAY_PRODUCERS = 50_000_000, 25
DAY_BODY_ROWS = 50_000
DAY_START, DAY_MICROS = 1_709_251_200_000_000, 86_400_000_000
PEER_MEMORY = "2GB"


def bodies(binary, folder):
    """`{format: [file]}`: the same rows in each format, of `lakebed generate --dataset events`."""
    files = {name: [folder / f"{name}-{number}" for number in range(BODIES)] for name in MEDIA_TYPES}
    if all(file.exists() for those in files.values() for file in those):
        return files
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("ndjson", "csv", "parquet"):
        subprocess.run([binary, "generate", "--dataset", "events", "--rows", str(BODIES * ROWS_OF_A_REQUEST), "--output",
                        str(folder / f"events.{name}")], check=True)
    lines = (folder / "events.ndjson").read_bytes().splitlines(keepends=True)
    header, *records = (folder / "events.csv").read_bytes().splitlines(keepends=True)
    table = pa.parquet.read_table(folder / "events.parquet")
    for number in range(BODIES):
        part = slice(number * ROWS_OF_A_REQUEST, (number + 1) * ROWS_OF_A_REQUEST)
        files["ndjson"][number].write_bytes(b"".join(lines[part]))
        files["csv"][number].write_bytes(header + b"".join(records[part]))
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table.slice(part.start, ROWS_OF_A_REQUEST))
        files["arrow"][number].write_bytes(sink.getvalue())
    return files


def body_sizes(files):
    """`{format: bytes of a request}`, the mean."""
    return {name: statistics.mean(file.stat().st_size for file in files[name]) for name in MEDIA_TYPES}


def load(root, url, clients, media_type, files):
    """Requests a second and latencies, from the load generator of the developer commands."""
    command = ["cargo", "xtask", "load", url, str(clients), str(SECONDS), media_type, *map(str, files)]
    return json.loads(subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout)


class Queries:
    """A query after the other while the block runs; their latencies in milliseconds."""

    def __init__(self, url, sql):
        self.url, self.sql, self.latencies, self.over, self.failure = url, sql, [], threading.Event(), None

    def __enter__(self):
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        return self

    def _run(self):
        try:
            with requests.Session() as session:
                while not self.over.is_set():
                    started = time.perf_counter()
                    session.post(self.url + "/v1/sql", json={"query": self.sql}).raise_for_status()
                    self.latencies.append((time.perf_counter() - started) * 1e3)
        except Exception as failure:
            self.failure = failure

    def __exit__(self, kind, *_):
        self.over.set()
        self.thread.join()
        # What failed in the block itself comes first.
        if self.failure and kind is None:
            raise self.failure


def table_url(url, what=""):
    return f"{url}/v1/databases/default/tables/events{what}"


def create(url, **rules):
    requests.put(table_url(url), json={"columns": COLUMNS, "ingest": RULES | rules}).raise_for_status()


def flush(url):
    requests.post(table_url(url, "/flush")).raise_for_status()


def state(url):
    answer = requests.post(url + "/v1/sql", json={"query": "SELECT * FROM system.ingest WHERE \"table\" = 'events'"})
    answer.raise_for_status()
    return answer.json()["data"][0]


def rows_in(url):
    answer = requests.post(url + "/v1/sql", json={"query": "SELECT count(*) AS n FROM events"})
    answer.raise_for_status()
    return answer.json()["data"][0]["n"]


def speed(figures):
    """Rows a second that were taken: who is told to come back has brought none."""
    return figures["per_second"] * ROWS_OF_A_REQUEST * (1 - figures["errors"] / max(figures["requests"], 1))


def measure(root, ours, theirs, files):
    """Rows of the table: format, clients, and what each system does, one run each. The systems take turns."""
    found, taken, perhaps = [], 0, 0
    for name, media_type in MEDIA_TYPES.items():
        size = body_sizes(files)[name]
        for clients in CLIENTS:
            peer = load(root, f"{theirs}/rows", clients, media_type, files[name])
            assert peer["errors"] == 0, peer
            requests.post(f"{theirs}/reset").raise_for_status()
            by_ack = {}
            for ack in ACKS:
                by_ack[ack] = load(root, table_url(ours, f"/rows?ack={ack}"), clients, media_type, files[name])
                taken += (by_ack[ack]["requests"] - by_ack[ack]["errors"]) * ROWS_OF_A_REQUEST
                flush(ours)
            # Who is told to come back has brought nothing; but rows that are in the log when their commit fails stay there.
            perhaps += by_ack["lake"]["errors"] * ROWS_OF_A_REQUEST
            there = rows_in(ours)
            assert taken <= there <= taken + perhaps, f"{there} rows in the table, {taken} acknowledged, {perhaps} perhaps"
            wal = by_ack["wal"]
            found.append((
                name, clients, f"{speed(peer) / 1e3:.0f}", *(f"{speed(by_ack[ack]) / 1e3:.0f}" for ack in ACKS),
                f"{speed(wal) / ROWS_OF_A_REQUEST * size / 1e6:.0f}",
                *(f"{speed(by_ack[ack]) / speed(peer):.1f}" for ack in ("memory", "wal")),
                f"{peer['p50_ms']:.1f} / {peer['p99_ms']:.1f}",
                *(f"{by_ack[ack]['p50_ms']:.1f} / {by_ack[ack]['p99_ms']:.1f}" for ack in ACKS),
                sum(figures["errors"] for figures in by_ack.values()),
            ))
            print(*found[-1], flush=True)
    return found


def latency_on_memory(root, url, files):
    """Milliseconds of a query over rows that are in no file, median and p99: at rest, and while 8 clients send more; and how
    many rows there were before and after."""
    create(url)
    bodies = [file.read_bytes() for file in files["arrow"]]
    for number in range(ROWS_IN_MEMORY // ROWS_OF_A_REQUEST):
        send(requests, url, bodies[number % BODIES])
    before = rows_in(url)
    sql = "SELECT kind, count(*) AS n FROM events WHERE sequence < 1000 GROUP BY kind"
    with Queries(url, sql) as rest:
        time.sleep(SECONDS)
    with Queries(url, sql) as busy:
        load(root, table_url(url, "/rows"), 8, MEDIA_TYPES["ndjson"], files["ndjson"])
    after = state(url)
    assert after["flushes"] == 0 and after["buffered_rows"] == rows_in(url), after
    both = []
    for queries in (rest, busy):
        latencies = sorted(queries.latencies)
        both.append((statistics.median(latencies), latencies[int((len(latencies) - 1) * 0.99)]))
    return *both, before, after["buffered_rows"]


def send(session, url, body):
    """Sends a body of Arrow until it is taken."""
    while True:
        answer = session.post(table_url(url, "/rows"), data=body, headers={"Content-Type": MEDIA_TYPES["arrow"]})
        if answer.status_code != 429:
            return answer.raise_for_status()
        time.sleep(float(answer.headers["Retry-After"]))


def day_bodies(binary, folder):
    """The day's rows as Arrow streams: one producer after the other, each with a whole day in order but for the late rows."""
    count = DAY_ROWS // DAY_PRODUCERS
    file = folder / f"events{count}.parquet"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([binary, "generate", "--dataset", "events", "--rows", str(count), "--output", str(file)], check=True)
    table = pa.parquet.read_table(file)
    # The 30 days of the data set, pressed into one.
    micros = pa.compute.subtract(table["ts"].cast(pa.int64()), DAY_START)
    micros = pa.compute.min_element_wise(pa.compute.divide(micros, 30), DAY_MICROS - 1)
    time_type = table["ts"].type
    table = table.set_column(1, "ts", pa.compute.add(micros, DAY_START).cast(time_type)).combine_chunks()
    for producer in range(DAY_PRODUCERS):
        for start in range(0, count, DAY_BODY_ROWS):
            part = table.slice(start, DAY_BODY_ROWS)
            name = pa.array([f"producer-{producer}"] * part.num_rows)
            sink = io.BytesIO()
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(part.set_column(7, table.schema.field(7), name))
            yield sink.getvalue()


def peak_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024


def forget_peak(pid):
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def merge_a_day(url, pid, binary, folder):
    """Takes a day in, and merges its files; and the same files sorted by DuckDB. Rows of a table."""
    # Nothing is merged before it is asked for.
    create(url, merge={"off": True})
    started = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(4) as senders, requests.Session() as session:
        waiting = set()
        for body in day_bodies(binary, folder):
            waiting.add(senders.submit(send, session, url, body))
            if len(waiting) >= 8:
                done, waiting = concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED)
                [one.result() for one in done]
        [one.result() for one in waiting]
    flush(url)
    taken = time.perf_counter() - started
    assert rows_in(url) == DAY_ROWS
    answer = requests.post(url + "/v1/sql", json={"query": "SELECT location FROM system.tables WHERE name = 'events'"})
    place = pathlib.Path(answer.json()["data"][0]["location"].removeprefix("file://"))
    files = sorted(place.rglob("date=*/*.parquet"))
    size = sum(file.stat().st_size for file in files) / 1e9
    peer = sorted_by_peer(files)
    # What taking rows in has left behind is given back to the system after some seconds.
    time.sleep(15)
    forget_peak(pid)
    before, started = peak_mib(pid), time.perf_counter()
    answer = requests.post(table_url(url, "/merge"))
    answer.raise_for_status()
    seconds, merged = time.perf_counter() - started, answer.json()
    assert rows_in(url) == DAY_ROWS and not merged["lost"], merged
    peak = peak_mib(pid)
    print(merged, f"{seconds:.0f} s, {peak:.0f} MiB", flush=True)
    speed = lambda seconds: f"{DAY_ROWS / seconds / 1e6:.2f}"
    return [
        ("taken in, Arrow, 4 clients, `wal`, to its last flush", f"{taken:.0f}", speed(taken), "", f"{len(files)} files, {size:.1f} GB"),
        ("merged", f"{seconds:.0f}", speed(seconds), f"{peak:.0f} (before it {before:.0f})", f"{merged['files_after']} files"),
        (f"DuckDB sorts the same files into one, bounded to {PEER_MEMORY}", f"{peer['seconds']:.0f}", speed(peer["seconds"]),
         f"{peer['peak_mib']:.0f}", "1 file"),
    ]


def sorted_by_peer(files):
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(__file__).parent / "peers/merge_duckdb.py"
        listed = pathlib.Path(folder) / "files"
        listed.write_text("\n".join(map(str, files)))
        command = [sys.executable, str(program), str(listed), folder, PEER_MEMORY]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


HEADER = ("format", "clients", "FastAPI + Polars", *(f"`{ack}`" for ack in ACKS), "MB/s with `wal`", "`memory` ÷ peer", "`wal` ÷ peer",
          "peer p50 / p99 ms", *(f"`{ack}` p50 / p99 ms" for ack in ACKS), "told to come back")
MERGE_HEADER = ("a day of 50 million rows", "s", "million rows a second", "memory at most, MiB", "what came of it")
