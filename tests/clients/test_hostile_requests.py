"""Bytes on the socket that are no request, or two in one: each is refused or answered once, and the next client is served."""

import socket

import pytest

from conftest import Server

SQL = b"POST /v1/sql HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"

# Name: what is sent, and the statuses that may come back; none: the connection may just end.
HOSTILE = {
    "noise": (bytes(range(256)) * 40, {400}),
    "TLS to a plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), {400}),
    "HTTP/2 without asking": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100, set()),
    "no version": (b"GET /health\r\n\r\n", {400}),
    "another version": (b"GET /health HTTP/9.9\r\n\r\n", {400, 505}),
    "zero in a header": (b"GET /health HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n", {400}),
    "folded header": (b"GET /health HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n", {400}),
    "space before the colon": (b"GET /health HTTP/1.1\r\nHost : x\r\n\r\n", {400}),
    "endless line": (b"GET /" + b"a" * 2_000_000, {400, 414, 431}),
    "endless headers": (b"GET /health HTTP/1.1\r\n" + b"X: y\r\n" * 200_000, {400, 431}),
    "length that is no number": (SQL + b"Content-Length: 1e3\r\n\r\nSELECT 1", {400}),
    "length below zero": (SQL + b"Content-Length: -1\r\n\r\nSELECT 1", {400}),
    "length beyond all numbers": (SQL + b"Content-Length: 99999999999999999999999\r\n\r\nSELECT 1", {400, 413}),
    "huge length": (SQL + b"Content-Length: 9223372036854775807\r\n\r\nSELECT 1", {400, 413}),
    "two lengths": (SQL + b"Content-Length: 8\r\nContent-Length: 9\r\n\r\nSELECT 1", {400}),
    "chunk of no length": (SQL + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nSELECT 1\r\n0\r\n\r\n", {400}),
    "chunk beyond all numbers": (SQL + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nSELECT 1", {400}),
    "body that ends early": (SQL + b"Content-Length: 800\r\n\r\nSELECT 1", {400}),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile-requests")
    (folder / "numbers.csv").write_text("a,b\n1,x\n2,y\n")
    server = Server(folder, f"{folder}/numbers.csv")
    yield server
    server.stop()


def send(server, data):
    """Everything that comes back until the server closes the connection."""
    host, port = server.url.removeprefix("http://").split(":")
    received = b""
    with socket.create_connection((host, int(port)), 10) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                received += chunk
        except OSError as error:
            # It may close the connection before it has read everything.
            assert not isinstance(error, TimeoutError)
    return received


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes(name, server):
    data, statuses = HOSTILE[name]
    answer = send(server, data)
    if answer.startswith(b"HTTP/1.1 "):
        assert int(answer.split(b" ")[1]) in statuses, answer[:500]
    assert answer.count(b"HTTP/1.1 ") <= 1, answer[:2000]
    assert server.rows("SELECT sum(a) AS s FROM numbers") == [{"s": 3}]
    assert server.process.poll() is None


def test_a_second_request_cannot_hide_in_the_body_of_a_first(server):
    hidden = b"GET /v1/databases HTTP/1.1\r\nHost: x\r\n\r\n"
    for framing in (
        b"Content-Length: 8\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 8\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\nContent-Length: 40\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    ):
        answer = send(server, SQL + framing + hidden)
        # Whoever stands in front may see one request where there are two: then the connection ends after the first.
        assert answer.count(b"HTTP/1.1 ") <= 1, answer[:2000]
        assert b'"default"' not in answer, answer[:2000]


def test_connections_that_say_nothing_cost_nobody_else(server):
    host, port = server.url.removeprefix("http://").split(":")
    silent = [socket.create_connection((host, int(port)), 10) for _ in range(50)]
    for number, connection in enumerate(silent):
        connection.sendall(SQL[: number + 1])
    assert server.rows("SELECT sum(a) AS s FROM numbers") == [{"s": 3}]
    for connection in silent:
        connection.close()
    assert server.rows("SELECT 1 AS one") == [{"one": 1}]
