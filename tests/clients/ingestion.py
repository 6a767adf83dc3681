"""Rows in, for the tests of ingestion: a table of numbered rows of several producers, sent, queried and checked."""

import json
import threading
import time

import requests

COLUMNS = [
    {"name": "producer", "type": "VARCHAR"},
    {"name": "sequence", "type": "BIGINT"},
    {"name": "ts", "type": "TIMESTAMP WITH TIME ZONE"},
    {"name": "amount", "type": "DECIMAL(10, 2)"},
    {"name": "text", "type": "VARCHAR"},
]
RULES = {
    "columns": {"producer": {"required": True}, "sequence": {"required": True, "min": 0}},
    "day": {"from": "ts"},
    "sort": ["producer", "sequence"],
}
NDJSON = "application/x-ndjson"
# Three days, so that a batch has rows of several partitions.
DAYS = ("2024-03-01", "2024-03-02", "2024-03-03")


def url_of(server, table, what=""):
    return f"{server.url}/v1/databases/default/tables/{table}{what}"


def create(server, table="events", columns=COLUMNS, rules=RULES):
    answer = requests.put(url_of(server, table), json={"columns": columns, "ingest": rules}, timeout=60)
    assert answer.status_code in (200, 201), answer.text


def rows_of(producer, sequences):
    return [
        {"producer": producer, "sequence": n, "ts": f"{DAYS[n % 3]}T{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}Z",
         "amount": f"{n % 1000}.{n % 100:02}", "text": f"{producer} {n} 'quoted', \"twice\"\nü"}
        for n in sequences
    ]


def ndjson(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def post(server, body, table="events", media_type=NDJSON, headers=None, session=requests, **query):
    """Sends a body as it is; the answer is not checked."""
    return session.post(url_of(server, table, "/rows"), params=query, data=body, timeout=120,
                        headers={"Content-Type": media_type} | (headers or {}))


def append(server, rows, table="events", **options):
    """Sends rows that must be taken; the receipt."""
    answer = post(server, ndjson(rows), table, **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def flush(server, table="events"):
    answer = requests.post(url_of(server, table, "/flush"), timeout=120)
    assert answer.status_code == 200, answer.text
    return answer.json()


def merge(server, table="events", **query):
    answer = requests.post(url_of(server, table, "/merge"), params=query, timeout=300)
    assert answer.status_code == 200, answer.text
    return answer.json()


class Background:
    """Calls a function again and again until the block ends; what it raises is raised there."""

    def __init__(self, *functions, rest=0.0):
        self.functions, self.rest, self.over, self.failures = functions, rest, threading.Event(), []
        self.calls = [0] * len(functions)

    def __enter__(self):
        self.threads = [threading.Thread(target=self._run, args=(k,)) for k in range(len(self.functions))]
        for thread in self.threads:
            thread.start()
        return self

    def _run(self, k):
        try:
            while not self.over.is_set():
                self.functions[k]()
                self.calls[k] += 1
                self.over.wait(self.rest)
        except BaseException as failure:
            self.failures.append(failure)
            self.over.set()

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(180)
        if self.failures:
            raise self.failures[0]


def sequences(server, table="events"):
    """`{producer: (rows, distinct, least, most)}`."""
    found = server.rows(f"SELECT producer, count(*) AS n, count(DISTINCT sequence) AS d, min(sequence) AS a, "
                        f"max(sequence) AS b FROM {table} GROUP BY producer")
    return {row["producer"]: (row["n"], row["d"], row["a"], row["b"]) for row in found}


def wait_for(condition, what, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)
