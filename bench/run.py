"""Measures Lakebed against its peers in one run on this machine and writes docs/benchmarks.md.

    cargo xtask bench [tpch] [memory] [pages] [export] [stream] [flight] [ingest] [planning] [start] [cancel] [remote] [endurance]

Without a name all of them but `endurance`, which takes 20 minutes.

Each figure is the median of runs that alternate between the systems, so that a machine whose speed drifts drifts for both.
"""

import contextlib
import itertools
import json
import os
import pathlib
import platform
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import duckdb
import requests

import endurance
import flight
import ingest
import remote

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/benchmarks.md"
# Taken out: the server refuses variables of its own name that it does not know.
BINARY = os.environ.pop("LAKEBED_BENCH_BINARY")
DATA = pathlib.Path(os.environ.pop("LAKEBED_BENCH_DATA"))
TABLES = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"]
QUERIES = {int(file.stem[1:]): file.read_text() for file in sorted((ROOT / "bench/tpch").glob("q*.sql"))}
ROUNDS = int(os.environ.pop("LAKEBED_BENCH_ROUNDS", "5"))
ARROW = "application/vnd.apache.arrow.stream"
CORES = os.cpu_count()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def resident_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the process is gone")


@contextlib.contextmanager
def process(command, url, ready, environment=None):
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | (environment or {}))
    try:
        while True:
            if child.poll() is not None:
                raise RuntimeError(f"{command[0]} ended with {child.returncode}")
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(url + ready, timeout=5).status_code < 500:
                    break
            time.sleep(0.002)
        child.seconds_to_ready = time.perf_counter() - started
        yield child
    finally:
        child.terminate()
        child.wait()


@contextlib.contextmanager
def lakebed(*arguments, environment=None):
    with tempfile.TemporaryDirectory() as folder:
        url, grpc = f"http://127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        command = [BINARY, "serve", *map(str, arguments), "--http", url[7:], "--flight", grpc, "--data-dir", folder, "--log", "error"]
        # What is measured is work: no answer shall be one that was kept.
        with process(command, url, "/ready", {"LAKEBED_QUERY_RESULT_CACHE": "0"} | (environment or {})) as child:
            child.data_dir, child.flight = folder, f"grpc://{grpc}"
            yield url, child


@contextlib.contextmanager
def peer(pages):
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "fastapi_duckdb:app", "--app-dir", str(ROOT / "bench/peers"), "--port",
               str(port), "--workers", str(CORES), "--log-level", "error"]
    url = f"http://127.0.0.1:{port}"
    with process(command, url, "/openapi.json", {"PEER_PAGES": str(pages)}) as child:
        yield url, child


def timed(run):
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def alternate(runs, rounds=ROUNDS):
    """Median seconds of each of the runs, taken in turn, after one warm-up each."""
    for run in runs.values():
        run()
    seconds = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds[name].append(timed(run))
    return {name: statistics.median(times) for name, times in seconds.items()}


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]) + "\n"


def tpch_folder():
    folder = DATA / "tpch-sf1"
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["tpchgen-cli", "parquet", "-s", "1", f"--output-dir={folder}"], check=True)
        (folder / "complete").touch()
    return folder


def post(session, url, sql, accept):
    answer = session.post(url + "/v1/sql", json={"query": sql}, headers={"Accept": accept, "Accept-Encoding": "identity"})
    answer.raise_for_status()
    return answer.content


