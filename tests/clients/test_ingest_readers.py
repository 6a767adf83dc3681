"""Producers, readers, flushes and merges at once: every reader sees each acknowledged row once, always."""

import json
import threading
import time

import requests

from ingestion import Background, append, create, flush, merge, ndjson, post, rows_of, sequences, url_of

PRODUCERS = 4
BATCHES = 40
ROWS = 250
# Flushes come by themselves too, and often.
OFTEN = {"LAKEBED_INGEST_FLUSH_AGE": "300ms", "LAKEBED_INGEST_MERGE_FILES": "2", "LAKEBED_INGEST_MERGE_AFTER": "1s",
         "LAKEBED_QUERY_RESULT_CACHE": "16MiB"}


class Reader:
    """What one reader has seen: nothing of it may ever go away, and no sequence may have a gap or a duplicate."""

    def __init__(self, server, acknowledged):
        self.server, self.acknowledged, self.seen, self.looks = server, acknowledged, {}, 0

    def look(self):
        promised = dict(self.acknowledged)
        found = sequences(self.server)
        for producer, (rows, distinct, least, most) in found.items():
            assert rows == distinct == most + 1 and least == 0, f"{producer}: {rows} rows, {distinct} numbers, {least} to {most}"
            assert rows >= self.seen.get(producer, 0), f"{producer}: {rows} after {self.seen[producer]}"
        for producer, rows in promised.items():
            assert found.get(producer, (0,))[0] >= rows, f"{producer}: {rows} rows acknowledged, found {found.get(producer)}"
        self.seen = {producer: rows for producer, (rows, *_) in found.items()}
        self.looks += 1

    def count(self):
        """The same promise by the statement that statistics alone could answer, and by one with a filter."""
        promised = sum(self.acknowledged.values())
        rows = self.server.rows("SELECT count(*) AS n FROM events")[0]["n"]
        assert rows >= promised
        assert rows >= self.seen.get("all", 0)
        self.seen["all"] = rows
        filtered = self.server.rows("SELECT count(*) AS n, max(sequence) AS most FROM events WHERE producer = 'p1'")[0]
        assert filtered["n"] == (filtered["most"] or -1) + 1 or filtered["n"] == 0, filtered


def test_every_reader_sees_each_row_once(serve):
    server = serve(environment=OFTEN)
    create(server)
    acknowledged, finished = {}, []

    def produce(name):
        with requests.Session() as session:
            for batch in range(BATCHES):
                rows = rows_of(name, range(batch * ROWS, (batch + 1) * ROWS))
                answer = post(server, ndjson(rows), session=session)
                assert answer.status_code == 200, answer.text
                acknowledged[name] = (batch + 1) * ROWS
        finished.append(name)

    readers = [Reader(server, acknowledged) for _ in range(2)]
    counter = Reader(server, acknowledged)
    with Background(*(reader.look for reader in readers), counter.count, lambda: flush(server), rest=0.02) as background:
        with Background(lambda: merge(server), rest=0.3):
            producers = [threading.Thread(target=produce, args=(f"p{k}",)) for k in range(PRODUCERS)]
            for thread in producers:
                thread.start()
            for thread in producers:
                thread.join(300)
    assert len(finished) == PRODUCERS and min(background.calls) > 3, (finished, background.calls)
    total = PRODUCERS * BATCHES * ROWS
    expected = {f"p{k}": (BATCHES * ROWS, BATCHES * ROWS, 0, BATCHES * ROWS - 1) for k in range(PRODUCERS)}
    assert sequences(server) == expected
    state = server.rows("SELECT accepted_rows, flushes, merges FROM system.ingest WHERE \"table\" = 'events'")[0]
    assert state["accepted_rows"] == total and state["flushes"] > 1 and state["merges"] >= 1, state
    # In the files too, and values as they were sent.
    flush(server)
    merged = merge(server)
    assert merged["files_after"] <= 3, merged
    assert sequences(server) == expected
    row = server.rows("SELECT * FROM events WHERE producer = 'p2' AND sequence = 4711")[0]
    assert row["text"] == rows_of("p2", [4711])[0]["text"] and str(row["amount"]) == "711.11", row


def test_filters_find_the_same_in_buffer_and_files(serve):
    """The same statements before and after a flush: pruning by day, by value, projection, limit, order."""
    server = serve(environment={"LAKEBED_INGEST_FLUSH_AGE": "1h"})
    create(server)
    append(server, rows_of("a", range(300)))
    append(server, rows_of("b", range(300, 400)))
    statements = [
        "SELECT count(*) AS n FROM events WHERE date = DATE '2024-03-02'",
        "SELECT sequence FROM events WHERE producer = 'b' AND sequence < 305 ORDER BY sequence",
        "SELECT sequence FROM events WHERE ts >= TIMESTAMP '2024-03-03T00:00:00Z' ORDER BY sequence DESC LIMIT 5",
        "SELECT date, count(*) AS n, sum(amount) AS s FROM events GROUP BY date ORDER BY date",
        "SELECT text FROM events WHERE sequence IN (7, 350) ORDER BY 1",
        "SELECT count(*) AS n FROM events WHERE amount IS NULL OR sequence > 1000",
        "SELECT count(*) AS n FROM (SELECT 1 FROM events LIMIT 17)",
    ]
    before = [server.rows(sql) for sql in statements]
    assert before[0] == [{"n": 133}] and [row["sequence"] for row in before[1]] == [300, 301, 302, 303, 304]
    flush(server)
    assert [server.rows(sql) for sql in statements] == before
    append(server, rows_of("c", range(400, 410)))
    assert server.rows("SELECT count(*) AS n FROM events") == [{"n": 410}]


def test_a_tail_follows_the_table(serve):
    server = serve(environment=OFTEN)
    create(server)
    seen, over = [], threading.Event()
    answer = requests.get(url_of(server, "events", "/tail"), params={"from": 0}, stream=True, timeout=60)
    assert answer.headers["Content-Type"] == "text/event-stream"

    def listen():
        for line in answer.iter_lines():
            if line.startswith(b"data: "):
                seen.extend(row["sequence"] for row in json.loads(line[6:])["rows"])
                if len(seen) >= 1000:
                    return over.set()

    listener = threading.Thread(target=listen)
    listener.start()
    for batch in range(10):
        append(server, rows_of("p", range(batch * 100, (batch + 1) * 100)))
        time.sleep(0.05)
    assert over.wait(30), len(seen)
    assert seen == list(range(1000))
    answer.close()
    listener.join(10)
