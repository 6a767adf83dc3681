"""Which files become which tables: folders, files, and patterns with a name."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import run_lakebed


@pytest.fixture
def sales(tmp_path):
    folder = tmp_path / "sales"
    folder.mkdir()
    for month in range(1, 4):
        pq.write_table(pa.table({"month": [month, month], "amount": [1.5, 2.5]}), folder / f"2024-0{month}.parquet")
    pq.write_table(pa.table({"name": ["Ada"]}), folder / "people.parquet")
    return folder


def count(server, table):
    return server.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"]


def tables(server):
    rows = server.rows("SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'default' ORDER BY 1")
    return {row["table_name"]: row["table_type"] for row in rows}


def test_a_pattern_is_one_table_and_new_files_join_it(serve, sales):
    server = serve(f"sales={sales}/2024-*.parquet", environment={"LAKEBED_CATALOG_FRESHNESS": "on_query:0s"})
    assert tables(server) == {"sales": "BASE TABLE"} and count(server, "sales") == 6
    pq.write_table(pa.table({"month": [4], "amount": [0.5]}), sales / "2024-04.parquet")
    assert count(server, "sales") == 7


def test_a_pattern_over_folders_has_their_partitions(serve, tmp_path):
    for year in (2023, 2024):
        (tmp_path / f"s/year={year}").mkdir(parents=True)
        pq.write_table(pa.table({"amount": [1.5, 2.5]}), tmp_path / f"s/year={year}/0.parquet")
    server = serve(f"sales={tmp_path}/s/year=*/*.parquet")
    assert server.rows("SELECT year, count(*) AS n FROM sales GROUP BY year ORDER BY year") == [
        {"year": 2023, "n": 2}, {"year": 2024, "n": 2}]


def test_files_that_a_shell_named_are_a_table_each(serve, sales):
    server = serve(f"{sales}/2024-01.parquet", f"{sales}/people.parquet")
    assert len(tables(server)) == 2 and "dataset" not in tables(server)
    server = serve(f"first={sales}/2024-01.parquet", f"{sales}/people.parquet")
    assert set(tables(server)) == {"first", "people"}
    assert "quote a pattern" in server.log.read_text()


@pytest.mark.parametrize("arguments, words", [
    (["{sales}/*.parquet"], "NAME=PATTERN"),
    (["a={sales}/2024-01.parquet", "a={sales}/2024-02.parquet"], "pattern"),
])
def test_what_would_surprise_is_refused(tmp_path, sales, arguments, words):
    arguments = [argument.format(sales=sales) for argument in arguments]
    done = run_lakebed("serve", *arguments, "--data-dir", tmp_path / "data", cwd=tmp_path, timeout=30)
    assert done.returncode == 2 and words in done.stderr, done.stderr


def test_a_single_file_is_also_known_as_dataset(serve, sales, lakebed):
    server = serve(f"{sales}/people.parquet")
    assert tables(server) == {"people": "BASE TABLE", "dataset": "VIEW"}
    assert server.rows("SELECT name FROM dataset") == server.rows("SELECT name FROM people") == [{"name": "Ada"}]
    assert server.rows("SELECT column_name FROM information_schema.columns WHERE table_name = 'dataset'") == [{"column_name": "name"}]
    done = lakebed("sql", "SELECT name FROM dataset", sales / "people.parquet", "--format", "csv")
    assert (done.returncode, done.stdout) == (0, "name\nAda\n"), done.stderr

    server = serve(f"people={sales}/2024-01.parquet")
    assert set(tables(server)) == {"people", "dataset"}


def test_a_table_that_is_called_dataset_is_itself(serve, sales):
    server = serve(f"dataset={sales}/people.parquet")
    assert tables(server) == {"dataset": "BASE TABLE"} and count(server, "dataset") == 1
    folder = serve(f"{sales}/")
    assert "dataset" not in tables(folder)


def test_the_command_line_takes_patterns_too(lakebed, sales):
    done = lakebed("sql", "SELECT count(*) AS n FROM sales", f"sales={sales}/2024-*.parquet", "--format", "csv")
    assert (done.returncode, done.stdout) == (0, "n\n6\n"), done.stderr
    done = lakebed("crawl", f"sales={sales}/2024-*.parquet", "--dry-run")
    assert done.returncode == 0 and "3 inspected" in done.stderr and "people" not in done.stdout, done.stderr
