"""Each way that a store can refuse has its own clear error, at the command line and over HTTP."""

import socket
import threading

import pytest

from conftest import ObjectStore, free_port


@pytest.fixture(scope="module")
def bucket(s3):
    name = s3.bucket("refusals")
    s3.client.put_object(Bucket=name, Key="t/a.csv", Body=b"x,y\n1,2\n3,4\n")
    return name


def expired_token_server():
    """An endpoint that answers every request as S3 does after a session token has expired."""
    body = (b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>ExpiredToken</Code>'
            b"<Message>The provided token has expired.</Message></Error>")
    answer = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    answer += b"Content-Length: %d\r\n\r\n" % len(body) + body
    listener = socket.create_server(("127.0.0.1", 0))

    def answer_all():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    threading.Thread(target=answer_all, daemon=True).start()
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


CASES = {
    "wrong secret": ("wrong_signature", {"AWS_SECRET_ACCESS_KEY": "nonsense"}, "refusals"),
    "unknown key": ("wrong_signature", {"AWS_ACCESS_KEY_ID": "nobody"}, "refusals"),
    "wrong bucket": ("bucket", {}, "no-such-bucket"),
    "stopped server": ("connect", {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{free_port()}"}, "refusals"),
}
WORDS = {"wrong_signature": ("key", "signature", "secret"), "bucket": ("bucket",), "connect": ("connect", "reach")}


@pytest.mark.parametrize("case", CASES)
def test_command_line(case, lakebed, s3, bucket):
    kind, environment, name = CASES[case]
    done = lakebed("sql", "SELECT * FROM t", f"s3://{name}/", environment=s3.environment() | environment)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    message = done.stderr.lower()
    assert "error:" in message and any(word in message for word in WORDS[kind]), done.stderr
    assert name in message or kind == "connect"


def test_expired_token_on_the_command_line(lakebed, s3):
    listener, url = expired_token_server()
    environment = s3.environment(AWS_SESSION_TOKEN="old") | {"AWS_ENDPOINT_URL_S3": url}
    done = lakebed("sql", "SELECT * FROM t", "s3://refusals/", environment=environment)
    listener.close()
    assert done.returncode == 1
    assert "session token" in done.stderr and "no longer valid" in done.stderr, done.stderr


def test_missing_object_on_the_command_line(lakebed, s3, bucket):
    sql = f"SELECT * FROM 's3://{bucket}/t/missing.parquet'"
    done = lakebed("sql", sql, f"s3://{bucket}/", environment=s3.environment())
    assert done.returncode == 1
    assert "t/missing.parquet" in done.stderr, done.stderr


def refused(server, sql, code, status=None):
    answer = server.sql(sql)
    problem = answer.json()
    assert answer.headers["content-type"].startswith("application/problem+json"), answer.text
    assert problem["code"] == code, problem
    assert answer.status_code == problem["status"] and answer.status_code >= 400
    return problem


def test_over_http(serve, s3, bucket):
    """A server that may read several buckets, one of which does not exist, with the reader's key."""
    environment = s3.environment(*ObjectStore.READER) | {
        "LAKEBED_DATA_READABLE": "s3://no-such-bucket/", "LAKEBED_DATA_WRITABLE": f"s3://{bucket}/out/",
    }
    server = serve(f"s3://{bucket}/t/", environment=environment)
    assert server.rows("SELECT sum(x) AS s FROM a") == [{"s": 4}]
    refused(server, "SELECT * FROM 's3://no-such-bucket/a.csv'", "bucket_not_found")
    refused(server, f"SELECT * FROM 's3://{bucket}/t/missing.csv'", "object_not_found")
    refused(server, "SELECT * FROM 's3://elsewhere/a.csv'", "location_not_allowed")
    # Read-only for this key: nothing half-written may stay behind.
    refused(server, f"COPY (SELECT 1 AS x) TO 's3://{bucket}/out/x.parquet'", "store_access_denied")
    assert "Contents" not in s3.client.list_objects_v2(Bucket=bucket, Prefix="out/")


@pytest.mark.parametrize("case", ["wrong secret", "stopped server"])
def test_over_http_with_a_broken_store(case, serve, s3, bucket):
    """Credentials that are wrong from the start: the server is up, and each query says what is wrong."""
    kind, environment, name = CASES[case]
    server = serve(environment=s3.environment() | environment | {"LAKEBED_DATA_READABLE": f"s3://{name}/"})
    code = {"wrong_signature": "store_wrong_signature", "connect": "store_unreachable"}[kind]
    refused(server, f"SELECT * FROM 's3://{name}/t/a.csv'", code)


def test_expired_token_over_http(serve, s3):
    listener, url = expired_token_server()
    environment = s3.environment(AWS_SESSION_TOKEN="old") | {
        "AWS_ENDPOINT_URL_S3": url, "LAKEBED_DATA_READABLE": "s3://refusals/",
    }
    server = serve(environment=environment)
    refused(server, "SELECT * FROM 's3://refusals/t/a.csv'", "store_token_expired")
    listener.close()
