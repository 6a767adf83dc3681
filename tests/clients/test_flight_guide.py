"""The examples of the guide to Arrow Flight, run as they stand there."""

import contextlib
import io
import re
import shlex

import pytest

from conftest import ROOT, Server, run_lakebed

GUIDE = (ROOT / "docs/guides/flight.md").read_text()
ADDRESS = "grpc://127.0.0.1:8815"
# An example and, where one follows at once, what it prints.
EXAMPLES = re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", GUIDE, re.DOTALL)
SESSION = re.search(r"```console\n(\$ lakebed sql .*?)```", GUIDE, re.DOTALL)[1]


def title(example):
    return "-".join(re.findall(r"^import (\w+)", example[0], re.MULTILINE))


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    (folder / "cities.csv").write_text("city,people\nUlm,126000\nBonn,331000\n")
    return folder / "cities.csv"


@pytest.fixture(scope="module")
def guarded(lake, tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    made = run_lakebed("keys", "create", "root", "--role", "admin", "--data-dir", folder / "lakebed-data", cwd=folder)
    server = Server(folder, lake)
    server.key = made.stdout.strip()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def server(lake, tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("open"), lake)
    yield server
    server.stop()


@pytest.mark.parametrize("example", EXAMPLES, ids=title)
def test_python(example, request, monkeypatch):
    code, expected = example
    assert ADDRESS in code
    wants_key = "LAKEBED_CLIENT_KEY" in code
    server = request.getfixturevalue("guarded" if wants_key else "server")
    if wants_key:
        monkeypatch.setenv("LAKEBED_CLIENT_KEY", server.key)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code.replace(ADDRESS, server.flight), "docs/guides/flight.md", "exec"), {})
    assert not expected or printed.getvalue() == expected


def test_command_line(server, lakebed, tmp_path):
    commands = re.split(r"^\$ ", SESSION, flags=re.MULTILINE)[1:]
    assert len(commands) == 2
    for text in commands:
        command, _, expected = text.partition("\n")
        name, *arguments = shlex.split(command.replace(ADDRESS, server.flight))
        done = lakebed(*arguments)
        assert (name, done.returncode, done.stdout) == ("lakebed", 0, expected), done.stderr
    assert (tmp_path / "query_results.parquet").read_bytes().startswith(b"PAR1")
