"""The server as others on the network see it: its sockets, its routes without a key, its TLS, its bounds."""

import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import time

import h2.connection
import h2.events
import pytest
import requests

from certificates import Authority
from conftest import BINARY, clean_environment, free_port, run_lakebed, wait_until

LISTENS = "0A"
OPEN_PATHS = ["/docs/", "/redoc", "/openapi.json"]


class NetServer:
    """A server with an administrator's key, and with TLS if there are files for it."""

    def __init__(self, folder, ca=None, client=None, **settings):
        self.folder, self.ca, self.client = folder, ca, client
        self.address = ("127.0.0.1", free_port())
        self.url = f"{'https' if ca else 'http'}://127.0.0.1:{self.address[1]}"
        (folder / "numbers.csv").write_text("secretcolumn,b\n1,x\n2,y\n")
        data = ("--data-dir", folder / "data")
        self.key = run_lakebed("keys", "create", "root", "--role", "admin", *data, cwd=folder).stdout.strip()
        assert self.key.startswith("lb_")
        self.config = folder / "settings.toml"
        self.write_settings({"http": f"127.0.0.1:{self.address[1]}"} | settings)
        self.log = folder / "server.log"
        command = [BINARY, "--config", self.config, "serve", folder / "numbers.csv", *data]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(list(map(str, command)), cwd=folder, env=clean_environment(), stderr=log)
        wait_until(self._ready, "the server")

    def write_settings(self, settings, more=""):
        self.settings = settings
        lines = [f"{name} = {json.dumps(str(value))}" for name, value in settings.items()]
        self.config.write_text("[server]\n" + "\n".join(lines) + "\n" + more)

    def _ready(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.get("/ready").status_code == 200
        except requests.ConnectionError:
            return False

    def request(self, method, path, key=None, **options):
        headers = options.pop("headers", {}) | ({"Authorization": f"Bearer {key}"} if key else {})
        return requests.request(method, self.url + path, headers=headers, timeout=30, verify=str(self.ca or True),
                                cert=self.client and tuple(map(str, self.client)), **options)

    def get(self, path, key=None, **options):
        return self.request("GET", path, key, **options)

    def sql(self, text, key=None):
        return self.request("POST", "/v1/sql", key or self.key, json={"query": text})

    def tls(self, protocols=(), client=None, ca=None):
        """A TLS connection."""
        context = ssl.create_default_context(cafile=str(ca or self.ca))
        if protocols:
            context.set_alpn_protocols(list(protocols))
        if client or self.client:
            context.load_cert_chain(*map(str, client or self.client))
        return context.wrap_socket(socket.create_connection(self.address, 10), server_hostname="127.0.0.1")

    def serial(self):
        """The serial number of the server's certificate."""
        with self.tls() as connection:
            return connection.getpeercert()["serialNumber"]

    def logged(self, text):
        return text in self.log.read_text()

    def stop(self):
        self.process.terminate()
        self.process.wait(40)


@pytest.fixture
def start(tmp_path):
    servers = []

    def start(**options):
        servers.append(NetServer(tmp_path, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def secure(start, authority):
    cert, key = authority.issue("server")
    return start(ca=authority.ca, tls_cert=cert, tls_key=key)


def listening(pid):
    """(address, port) of the sockets on which a process waits for others, as the kernel knows them."""
    inodes = set()
    for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[len("socket:["):-1])
    found = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in pathlib.Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            address, state, inode = fields[1], fields[3], fields[9]
            if inode in inodes and (state == LISTENS or table.startswith("udp")):
                host, port = address.split(":")
                found.add((table, host, int(port, 16)))
    return found


def test_nothing_listens_but_the_configured_port(secure):
    secure.sql("SELECT count(*) FROM numbers")
    assert listening(secure.process.pid) == {("tcp", "0100007F", secure.address[1])}


def operations(server):
    """(method, path with names filled in, whether it is open to all) of every operation that the server describes."""
    values = {"database": "default", "table": "numbers", "name": "numbers", "id": "00000000-0000-4000-8000-000000000000",
              "key": "root"}
    for path, item in server.get("/openapi.json").json()["paths"].items():
        for method, operation in item.items():
            filled = path
            for name in [part[1:-1] for part in path.split("/") if part.startswith("{")]:
                filled = filled.replace("{" + name + "}", values.get(name, "x"))
            yield method.upper(), filled, operation.get("security") == [{}]


def test_without_a_key_only_health_and_the_documentation_answer(secure):
    assert secure.sql("SELECT secretcolumn FROM numbers").status_code == 200
    wrong = secure.key[:-64] + "0" * 64
    seen = {True: 0, False: 0}
    for method, path, is_open in operations(secure):
        seen[is_open] += 1
        for key in (None, wrong, "not-a-key"):
            answer = secure.request(method, path, key, json={"query": "SELECT secretcolumn FROM numbers"})
            what = f"{method} {path} with {key and 'a wrong key'}: {answer.status_code} {answer.text}"
            if is_open:
                assert answer.status_code == 200, what
            else:
                assert answer.status_code in ({401} if key is None else {401, 429}), what
                assert answer.json()["code"] in ("unauthenticated", "too_many_logins"), what
            assert "secretcolumn" not in answer.text and "numbers.csv" not in answer.text, what
            assert "root" not in answer.text, what
    assert seen[True] == 2 and seen[False] >= 30, seen
    for path in OPEN_PATHS:
        answer = secure.get(path)
        assert answer.status_code == 200 and "secretcolumn" not in answer.text, path
    for method, path in [("GET", "/"), ("GET", "/metrics"), ("GET", "/nowhere"), ("OPTIONS", "/v1/sql"),
                         ("HEAD", "/v1/databases"), ("TRACE", "/v1/sql"), ("GET", "/docs/../v1/databases"),
                         ("GET", "//v1/databases"), ("GET", "/v1/databases/")]:
        assert secure.request(method, path).status_code == 401, f"{method} {path}"
    assert secure.get("/v1/databases", secure.key).status_code == 200


def test_plain_http_on_a_tls_port_is_told_so_and_nothing_else(secure):
    with socket.create_connection(secure.address, 10) as connection:
        connection.sendall(f"GET /health HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secure.key}\r\n\r\n".encode())
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 400 ") and answer.endswith(b"ask it with https://"), answer
    assert b"ocation" not in answer, "a redirect would make clients send their key in the clear again"
    assert secure.get("/health").status_code == 200


def read_all(connection):
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


def test_both_protocols_are_offered_and_http2_serves_queries(secure):
    with secure.tls(["http/1.1"]) as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"
    status, body = http2(secure, [("authorization", f"Bearer {secure.key}")])
    assert status == "200" and b"numbers" in body
    status, body = http2(secure, [])
    assert status == "401" and b"numbers" not in body
    with pytest.raises((ConnectionError, AssertionError)):
        status, _ = http2(secure, [("x-filler", "a" * 8000)] * 10)
        assert status == "200", "headers of 80 kB are refused"


def http2(server, headers):
    """One request for the tables; status and body."""
    with server.tls(["h2", "http/1.1"]) as connection:
        assert connection.selected_alpn_protocol() == "h2"
        protocol = h2.connection.H2Connection()
        protocol.initiate_connection()
        protocol.send_headers(1, [(":method", "GET"), (":path", "/v1/databases/default/tables"), (":scheme", "https"),
                                  (":authority", "127.0.0.1"), *headers], end_stream=True)
        connection.sendall(protocol.data_to_send())
        status, body = None, b""
        while chunk := connection.recv(65536):
            for event in protocol.receive_data(chunk):
                if isinstance(event, h2.events.ResponseReceived):
                    status = dict(event.headers)[b":status"].decode()
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    return status, body
                elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                    raise ConnectionError("refused")
            connection.sendall(protocol.data_to_send())
        raise ConnectionError("the connection ended")


def test_only_clients_of_the_authority_are_let_in(start, authority, tmp_path, lakebed):
    cert, key = authority.issue("server")
    clients, others = Authority(tmp_path, "clients"), Authority(tmp_path, "others")
    good = clients.issue("ann")
    server = start(ca=authority.ca, client=good, tls_cert=cert, tls_key=key, tls_client_ca=clients.ca)
    assert server.get("/health").status_code == 200
    assert server.get("/v1/databases").status_code == 401, "a certificate is no key"
    assert server.get("/v1/databases", server.key).status_code == 200
    for wrong in (None, others.issue("eve"), authority.issue("server-as-client")):
        with pytest.raises(requests.ConnectionError):
            requests.get(server.url + "/health", verify=str(authority.ca), cert=wrong and tuple(map(str, wrong)), timeout=10)
    environment = {"LAKEBED_CLIENT_KEY": server.key, "LAKEBED_CLIENT_TLS_CERT": str(good[0]),
                   "LAKEBED_CLIENT_TLS_KEY": str(good[1])}
    ask = ("sql", "SELECT count(*) AS n FROM numbers", "--url", server.url, "--format", "ndjson")
    answer = lakebed(*ask, "--ca-cert", authority.ca, environment=environment)
    assert answer.returncode == 0 and json.loads(answer.stdout) == {"n": 2}, answer.stderr
    strange = lakebed(*ask, environment=environment)
    assert strange.returncode == 1 and "--ca-cert" in strange.stderr and "UnknownIssuer" in strange.stderr
    without = lakebed(*ask, "--ca-cert", authority.ca)
    assert without.returncode == 1 and "certificate" in without.stderr.lower(), without.stderr


def test_new_tls_files_are_used_and_broken_ones_are_not(secure, authority):
    before = secure.serial()
    cert, key = pathlib.Path(secure.settings["tls_cert"]), pathlib.Path(secure.settings["tls_key"])
    new_cert, new_key = authority.issue("renewed")
    shutil.copy(new_cert, cert)
    secure.process.send_signal(signal.SIGHUP)
    wait_until(lambda: secure.logged("cannot be used"), "the line about the broken files", 60)
    assert secure.serial() == before, "the new certificate does not fit the old key"
    shutil.copy(new_key, key)
    wait_until(lambda: secure.serial() != before, "the new certificate, without a signal", 60)
    cert.write_text("no certificate")
    wait_until(lambda: secure.logged("those from before stay in use"), "the line about the broken file", 60)
    assert secure.get("/health").status_code == 200


def test_a_server_does_not_start_with_half_of_tls(tmp_path, authority):
    cert, key = authority.issue("server")
    other = authority.issue("other")[1]
    for settings, said in [
        ({"LAKEBED_SERVER_TLS_CERT": cert}, "server.tls_key"),
        ({"LAKEBED_SERVER_TLS_CERT": cert, "LAKEBED_SERVER_TLS_KEY": tmp_path / "none.pem"}, "none.pem"),
        ({"LAKEBED_SERVER_TLS_CERT": key, "LAKEBED_SERVER_TLS_KEY": key}, "no certificate"),
        ({"LAKEBED_SERVER_TLS_CERT": cert, "LAKEBED_SERVER_TLS_KEY": other}, "together"),
    ]:
        environment = {name: str(file) for name, file in settings.items()}
        run = run_lakebed("serve", "--http", f"127.0.0.1:{free_port()}", cwd=tmp_path, environment=environment, timeout=30)
        assert run.returncode == 2 and said in run.stderr, run.stderr


def test_silent_clients_and_greedy_addresses_are_bounded(start, authority):
    cert, key = authority.issue("server")
    server = start(ca=authority.ca, tls_cert=cert, tls_key=key, handshake_timeout="1s", connections_per_address="5")
    silent = [socket.create_connection(server.address, 10) for _ in range(5)]
    with socket.create_connection(server.address, 10) as sixth:
        assert refused(sixth), "the sixth connection of one address is closed at once"
    assert all(refused(connection) for connection in silent), "who begins no TLS is let go"
    wait_until(lambda: server._ready(), "a free place", 60)
    metrics = server.get("/metrics", server.key).text
    assert "lakebed_connections_refused_total" in metrics and "lakebed_tls_handshakes_failed_total" in metrics


def refused(connection):
    connection.settimeout(15)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_large_headers_are_refused(secure):
    answer = secure.get("/health", headers={"X-Filler": "a" * 40_000})
    assert answer.status_code == 431
    assert secure.get("/health").status_code == 200


def test_keys_in_the_clear_are_warned_about(tmp_path):
    for address, warned in [("0.0.0.0", True), ("127.0.0.1", False)]:
        folder = tmp_path / address
        folder.mkdir()
        port = free_port()
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen([BINARY, "serve", "--http", f"{address}:{port}"], cwd=folder, stderr=log,
                                       stdout=subprocess.DEVNULL, env=clean_environment())
        try:
            wait_until(lambda: (folder / "log").read_text().count("serving"), "the server")
            assert ((folder / "log").read_text().count("in the clear") == 1) == warned
        finally:
            process.terminate()
            process.wait(40)
