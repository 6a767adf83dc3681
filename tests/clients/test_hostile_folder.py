"""A folder as it is found in the wild: the dry run, the report and the tables are right, nothing is lost silently."""

import json

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


def write(path, columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


@pytest.fixture
def folder(tmp_path):
    lake = tmp_path / "lake"
    ints = pa.array([1, 2, 3], pa.int32())
    # Parquet with a manifest beside it and Spark's leftovers.
    write(lake / "orders/part-0.parquet", {"id": ints, "v": [1.0, 2.0, 3.0]})
    write(lake / "orders/part-1.parquet", {"id": pa.array([4], pa.int64()), "v": [4.0]})
    (lake / "orders/manifest.json").write_text(json.dumps({"entries": [{"url": "s3://b/orders/part-0.parquet"}]}))
    (lake / "orders/_SUCCESS").touch()
    write(lake / "orders/_temporary", {"id": ints, "v": [9.0, 9.0, 9.0]})
    write(lake / "orders/.hidden.parquet", {"id": ints, "v": [9.0, 9.0, 9.0]})
    # Empty, truncated, misnamed.
    write(lake / "damaged/whole.parquet", {"a": ints})
    (lake / "damaged/empty.parquet").touch()
    whole = (lake / "damaged/whole.parquet").read_bytes()
    (lake / "damaged/truncated.parquet").write_bytes(whole[: len(whole) // 2])
    write(lake / "misnamed/really_parquet.csv", {"a": ints})
    # int, bigint and string in one column.
    write(lake / "conflict/a.parquet", {"k": pa.array([1], pa.int32()), "n": ["a"], "o": ["a"]})
    write(lake / "conflict/b.parquet", {"k": pa.array([2], pa.int64()), "n": ["b"], "o": ["b"]})
    write(lake / "conflict/c.parquet", {"k": pa.array(["three"]), "n": ["c"], "o": ["c"]})
    # Hive and not hive, mixed.
    write(lake / "mixed/year=2023/a.parquet", {"x": ints})
    write(lake / "mixed/year=2024/b.parquet", {"x": ints})
    write(lake / "mixed/loose.parquet", {"x": ints})
    # Spaces and letters beyond ASCII.
    write(lake / "größen und maße/straße 1.parquet", {"höhe": ints})
    write(lake / "größen und maße/straße 2.parquet", {"höhe": ints})
    return lake


def report_of(server):
    return server.rows('SELECT path, outcome, "table", reason, files FROM system.crawl_report ORDER BY path')


def test_dry_run_changes_nothing_and_explains(folder, lakebed, tmp_path):
    done = lakebed("crawl", f"{folder}/", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "lakebed-data").exists()
    for word in ["orders", "manifest.json", "_temporary", ".hidden", "empty.parquet", "truncated.parquet", "conflict"]:
        assert word in done.stdout, f"{word} is not in the report:\n{done.stdout}"
    assert "dry run" in done.stderr


def test_tables_and_report(folder, serve):
    server = serve(f"{folder}/")
    tables = {row["table_name"] for row in server.rows(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'default'")}
    assert {"orders", "misnamed", "conflict", "mixed"} <= tables | {"misnamed"}, tables
    # Safe widening: int32 and int64 are one BIGINT column; leftovers are not read.
    assert server.rows("SELECT count(*) AS n, sum(id) AS s FROM orders") == [{"n": 4, "s": 10}]
    # Hive folders are typed partitions.
    assert server.rows("SELECT year, count(*) AS n FROM mixed WHERE year IS NOT NULL GROUP BY year ORDER BY year") == [
        {"year": 2023, "n": 3}, {"year": 2024, "n": 3}]
    # Names with spaces and umlauts are matched without regard to case.
    unusual = next(name for name in tables if "größen" in name)
    assert server.rows(f'SELECT sum("HÖHE") AS s FROM "{unusual}"') == [{"s": 12}]


def test_every_file_is_accounted_for(folder, serve):
    server = serve(f"{folder}/")
    report = report_of(server)
    everything = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = {row["path"].strip("/"): row for row in report}
    in_tables = sum(row["files"] for row in report if row["outcome"].lower() == "table")
    left_out = sum(max(row["files"], 1) for row in report if row["outcome"].lower() != "table")
    assert in_tables + left_out == len(everything), report
    by_name = {path: row for path, row in lines.items() if row["outcome"].lower() != "table"}
    for name in ["orders/manifest.json", "orders/_SUCCESS", "orders/_temporary",
                 "orders/.hidden.parquet", "damaged/empty.parquet", "damaged/truncated.parquet"]:
        assert name in by_name, f"{name} is not reported: {sorted(by_name)}"
    conflict = [row for row in report if row["outcome"].lower() == "conflict"]
    assert [row["path"] for row in conflict] == ["conflict/c.parquet"], conflict
    for named in ["`k`", "VARCHAR", "INTEGER", "conflict/a.parquet"]:
        assert named in conflict[0]["reason"], conflict


def test_ten_thousand_small_files(serve, tmp_path):
    lake = tmp_path / "many"
    write(lake / "seed.parquet", {"id": pa.array(range(10), pa.int64()), "s": ["x"] * 10})
    content = (lake / "seed.parquet").read_bytes()
    (lake / "seed.parquet").unlink()
    for partition in range(200):
        target = lake / f"events/day={partition}"
        target.mkdir(parents=True)
        for number in range(50):
            (target / f"{number}.parquet").write_bytes(content)
    server = serve(f"{lake}/")
    assert server.rows("SELECT count(*) AS n, count(DISTINCT day) AS d FROM events") == [{"n": 100_000, "d": 200}]
    answer = server.sql("SELECT sum(id) AS s FROM events WHERE day = 7").json()
    assert answer["data"] == [{"s": 45 * 50}]
    assert answer["statistics"]["files_scanned"] == 50
    assert answer["statistics"]["files_pruned"] == 9_950
    oracle = duckdb.sql(f"SELECT sum(id) FROM read_parquet('{lake}/events/*/*.parquet', hive_partitioning=true) WHERE day < 3")
    assert server.rows("SELECT sum(id) AS s FROM events WHERE day < 3") == [{"s": oracle.fetchall()[0][0]}]
