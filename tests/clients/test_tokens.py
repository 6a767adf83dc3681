"""Tokens of an OpenID Connect issuer: one that a test runs itself, signed with PyJWT and cryptography."""

import base64
import http.server
import json
import signal
import threading
import time

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from conftest import wait_until

ALGORITHMS = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "PS384": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


class Issuer:
    """Publishes the keys of all algorithms, and signs."""

    def __init__(self):
        self.keys = {name: make() for name, make in ALGORITHMS.items()}
        self.asked = []
        self.answer = None
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked.append(self.path)
                body = issuer.answer if issuer.answer is not None else issuer.document(self.path)
                self.send_response(200 if body else 404)
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/realm"

    def document(self, path):
        if path == "/realm/.well-known/openid-configuration":
            return json.dumps({"issuer": self.url, "jwks_uri": self.url + "/keys"}).encode()
        if path == "/realm/keys":
            return json.dumps({"keys": [self.jwk(name) for name in self.keys]}).encode()
        return None

    def jwk(self, name):
        algorithm = jwt.get_algorithm_by_name(name)
        key = json.loads(algorithm.to_jwk(self.keys[name].public_key()))
        return {"kid": name, "use": "sig"} | {part: value for part, value in key.items() if part != "key_ops"}

    def claims(self, **changes):
        claims = {"iss": self.url, "aud": "lakebed", "sub": "ann", "exp": int(time.time()) + 300, "groups": ["admins"]}
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, name="ES256", **changes):
        return jwt.encode(self.claims(**changes), self.keys[name], algorithm=name, headers={"kid": name})

    def settings(self, **more):
        return {
            "LAKEBED_OIDC_ISSUER": self.url, "LAKEBED_OIDC_AUDIENCE": "lakebed", "LAKEBED_OIDC_ROLE_CLAIM": "groups",
            "LAKEBED_OIDC_ADMIN_VALUES": "admins", "LAKEBED_OIDC_READ_VALUES": "readers,guests",
        } | more


@pytest.fixture
def issuer():
    issuer = Issuer()
    yield issuer
    issuer.server.shutdown()


@pytest.fixture
def table(tmp_path):
    (tmp_path / "numbers.csv").write_text("a,b\n1,x\n2,y\n")
    return f"{tmp_path}/numbers.csv"


def ask(server, token, path="/v1/databases"):
    return requests.get(server.url + path, headers={"Authorization": f"Bearer {token}"}, timeout=30)


def encoded(part):
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def test_every_algorithm_and_both_ways_to_send_a_token(serve, issuer, table):
    server = serve(table, environment=issuer.settings())
    assert requests.get(server.url + "/v1/databases").status_code == 401
    for name in ALGORITHMS:
        answer = ask(server, issuer.token(name))
        assert answer.status_code == 200, f"{name}: {answer.text}"
    as_password = requests.get(server.url + "/v1/databases", auth=("ann", issuer.token()))
    assert as_password.status_code == 200
    rows = server.rows("SELECT count(*) AS n FROM numbers", headers={"Authorization": f"Bearer {issuer.token()}"})
    assert rows == [{"n": 2}]
    history = ask(server, issuer.token(), "/v1/queries").json()
    assert "oidc:ann" in json.dumps(history)
    assert "/realm/.well-known/openid-configuration" in issuer.asked
    log = server.log.read_text()
    assert 'event="login"' in log and "oidc:ann" in log
    assert issuer.token()[:40] not in log