def bench_tpch():
    folder = tpch_folder()
    oracle = duckdb.connect()
    for name in TABLES:
        oracle.sql(f"CREATE VIEW {name} AS SELECT * FROM '{folder / name}.parquet'")
    session, rows, totals = requests.Session(), [], {}
    with lakebed(f"{folder}/") as (url, _):
        for number, sql in QUERIES.items():
            times = alternate({
                "duckdb": lambda: oracle.sql(sql).to_arrow_table(),
                "rest": lambda: post(session, url, sql, ARROW),
            })
            # A process of its own for each query: start, crawl and query together.
            times["cli"] = statistics.median(timed(lambda: subprocess.run(
                [BINARY, "sql", sql, f"{folder}/", "--format", "csv"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                check=True)) for _ in range(3))
            for name, seconds in times.items():
                totals[name] = totals.get(name, 0) + seconds
            rows.append((f"q{number}", *(f"{times[n] * 1e3:.0f}" for n in ("duckdb", "rest", "cli")), f"{times['rest'] / times['duckdb']:.2f}"))
            print(*rows[-1], flush=True)
    rows.append(("**total**", *(f"{totals[n] * 1e3:.0f}" for n in ("duckdb", "rest", "cli")), f"**{totals['rest'] / totals['duckdb']:.2f}**"))
    text = "Milliseconds, warm, results fetched whole as Arrow. DuckDB runs in process; `lakebed sql` pays for its start and its crawl each time.\n\n"
    return text + table(("query", "DuckDB 2.0 in process", "Lakebed over HTTP", "`lakebed sql`", "HTTP ÷ DuckDB"), rows)


def bench_memory():
    rows = []
    with lakebed(f"{tpch_folder()}/", environment={"LAKEBED_QUERY_MEMORY": "512MB", "LAKEBED_QUERY_COLUMN_CACHE": "64MB"}) as (url, child):
        finished = 0
        for number, sql in QUERIES.items():
            answer = requests.post(url + "/v1/sql", json={"query": sql})
            document = answer.json()
            if answer.status_code == 200 and "error" not in document:
                finished += 1
                spilled = document["statistics"]["spilled_bytes"]
                rows.append((f"q{number}", "finished", f"{spilled / 2**20:.0f} MiB spilled, peak {document['statistics']['peak_memory_bytes'] / 2**20:.0f} MiB"))
            else:
                problem = document.get("error", document)
                rows.append((f"q{number}", problem["code"], problem["detail"][:160]))
            print(*rows[-1], flush=True)
        resident = resident_mib(child.pid)
    return f"{finished} of 22 finish; resident memory at the end {resident:.0f} MiB.\n\n" + table(("query", "ended", "how"), rows)


def sample_file(rows):
    file = DATA / "pages" / f"sample{rows}.parquet"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([BINARY, "generate", "--rows", str(rows), "--output", str(file)], check=True)
    return file


def load(url, clients, seconds=5):
    """Requests a second and latencies, from the load generator of the developer commands."""
    done = subprocess.run(["cargo", "xtask", "load", url, str(clients), str(seconds)], cwd=ROOT, check=True, capture_output=True, text=True)
    figures = json.loads(done.stdout)
    assert figures["errors"] == 0, f"{url}: {figures}"
    return figures


def bench_pages():
    count, size = 10_000_000, 100
    file = sample_file(count)
    rows = []
    with lakebed("--parquet-pages", f"{file.parent}/{{statename}}.parquet") as (ours, _), peer(file.parent) as (theirs, _):
        pages = count // size
        for what, page, numbers in (
            ("at the beginning, in turn", 1, "1..1001"),
            ("at the end, in turn", pages, f"{pages - 999}..{pages + 1}"),
            ("anywhere", pages // 2, f"1..{pages + 1} by 7919"),
        ):
            path = f"/query-parquet?statename={file.stem}&page={page}&page_size={size}"
            mine, other = requests.get(ours + path).json(), requests.get(theirs + path).json()
            assert mine["total_rows"] == other["total_rows"] == count and len(mine["data"]) == len(other["data"]) == size
            assert [row["id"] for row in mine["data"]] == [row["id"] for row in other["data"]]
            path = f"/query-parquet?statename={file.stem}&page={{{numbers}}}&page_size={size}"
            for clients in (1, 16):
                a, b = load(ours + path, clients), load(theirs + path, clients)
                rows.append((what, clients, f"{b['per_second']:.0f}", f"{a['per_second']:.0f}", f"{b['p99_ms']:.1f}", f"{a['p99_ms']:.1f}", f"{a['per_second'] / b['per_second']:.1f}"))
                print(*rows[-1], flush=True)
    text = "Pages of 100 rows of a file with 10 million rows, each request another page: requests a second, and the 99th percentile in milliseconds.\n\n"
    return text + table(("pages", "clients", "FastAPI + DuckDB /s", "Lakebed /s", "p99 peer", "p99 Lakebed", "Lakebed ÷ peer"), rows)


def bench_export():
    file = sample_file(1_000_000)
    accept = {"json": "application/json", "csv": "text/csv", "arrow": ARROW}
    session, rows = requests.Session(), []
    with lakebed(f"sample={file}") as (ours, child), peer(file.parent) as (theirs, _):
        before = resident_mib(child.pid)
        for kind, media in accept.items():
            sizes = {}

            def mine():
                sizes["mine"] = len(post(session, ours, "SELECT * FROM sample", media))

            def other():
                answer = session.post(theirs + "/sql", json={"query": f"SELECT * FROM '{file}'", "format": kind})
                answer.raise_for_status()
                sizes["other"] = len(answer.content)

            times = alternate({"mine": mine, "other": other}, rounds=3)
            rows.append((kind, f"{sizes['mine'] / 1e6:.0f}", f"{times['other']:.2f}", f"{times['mine']:.2f}", f"{sizes['mine'] / 1e6 / times['mine']:.0f}", f"{times['other'] / times['mine']:.1f}"))
            print(*rows[-1], flush=True)
        grown = resident_mib(child.pid) - before
    text = f"One million rows of `lakebed generate` over HTTP on loopback, read whole by a Python client. Lakebed's resident memory grew by {grown:.0f} MiB.\n\n"
    return text + table(("format", "MB", "FastAPI + DuckDB s", "Lakebed s", "Lakebed MB/s", "peer ÷ Lakebed"), rows)


def bench_stream():
    folder = tpch_folder()
    session, first_bytes = requests.Session(), []
    with lakebed(f"{folder}/") as (url, child):

        def stream():
            started = time.perf_counter()
            headers = {"Accept": "application/x-ndjson", "Accept-Encoding": "identity"}
            with session.post(url + "/v1/sql", json={"query": "SELECT * FROM lineitem"}, headers=headers, stream=True) as answer:
                answer.raise_for_status()
                chunks = answer.iter_content(1 << 20)
                size = len(next(chunks))
                first = time.perf_counter() - started
                planned = dict(part.strip().split(";dur=") for part in answer.headers["server-timing"].split(","))["plan"]
                first_bytes.append(first * 1e3 - float(planned))
                for number, chunk in enumerate(chunks):
                    size += len(chunk)
                    if number % 20 == 0:
                        grown.append(resident_mib(child.pid))
            sizes.add(size)

        requests.post(url + "/v1/sql", json={"query": "SELECT count(*) FROM lineitem"}).raise_for_status()
        before, grown, sizes = resident_mib(child.pid), [], set()
        oracle = duckdb.connect()
        times = alternate({
            "duckdb": lambda: oracle.sql(f"COPY (SELECT * FROM '{folder}/lineitem.parquet') TO '/dev/null' (FORMAT json)"),
            "rest": stream,
        })
    assert len(sizes) == 1
    size = sizes.pop()
    rows = [
        ("NDJSON", f"{size / 1e6:.0f} MB"),
        ("first byte after planning", f"{statistics.median(first_bytes):.0f} ms"),
        ("all of it, over HTTP to a Python client", f"{times['rest']:.2f} s"),
        ("DuckDB 2.0 in process, written to nowhere", f"{times['duckdb']:.2f} s"),
        ("HTTP ÷ DuckDB", f"{times['rest'] / times['duckdb']:.2f}"),
        ("growth of resident memory over a server that has answered one `count(*)`", f"{max(grown) - before:.0f} MiB"),
    ]
    return "The six million rows of lineitem as NDJSON.\n\n" + table(("what", "measured"), rows)


def wide_file(rows):
    file = DATA / "flight" / "billing.parquet"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([BINARY, "generate", "--dataset", "billing", "--rows", str(rows), "--output", str(file)], check=True)
    return file


def bench_flight():
    folder, wide = tpch_folder(), wide_file(1_000_000)
    rows = []
    for name, location in (("lineitem", folder), ("billing", wide.parent)):
        query = f"SELECT * FROM {name}"
        ports = {system: f"127.0.0.1:{free_port()}" for system in ("peer", "raw")}
        with lakebed(f"{location}/") as (_, ours), lakebed(f"{location}/", environment={"LAKEBED_QUERY_COLUMN_CACHE": "0"}) as (_, bare), \
                flight.server("flight_duckdb.py", ports["peer"], location) as peer, flight.server("flight_raw.py", ports["raw"], ours.flight, query) as raw:
            urls = {system: f"grpc://{address}" for system, address in ports.items()} | {"lakebed": ours.flight, "bare": bare.flight}
            for url in urls.values():
                flight.wait(url)
            pids = {"peer": peer.pid, "raw": raw.pid, "lakebed": ours.pid, "bare": bare.pid}
            for clients in flight.CLIENTS:
                found, count, sizes = flight.compare(urls, pids, query, clients, resident_mib)
                (raw, _), (peer_speed, peer_memory) = found["raw"], found["peer"]
                ours_of = [(f"{speed:.2f}", f"{speed / peer_speed:.2f}", f"{speed / raw:.2f}", f"{memory:.0f}")
                           for speed, memory in (found["lakebed"], found["bare"])]
                rows.append((f"{name}, {count / 1e6:.0f} M rows, {sizes['lakebed'] / 1e9:.2f} GB", clients, f"{raw:.2f}", f"{peer_speed:.2f}",
                             f"{peer_memory:.0f}", *itertools.chain(*ours_of)))
                print(*rows[-1], flush=True)
    text = "All rows of a Parquet file, each client in a process of its own (pyarrow), which reads the stream and drops it: gigabytes a second of all clients together. "
    text += "`raw` is Arrow's C++ Flight server that sends the same messages from memory. Memory is the most that a server was seen to have, in MiB. "
    text += "Lakebed as it is by default, with columns that it has kept where rows are not too wide for that, and with `query.column_cache = 0`, so that each answer decodes the file.\n\n"
    columns = ("table", "clients", "raw GB/s", "pyarrow Flight + DuckDB GB/s", "MiB")
    of_ours = [column for name in ("Lakebed", "without kept columns") for column in (f"{name} GB/s", "÷ peer", "÷ raw", "MiB")]
    return text + table((*columns, *of_ours), rows)


def bench_ingest():
    files = ingest.bodies(BINARY, DATA / "ingest")
    port = free_port()
    theirs = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "uvicorn", "fastapi_polars:app", "--app-dir", str(ROOT / "bench/peers"), "--port",
               str(port), "--log-level", "error"]
    with lakebed(environment=ingest.ENVIRONMENT) as (ours, child), process(command, theirs, "/openapi.json"):
        # Days that are over are merged once; that is measured below.
        ingest.create(ours, merge={"off": True})
        rows = ingest.measure(ROOT, ours, theirs, files)
        memory = resident_mib(child.pid)
    with lakebed(environment=ingest.IN_MEMORY) as (url, _):
        rest, busy, before, after = ingest.latency_on_memory(ROOT, url, files)
    with lakebed() as (url, child):
        day = ingest.merge_a_day(url, child.pid, BINARY, DATA / "ingest")
    text = "Requests of 1,000 rows of `lakebed generate --dataset events` on kept connections, in thousands of rows a second. The peer parses "
    text += "each body and keeps it in memory; Lakebed checks types and rules, and answers when the rows can be queried and are in memory (`memory`), "
    text += "on disk after fsync (`wal`), or committed to the Delta table (`lake`); meanwhile it writes the rows to sorted files, by the 30 days that they are of. Afterwards the table has exactly the acknowledged rows; "
    text += "those of a request that failed under `lake` it may have all the same. "
    text += f"Each cell is one run of {ingest.SECONDS} s, no median; the systems take turns. A thousand rows a second are "
    text += ", ".join(f"{size / 1e6:.3f} MB/s as {name}" for name, size in ingest.body_sizes(files).items())
    text += ", so that every column can be had in MB/s.\n\n"
    text += table(ingest.HEADER, rows)
    text += f"\nResident memory at the end {memory:.0f} MiB.\n\nA filter and a group over {before / 1e6:.1f} million rows that are in no file yet: median {rest[0]:.1f} ms "
    text += f"and p99 {rest[1]:.1f} ms at rest; {busy[0]:.1f} ms and {busy[1]:.1f} ms while 8 clients send NDJSON, up to {after / 1e6:.1f} million rows.\n\n"
    text += f"The day's rows come from {ingest.DAY_PRODUCERS} producers, each with rows of the whole day, so that every file overlaps with others. "
    return text + "The merge is one request; queries see the rows once all the while.\n\n" + table(ingest.MERGE_HEADER, day)


def bench_planning():
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        seed = pathlib.Path(folder) / "seed.parquet"
        subprocess.run([BINARY, "generate", "--rows", "100", "--output", str(seed)], check=True)
        content = seed.read_bytes()
        seed.unlink()
        for partition in range(200):
            target = pathlib.Path(folder) / f"t/day={partition}"
            target.mkdir(parents=True)
            for number in range(50):
                (target / f"{number}.parquet").write_bytes(content)
        started = time.perf_counter()
        with lakebed(f"{folder}/", environment={"LAKEBED_CATALOG_FRESHNESS": "manual"}) as (url, child):
            crawl = time.perf_counter() - started
            for what, sql in (
                ("one partition of 200", "SELECT sum(value_normal) FROM t WHERE day = 7"),
                ("one file's statistics", "SELECT sum(value_normal) FROM t WHERE day = 7 AND id = 5"),
                ("all files, from metadata", "SELECT count(*) FROM t"),
            ):
                found = [requests.post(url + "/v1/sql", json={"query": sql}).json()["statistics"] for _ in range(11)]
                rows.append((what, f"{statistics.median(s['planning_ms'] for s in found):.1f}", found[-1]["files_scanned"], found[-1]["files_pruned"]))
                print(*rows[-1], flush=True)
            memory = resident_mib(child.pid)
    text = f"10,000 files in 200 partitions. The first start with its crawl takes {crawl:.1f} s; resident memory afterwards {memory:.0f} MiB.\n\n"
    return text + table(("query", "planning ms", "files read", "files pruned"), rows)


def bench_start():
    starts, memory = [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            url = f"http://127.0.0.1:{free_port()}"
            command = [BINARY, "serve", f"{tpch_folder()}/", "--http", url[7:], "--flight", "off", "--data-dir", folder,
                       "--log", "error"]
            started = time.perf_counter()
            with process(command, url, "/ready") as child:
                requests.post(url + "/v1/sql", data="SELECT count(*) FROM nation", headers={"Content-Type": "text/plain"}).raise_for_status()
                starts.append(time.perf_counter() - started)
                time.sleep(1)
                memory.append(resident_mib(child.pid))
    rows = [("start, crawl of 8 files, first answer", f"{statistics.median(starts) * 1e3:.0f} ms", "< 150 ms"),
            ("resident memory, idle", f"{statistics.median(memory):.0f} MiB", "< 80 MB")]
    return table(("what", "measured", "goal"), rows)


def until_nothing_runs(session, url):
    while True:
        page = session.get(url + "/metrics").text
        if not any(line.startswith("lakebed_queries_running") and float(line.split()[-1]) for line in page.splitlines()):
            return time.perf_counter()


def bench_cancel():
    """Seconds from the end that is asked for to the one that is there, at a third of each query's time."""
    seconds = {"DELETE": [], "the client leaves": [], "deadline": []}
    environment = {"LAKEBED_QUERY_COLUMN_CACHE": "0"}
    with lakebed(f"{tpch_folder()}/", environment=environment) as (url, child), requests.Session() as session:
        host, port = url.removeprefix("http://").split(":")
        for number, sql in QUERIES.items():
            whole = min(timed(lambda: post(session, url, sql, ARROW)) for _ in range(2))
            for _ in range(ROUNDS):
                wait = whole / 3
                query = session.post(url + "/v1/queries", json={"query": sql}).json()["query_id"]
                time.sleep(wait)
                asked = time.perf_counter()
                session.delete(f"{url}/v1/queries/{query}")
                seconds["DELETE"].append(until_nothing_runs(session, url) - asked)

                body = json.dumps({"query": sql}).encode()
                head = f"POST /v1/sql HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                with socket.create_connection((host, int(port))) as connection:
                    connection.sendall(head.encode() + body)
                    time.sleep(wait)
                asked = time.perf_counter()
                seconds["the client leaves"].append(until_nothing_runs(session, url) - asked)

                asked = time.perf_counter() + wait
                session.post(url + "/v1/sql", json={"query": sql, "timeout_ms": max(1, round(wait * 1e3))})
                seconds["deadline"].append(until_nothing_runs(session, url) - asked)
        running, spilled, handles = endurance.leftovers(url, {}, child.pid, child.data_dir)
    rows = []
    for how, found in seconds.items():
        found.sort()
        rows.append((how, len(found), *(f"{found[int((len(found) - 1) * share)] * 1e3:.0f} ms" for share in (0.5, 0.99, 1))))
    text = f"Each query of TPC-H is ended at a third of its time, {ROUNDS} times each way; until no query runs any more, as the metrics tell. "
    text += f"Afterwards {running:.0f} queries run, {spilled} spill files are there, {handles} handles are open.\n\n"
    return text + table(("ended by", "times", "median", "p99", "longest"), rows)


def bench_remote():
    rows = remote.run(lakebed, tpch_folder(), TABLES)
    for row in rows:
        print(*row, flush=True)
    text = "From an S3 server on this machine, `lineitem` in four files: on a server that has just started, again, and after one of the four was "
    text += "replaced by another; each listing of a table's files is a request. Every answer is compared with DuckDB's over the same files.\n\n"
    header = ["query"] + [f"{when}{what}" for when in ("cold: ", "warm: ", "one file replaced: ") for what in ("requests", "MB", "s")]
    return text + table(header, rows)


def bench_endurance():
    """64 clients with the process bounded to 2 GB, then the same with 8 hostile ones."""
    seconds = int(os.environ.get("BENCH_ENDURANCE_SECONDS", "600"))
    limits = {
        "LAKEBED_QUERY_MEMORY": "900MB", "LAKEBED_QUERY_RESIDENT_MEMORY": "1800MB", "LAKEBED_QUERY_COLUMN_CACHE": "300MB",
        "LAKEBED_QUERY_METADATA_CACHE": "64MB", "LAKEBED_LIMITS_RUN_TIME": "60s",
    }
    rows = []
    for hostile in (0, endurance.HOSTILE):
        with lakebed(f"{tpch_folder()}/", environment=limits) as (url, child):
            keys = endurance.make_keys(url)
            others, attackers, peaks = endurance.run(url, child.pid, keys, QUERIES, resident_mib, seconds, hostile)
            running, spilled, handles = endurance.leftovers(url, keys[0], child.pid, child.data_dir)
        answered = sum(map(len, others.seconds.values()))
        latency = {kind: " / ".join(f"{others.percentile(kind, share) * 1e3:.0f}" for share in (0.5, 0.99)) for kind in ("short", "TPC-H")}
        peaks["metrics_ms"].sort()
        rows.append((f"{endurance.CLIENTS}" + (f" and {hostile} hostile" if hostile else ""), answered, latency["short"], latency["TPC-H"],
                     dict(others.busy) or 0, dict(others.wrong) or 0, f"{peaks['resident']:.0f} MiB", f"{peaks['queued']:.0f}",
                     f"{peaks['metrics_ms'][int(len(peaks['metrics_ms']) * 0.99)]:.0f} ms", f"{running:.0f} / {spilled} / {handles}"))
        print(*rows[-1], dict(attackers.wrong), flush=True)
    text = f"Nine short questions to one query of TPC-H, for {seconds} s each; the process is bounded to 1.8 GB (`query.resident_memory`). Latencies in milliseconds, median / p99.\n\n"
    return text + table(("clients", "answers", "short", "TPC-H", "told to come back", "other errors", "resident at most", "waiting at most",
                         "`/metrics` p99", "afterwards: queries / spill files / handles"), rows)


SECTIONS = {
    "tpch": ("TPC-H, scale factor 1", bench_tpch),
    "memory": ("TPC-H under 512 MB", bench_memory),
    "pages": ("Pages of a Parquet file", bench_pages),
    "export": ("One million rows over HTTP", bench_export),
    "stream": ("Six million rows over HTTP", bench_stream),
    "flight": ("Large results over Arrow Flight", bench_flight),
    "ingest": ("Rows in over HTTP", bench_ingest),
    "planning": ("Planning over 10,000 files", bench_planning),
    "start": ("Start and idle memory", bench_start),
    "cancel": ("Ending queries early", bench_cancel),
    "remote": ("TPC-H from S3", bench_remote),
    "endurance": ("64 clients", bench_endurance),
}
LONG = {"endurance"}


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{CORES} cores ({model}), {memory:.0f} GiB, {platform.system()} {platform.release().split('-')[0]}"


def measured():
    """`{title: section}`: what the page has already."""
    sections = re.split(r"^## ", PAGE.read_text() if PAGE.exists() else "", flags=re.MULTILINE)[1:]
    return {section.split("\n", 1)[0]: f"## {section.rstrip()}\n" for section in sections}


def main():
    wanted = sys.argv[1:] or [name for name in SECTIONS if name not in LONG]
    for name in wanted:
        title, run = SECTIONS[name]
        print(f"\n{title}", flush=True)
        text = f"## {title}\n\n`cargo xtask bench {name}`: {machine()}, {time.strftime('%Y-%m-%d')}.\n\n{run()}"
        print(text, flush=True)
        write(measured() | {title: text})
    print(f"wrote {PAGE.relative_to(ROOT)}")


def write(sections):
    page = "# Benchmarks\n\nWritten by `cargo xtask bench`, which installs the peers and measures each section in one run; do not edit.\nMedians of alternating runs; ratios are what to compare between machines.\n"
    for name, (title, _) in SECTIONS.items():
        page += "\n" + sections.get(title, f"## {title}\n\nNot measured yet: `cargo xtask bench {name}`.\n")
    PAGE.write_text(page)


main()
