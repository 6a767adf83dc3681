"""Fixtures of the client tests: the real binary, a real S3 server, TPC-H data, DuckDB as the oracle."""

import os
import pathlib
import signal
import subprocess

import duckdb
import pytest
import requests

from answers import TPCH_TABLES
from object_store import ObjectStore, free_port, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("LAKEBED_TEST_BINARY", str(ROOT / "target/debug/lakebed"))
DATA = pathlib.Path(os.environ.get("LAKEBED_TEST_DATA", pathlib.Path.home() / ".cache/lakebed/data"))


def clean_environment(extra=None):
    """Nothing of this machine's clouds or settings reaches the binary, and no two servers want the same default port."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("AWS_", "S3_", "LAKEBED_"))}
    return kept | {"HOME": "/nonexistent", "LAKEBED_SERVER_FLIGHT": "off"} | (extra or {})


class Server:
    """A `lakebed serve` of one's own, stopped at the end. `ca`: the authority of its certificate, where it has one;
    `within`: a command that runs it."""

    def __init__(self, folder, *arguments, environment=None, ca=None, within=()):
        http, grpc = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self.ca = ca
        self.url = f"https://{http}" if ca else f"http://{http}"
        self.flight = f"grpc+tls://{grpc}" if ca else f"grpc://{grpc}"
        self.log = folder / "server.log"
        command = [*within, BINARY, "serve", *map(str, arguments), "--http", http, "--flight", grpc]
        command += ["--data-dir", str(folder / "lakebed-data")]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=clean_environment(environment), stderr=log)
        try:
            wait_until(self._ready, "the server")
        except AssertionError:
            self.stop()
            raise

    def _ready(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return requests.get(self.url + "/ready", timeout=5, verify=str(self.ca or True)).status_code == 200
        except requests.ConnectionError:
            return False

    def sql(self, text, **options):
        """Posts a statement; the response is not checked."""
        members = {name: options.pop(name) for name in ("database", "parameters", "timeout_ms") if name in options}
        return requests.post(self.url + "/v1/sql", json={"query": text} | members, timeout=300, **options)

    def rows(self, text, **options):
        """The rows of a statement that must succeed, as objects."""
        answer = self.sql(text, **options)
        assert answer.status_code == 200, answer.text
        document = answer.json()
        assert "error" not in document, document["error"]
        return document["data"]

    def resident_bytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the server is gone")

    def running_queries(self):
        return self._metric("lakebed_queries_running")

    def _metric(self, name):
        for line in requests.get(self.url + "/metrics", timeout=5).text.splitlines():
            if line.startswith((name + " ", name + "{")):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise
        return self.process.returncode


@pytest.fixture
def serve(tmp_path):
    """Starts servers that end with the test."""
    servers = []

    def start(*arguments, environment=None):
        folder = tmp_path / f"server-{len(servers)}"
        folder.mkdir(exist_ok=True)
        servers.append(Server(folder, *arguments, environment=environment))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def run_lakebed(*arguments, environment=None, cwd=None, timeout=300, stdin=None):
    """Runs the command line; gives exit code, stdout and stderr."""
    return subprocess.run(
        [BINARY, *map(str, arguments)], cwd=cwd, env=clean_environment(environment), timeout=timeout,
        capture_output=True, text=True, input=stdin,
    )


@pytest.fixture
def lakebed(tmp_path):
    """The command line, run in a folder of the test's own."""

    def run(*arguments, **options):
        return run_lakebed(*arguments, **({"cwd": tmp_path} | options))

    return run


@pytest.fixture(scope="session")
def tpch():
    """A folder with TPC-H at scale factor 1 as Parquet, one file a table."""
    folder = DATA / "tpch-sf1"
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["tpchgen-cli", "parquet", "-s", "1", f"--output-dir={folder}"], check=True)
        (folder / "complete").touch()
    return folder


@pytest.fixture(scope="session")
def tpch_oracle(tpch):
    """DuckDB over the same files."""
    connection = duckdb.connect()
    for table in TPCH_TABLES:
        connection.sql(f"CREATE VIEW {table} AS SELECT * FROM '{tpch / table}.parquet'")
    return connection


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    store = ObjectStore(tmp_path_factory.mktemp("s3"))
    yield store
    store.stop()


@pytest.fixture(scope="session")
def tpch_bucket(s3, tpch):
    """The TPC-H files in a bucket of the S3 server."""
    bucket = s3.bucket("tpch")
    for table in TPCH_TABLES:
        s3.client.upload_file(str(tpch / f"{table}.parquet"), bucket, f"sf1/{table}.parquet")
    return f"s3://{bucket}/sf1/"
