"""Keys as people use them: made and revoked at the command line and over HTTP, sent as Bearer and as a password."""

import json
import subprocess

import pytest
import requests

from conftest import BINARY, clean_environment, free_port, wait_until


@pytest.fixture
def table(tmp_path):
    (tmp_path / "numbers.csv").write_text("a,b\n1,x\n2,y\n")
    return f"{tmp_path}/numbers.csv"


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def test_keys_of_a_running_server(serve, lakebed, table):
    server = serve(table)
    root = lakebed("keys", "create", "root", "--role", "admin", "--url", server.url).stdout.strip()
    assert root.startswith("lb_") and root.count("\n") == 0
    assert server.sql("SELECT 1").status_code == 401
    assert server.rows("SELECT count(*) AS n FROM numbers", headers=bearer(root)) == [{"n": 2}]
    assert server.rows("SELECT count(*) AS n FROM numbers", auth=("anyone", root)) == [{"n": 2}]
    for wrong in (("anyone", ""), ("root", "secret"), ("anyone", root[:-1] + "x")):
        assert server.sql("SELECT 1", auth=wrong).status_code == 401

    admin = {"LAKEBED_CLIENT_KEY": root}
    reader = lakebed("keys", "create", "reader", "--grant", "other", "--expires", "1d", "--url", server.url,
                     environment=admin).stdout.strip()
    listed = lakebed("keys", "list", "--url", server.url, "--key", root)
    assert "reader" in listed.stdout and "other" in listed.stdout and reader not in listed.stdout
    hidden = lakebed("sql", "SELECT * FROM numbers", "--url", server.url, "--key", reader)
    assert hidden.returncode == 1 and "does not exist" in hidden.stderr, hidden.stderr
    shown = lakebed("sql", "SELECT a FROM numbers ORDER BY a", "--url", server.url, "--format", "ndjson", environment=admin)
    assert [json.loads(line)["a"] for line in shown.stdout.splitlines()] == [1, 2]
    nobody = lakebed("sql", "SELECT 1", "--url", server.url)
    assert nobody.returncode == 1 and "LAKEBED_CLIENT_KEY" in nobody.stderr

    assert lakebed("keys", "revoke", "reader", "--url", server.url, environment=admin).returncode == 0
    assert server.sql("SELECT 1", headers=bearer(reader)).status_code == 401
    last = lakebed("keys", "revoke", "root", "--url", server.url, environment=admin)
    assert last.returncode == 1 and "last" in last.stderr
    log = server.log.read_text()
    assert "lakebed::audit" in log
    for key in (root, reader):
        assert key.rsplit("_", 1)[1] not in log


def test_keys_of_a_data_folder(lakebed, tmp_path, table):
    keys = ("keys", "--data-dir", tmp_path / "data")
    early = lakebed(*keys, "create", "early")
    assert early.returncode == 1 and "admin" in early.stderr
    root = lakebed(*keys, "create", "root", "--role", "admin").stdout.strip()
    reader = lakebed(*keys, "create", "reader", "--grant", "default.numbers").stdout.strip()
    assert root.startswith("lb_") and reader.startswith("lb_")

    address = f"127.0.0.1:{free_port()}"
    with running("serve", table, "--http", address, "--data-dir", tmp_path / "data", cwd=tmp_path):
        wait_until(lambda: ready(address), "the server")
        ask = lambda key: requests.get(f"http://{address}/v1/databases", headers=bearer(key)).status_code
        assert (ask(root), ask(reader)) == (200, 200)
        busy = lakebed(*keys, "list")
        assert busy.returncode == 1 and "--url" in busy.stderr
    listed = lakebed(*keys, "list").stdout
    assert "default.numbers" in listed and "everything" in listed
    assert lakebed(*keys, "revoke", "reader").returncode == 0
    assert "revoked" in lakebed(*keys, "list").stdout
    for file in (tmp_path / "data").glob("catalog.sqlite*"):
        for key in (root, reader):
            secret = key.rsplit("_", 1)[1]
            assert secret.encode() not in file.read_bytes() and bytes.fromhex(secret) not in file.read_bytes()


def test_the_first_start_on_another_address_makes_a_key(tmp_path, table):
    port = free_port()
    command = ("serve", table, "--http", f"0.0.0.0:{port}", "--data-dir", tmp_path / "data")
    with running(*command, cwd=tmp_path) as process:
        wait_until(lambda: ready(f"127.0.0.1:{port}"), "the server")
        assert requests.get(f"http://127.0.0.1:{port}/v1/databases").status_code == 401
    key = process.stdout.read().strip()
    assert key.startswith("lb_") and key.count("\n") == 0
    with running(*command, cwd=tmp_path) as process:
        wait_until(lambda: ready(f"127.0.0.1:{port}"), "the server")
        answer = requests.get(f"http://127.0.0.1:{port}/v1/keys", headers=bearer(key))
        assert [made["role"] for made in answer.json()["keys"]] == ["admin"]
    assert process.stdout.read() == "", "the second start has a key already"


def test_many_wrong_keys_are_slowed_down(serve, lakebed, table):
    server = serve(table)
    root = lakebed("keys", "create", "root", "--role", "admin", "--url", server.url).stdout.strip()
    wrong = root[:-64] + "0" * 64
    answers = [server.sql("SELECT 1", headers=bearer(wrong)) for _ in range(60)]
    assert answers[0].status_code == 401
    slowed = [answer for answer in answers if answer.status_code == 429]
    assert slowed and slowed[0].json()["code"] == "too_many_logins" and int(slowed[0].headers["Retry-After"]) >= 1
    assert server.sql("SELECT 1", headers=bearer(root)).status_code == 200


class running:
    """A server whose stdout is kept, stopped at the end of the block."""

    def __init__(self, *arguments, cwd):
        self.process = subprocess.Popen([BINARY, *map(str, arguments)], cwd=cwd, env=clean_environment(), text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(40)


def ready(address):
    try:
        return requests.get(f"http://{address}/ready", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False
