"""Files that were made to hurt: every input of the file fuzzers, as a lake. Each is read or refused, and nothing else stops."""

import shutil

import pytest

from conftest import ROOT, Server

CORPUS = ROOT / "fuzz/corpus"
ENDINGS = {"csv_file": "csv", "json_file": "json", "parquet_file": "parquet"}
FILES = [(kind, path.name) for kind in ENDINGS for path in sorted((CORPUS / kind).iterdir())]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Its start is a crawl over all of them."""
    folder = tmp_path_factory.mktemp("hostile-files")
    for kind, name in FILES:
        target = folder / "lake" / kind / name / f"data.{ENDINGS[kind]}"
        target.parent.mkdir(parents=True)
        shutil.copy(CORPUS / kind / name, target)
    (folder / "lake/fine").mkdir()
    (folder / "lake/fine/fine.csv").write_text("a,b\n1,x\n2,y\n")
    server = Server(folder, f"{folder}/lake/")
    server.lake = folder / "lake"
    yield server
    server.stop()


def code_of(answer):
    """The code that an answer failed with, before or after its first byte; None if it did not."""
    document = answer.json()
    return document["code"] if answer.status_code >= 400 else document.get("error", {}).get("code")


def test_the_crawl_accounts_for_every_file(server):
    report = server.rows("SELECT path, outcome, reason, files FROM system.crawl_report")
    counted = sum(row["files"] if row["outcome"].lower() == "table" else max(row["files"], 1) for row in report)
    assert counted == len(FILES) + 1, report
    for row in report:
        assert "internal" not in (row["reason"] or ""), row
    assert server.rows("SELECT sum(a) AS s FROM fine") == [{"s": 3}]


@pytest.mark.parametrize("kind,name", FILES)
def test_a_file_is_read_or_refused(kind, name, server):
    file = server.lake / kind / name / f"data.{ENDINGS[kind]}"
    counts = set()
    for sql in (f"SELECT * FROM '{file}'", f"SELECT count(*) AS n FROM '{file}'"):
        answer = server.sql(sql)
        code = code_of(answer)
        assert code not in ("internal", "deadline_exceeded"), answer.text[:1000]
        if code is None:
            data = answer.json()["data"]
            counts.add(data[0]["n"] if "count" in sql else len(data))
    if kind != "parquet_file":
        assert len(counts) <= 1, counts


def test_the_process_is_the_same_and_answers(server):
    assert server.process.poll() is None
    assert server.rows("SELECT 1 + 1 AS two") == [{"two": 2}]
    assert server.running_queries() == 0