def test_bad_tokens_let_nobody_in_and_say_why(serve, issuer, table):
    server = serve(table, environment=issuer.settings())
    now = int(time.time())
    public = issuer.keys["RS256"].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    forger = Issuer()
    header, payload, signature = issuer.token("RS256").split(".")

    def with_header(secret, **changes):
        signed = encoded({"alg": "HS256", "kid": "RS256"} | changes) + "." + encoded(issuer.claims())
        mac = jwt.get_algorithm_by_name("HS256").sign(signed.encode(), secret)
        return signed + "." + base64.urlsafe_b64encode(mac).rstrip(b"=").decode()

    cases = {
        "has expired": [issuer.token(exp=now - 120)],
        "not valid yet": [issuer.token(nbf=now + 120)],
        "no time of expiry": [issuer.token(exp=None)],
        "another audience": [issuer.token(aud="other"), issuer.token(aud=None), issuer.token(aud=["x", "y"])],
        "another issuer": [issuer.token(iss="https://evil.example")],
        "algorithm is not allowed": [
            encoded({"alg": "none"}) + "." + payload + ".",
            encoded({"alg": "nOnE", "kid": "RS256"}) + "." + payload + "." + signature,
            with_header(pem), with_header(json.dumps(issuer.jwk("RS256")).encode()), with_header(b""),
        ],
        "signature is wrong": [
            forger.token("RS256", iss=issuer.url), forger.token("EdDSA", iss=issuer.url),
            header + "." + encoded(issuer.claims(sub="root")) + "." + signature, header + "." + payload + ".",
            encoded({"alg": "RS256", "kid": "RS256", "jwk": forger.jwk("RS256")}) + "."
            + ".".join(forger.token("RS256", iss=issuer.url).split(".")[1:]),
        ],
        "key is none of its issuer's": [
            jwt.encode(issuer.claims(), issuer.keys["ES256"], algorithm="ES256", headers={"kid": "new"}),
            with_header(pem, alg="ES256"),
        ],
        "cannot be read": ["a.b.c", encoded([]) + "." + payload + "." + signature],
    }
    for said, tokens in cases.items():
        for token in tokens:
            time.sleep(0.2)
            answer = ask(server, token)
            while answer.status_code == 429:
                time.sleep(0.5)
                answer = ask(server, token)
            assert answer.status_code == 401 and answer.json()["code"] == "unauthenticated", f"{said}: {answer.text}"
            assert said in answer.json()["detail"], answer.text
            assert issuer.url not in answer.text and "lakebed" not in answer.json()["detail"], answer.text
    assert ask(server, issuer.token()).status_code == 200
    forger.server.shutdown()


def test_roles_and_grants_come_from_claims(serve, issuer, table):
    server = serve(table, environment=issuer.settings(LAKEBED_OIDC_GRANTS_CLAIM="lake.tables",
                                                      LAKEBED_OIDC_NAME_CLAIM="email"))
    post = lambda token, text: server.sql(text, headers={"Authorization": f"Bearer {token}"})
    admin = issuer.token(email="root@example.com")
    reader = issuer.token(email="ann@example.com", groups=["x", "guests"], lake={"tables": ["default.numbers"]})
    elsewhere = issuer.token(email="bob@example.com", groups="readers", lake={"tables": ["other"]})
    assert ask(server, admin, "/metrics").status_code == 200
    assert post(reader, "SELECT * FROM numbers").status_code == 200
    assert post(reader, "CREATE DATABASE more").status_code == 403
    assert ask(server, reader, "/metrics").status_code == 403
    assert post(elsewhere, "SELECT * FROM numbers").status_code == 404
    for nobody in (issuer.token(email="eve@example.com", groups=["strangers"]),
                   issuer.token(email="eve@example.com", groups=["readers"])):
        answer = post(nobody, "SELECT 1")
        assert answer.status_code == 403 and answer.json()["code"] == "permission_denied", answer.text


def test_read_only_servers_stay_so(serve, issuer, table):
    server = serve(table, "--read-only", environment=issuer.settings())
    answer = server.sql("CREATE DATABASE more", headers={"Authorization": f"Bearer {issuer.token()}"})
    assert answer.status_code == 403


@pytest.mark.parametrize("answer", [b"", b"{}", b'{"keys": []}', b"x" * 3_000_000], ids=["404", "none", "empty", "huge"])
def test_an_issuer_without_keys_makes_tokens_wait_and_keys_work(serve, issuer, lakebed, tmp_path, table, answer):
    root = lakebed("keys", "create", "root", "--role", "admin", "--data-dir", tmp_path / "server-0" / "lakebed-data")
    issuer.answer = answer
    server = serve(table, environment=issuer.settings(LAKEBED_OIDC_JWKS_URL=issuer.url + "/keys"))
    refused = ask(server, issuer.token())
    assert refused.status_code == 503 and int(refused.headers["Retry-After"]) >= 1, refused.text
    assert issuer.url not in refused.text
    assert len(issuer.asked) == 1, "one attempt, however many tokens come"
    assert ask(server, root.stdout.strip()).status_code == 200
    wait_until(lambda: "issuer's keys cannot be fetched" in server.log.read_text(), "the line in the log", 10)


