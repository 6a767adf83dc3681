"""Workgroups on a real server: budgets across restarts and crashes, metrics, and the watchdog on real memory."""

import time

import pytest
import requests

from conftest import Server


@pytest.fixture
def table(tmp_path):
    (tmp_path / "numbers.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(10_000)))
    return f"{tmp_path}/numbers.csv"


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def metrics(server, root):
    lines = requests.get(server.url + "/metrics", headers=bearer(root), timeout=10).text.splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#") and line)


def test_a_budget_survives_restart_and_crash(tmp_path, lakebed, table):
    server = Server(tmp_path, table)
    root = lakebed("keys", "create", "root", "--role", "admin", "--url", server.url).stdout.strip()
    size = len(open(table).read())
    put = requests.put(server.url + "/v1/workgroups/small", json={"scan_bytes_per_day": 2 * size}, headers=bearer(root))
    assert put.status_code == 201, put.text
    user = lakebed("keys", "create", "user", "--workgroup", "small", "--url", server.url,
                   environment={"LAKEBED_CLIENT_KEY": root}).stdout.strip()
    count = "SELECT count(*) AS c, sum(n) AS s FROM numbers"
    assert server.sql(count, headers=bearer(user)).status_code == 200
    server.stop()

    server = Server(tmp_path, table)
    usage = lambda: requests.get(server.url + "/v1/workgroups/small", headers=bearer(user)).json()["usage"]
    assert usage()["day_scanned_bytes"] == size
    assert server.sql(count, headers=bearer(user)).status_code == 200
    time.sleep(5)
    server.process.kill()
    server.process.wait()

    server = Server(tmp_path, table)
    assert usage()["day_scanned_bytes"] == usage()["month_scanned_bytes"] == 2 * size
    refused = server.sql(count, headers=bearer(user))
    assert refused.status_code == 429 and refused.json()["code"] == "budget_exhausted", refused.text
    assert 1 <= int(refused.headers["Retry-After"]) <= 86_400
    assert "(workgroup `small`: scan_bytes_per_day = " in refused.json()["detail"]
    seen = metrics(server, root)
    assert seen['lakebed_limit_breaches_total{limit="scan_bytes_per_day",workgroup="small"}'] == "1"
    assert seen['lakebed_workgroup_queries_queued{workgroup="small"}'] == "0"
    assert int(seen["lakebed_resident_memory_bytes"]) > 1 << 20
    server.stop()


def test_the_watchdog_ends_what_the_pool_does_not_count(tmp_path, table):
    # More than an idle server has, less than the window function takes, which the engine does not count.
    limits = {"LAKEBED_QUERY_RESIDENT_MEMORY": "400MB", "LAKEBED_QUERY_MEMORY": "8GB"}
    server = Server(tmp_path, table, environment=limits)
    hungry = ("SELECT sum(r) FROM (SELECT row_number() OVER (PARTITION BY a.n % 2) AS r, concat('some text ', a.n, b.n) AS t "
              "FROM numbers a, numbers b) WHERE t <> ''")
    ended = server.sql(hungry)
    assert ended.status_code == 503 and ended.json()["code"] == "memory_pressure", ended.text
    assert int(ended.headers["Retry-After"]) >= 1
    assert server.process.poll() is None
    assert server.rows("SELECT count(*) AS n FROM numbers") == [{"n": 10_000}]
    server.stop()
