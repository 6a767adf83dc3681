"""Background queries outlive the process: what was told of one before a `kill -9` is still so after the next start."""

import random
import time

import pyarrow as pa
import pyarrow.parquet
import requests

from conftest import Server

ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
ENDLESS = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.value + b.value = {n}"


def submit(server, sql, **options):
    answer = requests.post(server.url + "/v1/queries", json={"query": sql}, timeout=60, **options)
    assert answer.status_code == 202, answer.text
    return answer.json()["query_id"]


def execution(server, query_id, **options):
    return requests.get(f"{server.url}/v1/queries/{query_id}", timeout=60, **options)


def results(server, query_id, **options):
    return requests.get(f"{server.url}/v1/queries/{query_id}/results", timeout=60, **options)


def wait_for_end(server, query_ids, **options):
    deadline = time.monotonic() + 60
    for query_id in query_ids:
        while (told := execution(server, query_id, **options).json())["state"] not in ENDED:
            assert time.monotonic() < deadline, told
            time.sleep(0.02)


def kill(server):
    server.process.kill()
    server.process.wait()


def start_again(server, *arguments):
    return Server(server.log.parent, *arguments)


def files_of_results(server):
    return sorted(path.name for path in (server.log.parent / "lakebed-data/results").iterdir())


def numbers(tmp_path):
    folder = tmp_path / "numbers"
    folder.mkdir()
    pa.parquet.write_table(pa.table({"n": list(range(20_000))}), folder / "numbers.parquet")
    return folder / "numbers.parquet"


def test_fifty_queries_and_a_kill(serve, tmp_path):
    table = numbers(tmp_path)
    server = serve(table)
    good = {submit(server, f"SELECT n, n * {k} AS m FROM numbers WHERE n < {k * 100} ORDER BY n"): k for k in range(38)}
    bad = [submit(server, f"SELECT n / (n - {k}) AS q FROM numbers") for k in range(5)]
    wait_for_end(server, [*good, *bad])
    open_ones = [submit(server, ENDLESS.format(n=k)) for k in range(7)]
    assert len(good) + len(bad) + len(open_ones) == 50
    before = {query_id: execution(server, query_id).json() for query_id in [*good, *bad]}
    pages = {query_id: results(server, query_id, params={"page_size": 100}).json() for query_id in good}
    states = {execution(server, query_id).json()["state"] for query_id in open_ones}
    assert states == {"QUEUED", "RUNNING"}, "some wait and some run"
    assert requests.get(server.url + "/v1/queries", timeout=60).json()["queries"][0]["state"] in states

    kill(server)
    data = server.log.parent / "lakebed-data"
    (data / "results/0000.arrow").write_bytes(b"rows of nobody")
    (data / "spill/of-the-dead").mkdir()
    (data / "spill/of-the-dead/spilled").write_bytes(b"rows of nobody")
    server = start_again(server, table)
    try:
        for query_id, told in before.items():
            assert execution(server, query_id).json() == told
        for query_id, k in good.items():
            assert before[query_id]["state"] == "SUCCEEDED", before[query_id]
            expected = [{"n": n, "m": n * k} for n in range(k * 100)]
            page = results(server, query_id, params={"page_size": 100}).json()
            assert page == pages[query_id]
            rows = page["data"]
            token = pages[query_id]["next_page_token"]
            while token:
                page = results(server, query_id, params={"page_size": 1000, "page_token": token}).json()
                rows, token = rows + page["data"], page["next_page_token"]
            assert rows == expected
            arrow = pa.ipc.open_stream(results(server, query_id, params={"format": "arrow"}).content).read_all()
            assert arrow.column("n").to_pylist() == [row["n"] for row in expected]
        for query_id in bad:
            assert before[query_id]["state"] == "FAILED" and results(server, query_id).json()["code"] == "invalid_value"
        for query_id in open_ones:
            told = execution(server, query_id).json()
            assert (told["state"], told["error"]["code"]) == ("FAILED", "interrupted"), told
            assert told["ended"] is not None
            refused = results(server, query_id)
            assert (refused.status_code, refused.json()["code"]) == (409, "interrupted")
        listed = requests.get(server.url + "/v1/queries", params={"page_size": 1000}, timeout=60).json()["queries"]
        assert {told["query_id"] for told in listed} >= {*before, *open_ones}
        records = {f"{query_id}.json" for query_id in [*before, *open_ones]}
        assert set(files_of_results(server)) == records | {f"{query_id}.arrow" for query_id in good}
        assert not (data / "spill/of-the-dead").exists()
    finally:
        server.stop()