def test_settings_change_at_a_hangup(serve, issuer, tmp_path, table):
    config = tmp_path / "settings.toml"
    oidc = {name.removeprefix("LAKEBED_OIDC_").lower(): text for name, text in issuer.settings().items()}

    def write(oidc, **sections):
        lines = ["[oidc]"] + [f"{name} = {json.dumps(text)}" for name, text in oidc.items()]
        for section, settings in sections.items():
            lines += [f"[{section}]"] + [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        config.write_text("\n".join(lines) + "\n")

    write(oidc)
    server = serve(table, "--config", config)
    hang_up = lambda: server.process.send_signal(signal.SIGHUP)
    logged = lambda text: wait_until(lambda: text in server.log.read_text(), f"`{text}` in the log", 10)
    price = lambda: requests.post(server.url + "/v1/estimate", json={"query": "SELECT * FROM numbers"},
                                  headers={"Authorization": f"Bearer {issuer.token()}"}).json()["price_usd"]
    before = price()
    assert ask(server, issuer.token(groups=["later"])).status_code == 403

    write(oidc | {"admin_values": "later,admins"}, query={"price_per_tib": "50.0", "memory": "1GiB"},
          log={"filter": "info,lakebed_api_rest=debug", "slow_query": "1ms"})
    hang_up()
    logged("the settings were read again")
    assert ask(server, issuer.token(groups=["later"])).status_code == 200
    assert price() == pytest.approx(before * 10) and before > 0
    log = server.log.read_text()
    for setting in ("oidc.admin_values", "query.price_per_tib", "log.filter", "log.slow_query"):
        assert any(setting in line and "restart" not in line for line in log.splitlines()), setting
    assert any("query.memory" in line and "restart" in line for line in log.splitlines())
    assert issuer.url not in "".join(line for line in log.splitlines() if "changed" in line)
    ask(server, "nobody")
    logged("DEBUG")

    broken = {"oidc": oidc | {"audience": ""}, "log": {"filter": "warn"}}
    write(broken["oidc"], log=broken["log"])
    hang_up()
    logged("nothing was changed")
    assert "oidc.audience" in server.log.read_text()
    assert ask(server, issuer.token(groups=["later"])).status_code == 200
    config.write_text("[server\n")
    hang_up()
    logged("does not parse")
    assert ask(server, issuer.token()).status_code == 200

    config.write_text("")
    hang_up()
    wait_until(lambda: ask(server, issuer.token()).status_code == 401, "a server without an issuer", 10)
    assert requests.get(server.url + "/v1/databases").status_code == 401, "a server does not open by itself"
    assert server.stop() == 0


def test_slow_queries_are_logged_with_who_and_what(serve, issuer, table):
    settings = issuer.settings(LAKEBED_LOG_SLOW_QUERY="1ms", LAKEBED_LOG_FORMAT="json")
    server = serve(table, environment=settings)
    text = "SELECT count(*) AS n\n  FROM generate_series(1, 3000000) WHERE value % 7 = 3"
    answer = server.sql(text, headers={"Authorization": f"Bearer {issuer.token()}"})
    assert answer.status_code == 200, answer.text
    lines = lambda: [line for line in map(json.loads, server.log.read_text().splitlines())
                     if line["target"] == "lakebed::slow_query"]
    wait_until(lines, "the line of the slow query", 10)
    fields = lines()[0]["fields"]
    assert fields["query_id"] == answer.headers["x-query-id"] and fields["principal"] == "oidc:ann"
    assert fields["sql"] == " ".join(text.split()) and fields["execution_ms"] > 0 and fields["bytes_scanned"] == 0
