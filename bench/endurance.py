"""Many clients for a long time: what each of them gets, what the server takes, and what hostile ones change for the others."""

import collections
import contextlib
import itertools
import pathlib
import random
import socket
import threading
import time

import requests

CLIENTS = 64
HOSTILE = 8
SHORT = (
    "SELECT n_name, r_name FROM nation JOIN region ON n_regionkey = r_regionkey ORDER BY 1",
    "SELECT count(*), sum(l_quantity) FROM lineitem WHERE l_orderkey = {}",
    "SELECT o_orderstatus, count(*) FROM orders WHERE o_orderdate = DATE '1995-03-{:02}' GROUP BY 1",
    "SELECT c_name, c_acctbal FROM customer WHERE c_custkey = {}",
    "SELECT count(*) FROM partsupp",
)
HOSTILE_SQL = (
    "SELECT " + "+".join(["1"] * 100_000),
    "SELECT " + "(" * 5_000 + "1" + ")" * 5_000,
    "SELECT repeat('x', 1000000000)",
    "SELECT count(*) FROM lineitem a CROSS JOIN lineitem b",
    "SELECT count(*) FROM lineitem a, lineitem b WHERE a.l_partkey < b.l_suppkey",
    "SELECT * FROM lineitem a JOIN lineitem b USING (l_orderkey) ORDER BY a.l_comment || b.l_comment",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
    "SELECT l_comment, l_orderkey, count(*) FROM lineitem GROUP BY 1, 2 ORDER BY 3",
    "SELECT * FROM read_parquet('/etc/passwd')",
    "SELECT array_agg(l_comment) FROM lineitem",
)
# What a busy server may say, with a time to come back.
BUSY = {"queue_full", "queue_timeout", "too_many_requests"}


class Tally:
    """What clients of one kind saw. Shared by their threads."""

    def __init__(self):
        self.lock = threading.Lock()
        self.seconds = collections.defaultdict(list)
        self.busy = collections.Counter()
        self.wrong = collections.Counter()

    def saw(self, kind, seconds, answer):
        with self.lock:
            if answer.status_code == 200:
                self.seconds[kind].append(seconds)
                return
            problem = answer.json()
            where = self.busy if problem["code"] in BUSY and "retry-after" in answer.headers else self.wrong
            where[problem["code"]] += 1

    def failed(self, what):
        with self.lock:
            self.wrong[what] += 1

    def percentile(self, kind, share):
        seconds = sorted(self.seconds[kind])
        return seconds[min(len(seconds) - 1, int(len(seconds) * share))] if seconds else float("nan")


def make_keys(url):
    """An administrator's key, and one for guests whose workgroup runs one query at a time."""

    def key(name, role, **more):
        answer = requests.post(url + "/v1/keys", json={"name": name, "role": role, **more}, headers=headers)
        answer.raise_for_status()
        return {"Authorization": f"Bearer {answer.json()['key']}"}

    headers = {}
    headers = key("admin", "admin")
    limits = {"concurrent_queries": 1, "queue_length": HOSTILE, "run_time_ms": 5_000}
    requests.put(url + "/v1/workgroups/guests", json=limits, headers=headers).raise_for_status()
    return headers, key("analyst", "read"), key("guest", "read", workgroup="guests")


def client(number, url, headers, queries, until, tally):
    """Short questions, and now and then one of TPC-H."""
    draw = random.Random(number)
    with requests.Session() as session:
        session.headers.update({**headers, "Cache-Control": "no-cache", "Accept": "application/vnd.apache.arrow.stream"})
        while time.monotonic() < until:
            if draw.random() < 0.1:
                kind, sql = "TPC-H", queries[draw.choice(list(queries))]
            else:
                kind, sql = "short", draw.choice(SHORT).format(draw.randint(1, 28))
            started = time.perf_counter()
            try:
                answer = session.post(url + "/v1/sql", json={"query": sql})
                tally.saw(kind, time.perf_counter() - started, answer)
                if answer.status_code != 200:
                    time.sleep(min(float(answer.headers.get("retry-after", 1)), 5))
            except requests.RequestException as error:
                tally.failed(type(error).__name__)


def hostile_client(number, url, headers, until, tally):
    """Statements that want everything, clients that leave, clients that never read, keys that are wrong."""
    draw = random.Random(number)
    turns = itertools.count(number)
    while time.monotonic() < until:
        turn = next(turns) % 4
        try:
            if turn == 0:
                with requests.post(url + "/v1/sql?format=ndjson", json={"query": "SELECT * FROM lineitem"}, headers=headers, stream=True) as answer:
                    next(answer.iter_content(1024), None)
            elif turn == 1:
                host, port = url.removeprefix("http://").split(":")
                with socket.create_connection((host, int(port))) as connection:
                    connection.sendall(b"POST /v1/sql HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nSELECT")
                    time.sleep(draw.random())
            elif turn == 2:
                requests.post(url + "/v1/sql", json={"query": "SELECT 1"}, headers={"Authorization": "Bearer lb_wrong"})
            else:
                answer = requests.post(url + "/v1/sql", json={"query": draw.choice(HOSTILE_SQL)}, headers=headers)
                with tally.lock:
                    tally.wrong[answer.json().get("code", "answered") if answer.status_code != 200 else "answered"] += 1
        except (requests.RequestException, OSError, ValueError) as error:
            tally.failed(type(error).__name__)


def watch(url, headers, pid, resident, until, peaks):
    while time.monotonic() < until:
        peaks["resident"] = max(peaks["resident"], resident(pid))
        started = time.perf_counter()
        with contextlib.suppress(requests.RequestException):
            page = requests.get(url + "/metrics", headers=headers, timeout=10).text
            peaks["metrics_ms"].append((time.perf_counter() - started) * 1e3)
            for line in page.splitlines():
                if line.startswith("lakebed_queries_queued"):
                    peaks["queued"] = max(peaks["queued"], float(line.split()[-1]))
        time.sleep(0.25)


def run(url, pid, keys, queries, resident, seconds, hostile):
    """One run. Returns the tallies of both kinds of clients and the peaks of the server."""
    admin, analyst, guest = keys
    until = time.monotonic() + seconds
    others, attackers = Tally(), Tally()
    peaks = {"resident": 0.0, "queued": 0.0, "metrics_ms": []}
    jobs = [(client, (number, url, analyst, queries, until, others)) for number in range(CLIENTS)]
    jobs += [(hostile_client, (number, url, guest, until, attackers)) for number in range(hostile)]
    jobs.append((watch, (url, admin, pid, resident, until, peaks)))
    threads = [threading.Thread(target=target, args=arguments) for target, arguments in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return others, attackers, peaks


def leftovers(url, headers, pid, data_dir):
    """What must be nothing once all clients are gone."""
    deadline = time.monotonic() + 10
    while True:
        page = requests.get(url + "/metrics", headers=headers).text
        gauges = {line.split()[0]: float(line.split()[-1]) for line in page.splitlines() if line and line[0] != "#"}
        running = gauges.get("lakebed_queries_running", 0.0)
        spill = sum(1 for file in pathlib.Path(data_dir, "spill").rglob("*") if file.is_file())
        if (running == 0 and spill == 0) or time.monotonic() > deadline:
            return running, spill, len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))
        time.sleep(0.1)