def test_a_kill_at_any_moment(serve, tmp_path):
    """What a client was told before the kill holds; of the rest each is either whole or interrupted."""
    table = numbers(tmp_path)
    server = serve(table)
    chance = random.Random(7)
    expected = {}
    try:
        for _ in range(4):
            told = {}
            for _ in range(50):
                k = chance.randrange(1, 20_000)
                expected[submit(server, f"SELECT n FROM numbers WHERE n < {k} ORDER BY n")] = k
            until = time.monotonic() + chance.uniform(0, 1.0)
            while time.monotonic() < until:
                query_id = chance.choice(list(expected))
                state = execution(server, query_id).json()["state"]
                assert told.get(query_id, state) == state or told[query_id] not in ENDED
                told[query_id] = state
            kill(server)
            server = start_again(server, table)
            for query_id, k in expected.items():
                now = execution(server, query_id).json()
                assert now["state"] in ("SUCCEEDED", "FAILED"), now
                if told.get(query_id) in ENDED:
                    assert now["state"] == told[query_id]
                if now["state"] == "FAILED":
                    assert now["error"]["code"] == "interrupted", now
                else:
                    whole = results(server, query_id, params={"format": "ndjson"}).text.splitlines()
                    assert len(whole) == k and whole[-1] == f'{{"n":{k - 1}}}'
            kept = {name for name in files_of_results(server)}
            succeeded = [i for i in expected if execution(server, i).json()["state"] == "SUCCEEDED"]
            assert kept == {f"{i}.json" for i in expected} | {f"{i}.arrow" for i in succeeded}
    finally:
        server.stop()


def test_an_orderly_stop_interrupts_too(serve, tmp_path):
    table = numbers(tmp_path)
    server = serve(table, environment={"LAKEBED_SERVER_SHUTDOWN_GRACE": "1s"})
    good, endless = submit(server, "SELECT count(*) AS c FROM numbers"), submit(server, ENDLESS.format(n=1))
    wait_for_end(server, [good])
    assert server.stop() == 0
    server = start_again(server, table)
    try:
        assert results(server, good).json()["data"] == [{"c": 20_000}]
        assert execution(server, endless).json()["error"]["code"] == "interrupted"
    finally:
        server.stop()


def test_a_restart_shows_nobody_what_is_not_theirs(serve, lakebed, tmp_path):
    table = numbers(tmp_path)
    server = serve(table)
    root = lakebed("keys", "create", "root", "--role", "admin", "--url", server.url).stdout.strip()
    environment = {"LAKEBED_CLIENT_KEY": root}
    keys = {name: lakebed("keys", "create", name, "--url", server.url, environment=environment).stdout.strip()
            for name in ("ann", "bob")}
    ann, bob, admin = ({"Authorization": f"Bearer {key}"} for key in (keys["ann"], keys["bob"], root))
    query_id = submit(server, "SELECT n FROM numbers ORDER BY n", headers=ann)
    wait_for_end(server, [query_id], headers=ann)
    page = results(server, query_id, headers=ann, params={"page_size": 10}).json()
    kill(server)
    server = start_again(server, table)
    try:
        assert execution(server, query_id).status_code == 401
        for headers, status in ((ann, 200), (bob, 404), (admin, 200)):
            assert execution(server, query_id, headers=headers).status_code == status
            assert results(server, query_id, headers=headers).status_code == status
        token = {"page_size": 10, "page_token": page["next_page_token"]}
        assert results(server, query_id, headers=ann, params=token).json()["data"][0] == {"n": 10}
        for headers in (bob, admin):
            assert results(server, query_id, headers=headers, params=token).status_code == 400
        listed = requests.get(server.url + "/v1/queries", headers=bob, timeout=60).json()["queries"]
        assert query_id not in {told["query_id"] for told in listed}
        saved = results(server, query_id, headers=ann, params={"download": "true"})
        assert saved.headers["Content-Disposition"] == f'attachment; filename="query-{query_id}.json"'
        assert len(saved.json()["data"]) == 20_000
    finally:
        server.stop()
