"""The command line as a new user meets it."""

import json
import os
import re
import shlex
import signal
import subprocess

import pyarrow.parquet as pq

from conftest import BINARY, clean_environment, free_port, wait_until


def test_the_three_commands_of_the_demo_work(tmp_path):
    address = f"127.0.0.1:{free_port()}"
    log = tmp_path / "log"
    with open(log, "wb") as stderr:
        demo = subprocess.Popen([BINARY, "demo", "--rows", "20000", "--http", address], cwd=tmp_path,
                                env=clean_environment(), stderr=stderr)
    try:
        wait_until(lambda: "Stop with Ctrl-C" in log.read_text(), "the demo")
        commands = [line.strip() for line in log.read_text().splitlines() if re.match(r"\s+(curl |\S*lakebed\S* sql )", line)]
        assert len(commands) == 3, log.read_text()
        for command in commands:
            done = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=60, env=clean_environment())
            assert done.returncode == 0, f"{command}\n{done.stderr}"
            assert len(done.stdout.splitlines()) >= 1 and '"code"' not in done.stdout, done.stdout
    finally:
        demo.send_signal(signal.SIGINT)
        assert demo.wait(40) == 0


def test_exit_codes_and_streams(lakebed, tmp_path):
    (tmp_path / "t.csv").write_text("a\n1\n")
    good = lakebed("sql", "SELECT a + 1 AS b FROM t", "t.csv", "--format", "csv")
    assert (good.returncode, good.stdout) == (0, "b\n2\n"), good.stderr
    failed = lakebed("sql", "SELECT nothing FROM t", "t.csv", "--format", "csv")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "nothing" in failed.stderr
    wrong = lakebed("sql", "SELECT 1", "--format", "yaml")
    assert wrong.returncode == 2


def test_unknown_settings_name_the_nearest(lakebed, tmp_path):
    (tmp_path / "lakebed.toml").write_text("[server]\nhtpp = '127.0.0.1:1'\n")
    done = lakebed("sql", "SELECT 1")
    assert done.returncode == 2
    assert "server.htpp" in done.stderr and "server.http" in done.stderr
    (tmp_path / "lakebed.toml").unlink()
    assert lakebed("sql", "SELECT 1", environment={"LAKEBED_QUERY_MEMORI": "1GB"}).returncode == 2


def test_wide_results_fit_the_terminal_and_say_what_they_leave_out(lakebed):
    assert lakebed("generate", "--dataset", "billing", "--rows", "500", "--output", "billing.parquet").returncode == 0
    done = lakebed("sql", "SELECT * FROM billing", "billing.parquet")
    assert done.returncode == 0, done.stderr
    assert "500 rows (40 shown)" in done.stderr


def test_generated_data_is_the_same_each_time(lakebed, tmp_path):
    for name in ("one", "two"):
        assert lakebed("generate", "--rows", "5000", "--output", f"{name}.csv").returncode == 0
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    assert lakebed("generate", "--dataset", "billing", "--rows", "100", "--output", "b.parquet").returncode == 0
    assert len(pq.read_schema(tmp_path / "b.parquet").names) == 93


def test_output_files_appear_whole_or_not_at_all(lakebed, tmp_path):
    (tmp_path / "t.csv").write_text("a\n" + "1\n" * 300_000 + "x1\n")
    done = lakebed("sql", "SELECT 10 / (a - a) FROM t", "t.csv", "--format", "parquet", "--output", "out.parquet")
    assert done.returncode == 1
    assert [name for name in os.listdir(tmp_path) if "out" in name] == []


def test_estimate_reads_no_data(lakebed, tpch):
    done = lakebed("sql", "SELECT sum(l_quantity) FROM lineitem", f"{tpch}/", "--estimate")
    assert done.returncode == 0, done.stderr
    columns = dict(zip(*[line.split("\t") for line in done.stdout.splitlines()[:2]]))
    assert columns["rows"] == "6001215" and columns["columns"] == "1"
    quantity = sum(
        pq.ParquetFile(tpch / "lineitem.parquet").metadata.row_group(group).column(4).total_compressed_size
        for group in range(pq.ParquetFile(tpch / "lineitem.parquet").metadata.num_row_groups)
    )
    assert int(columns["bytes"]) == quantity


def test_two_servers_on_one_data_folder(serve, lakebed):
    server = serve()
    folder = server.log.parent / "lakebed-data"
    second = lakebed("serve", "--data-dir", folder, "--http", f"127.0.0.1:{free_port()}", timeout=20)
    assert second.returncode == 1
    assert f"process {server.process.pid} uses" in second.stderr and str(folder) in second.stderr


def test_asking_a_server(serve, lakebed, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,x\n2,y\n")
    server = serve(f"{tmp_path}/t.csv")
    shown = lakebed("sql", "SELECT * FROM t ORDER BY a", "--url", server.url)
    assert shown.returncode == 0 and "BIGINT" in shown.stdout, shown.stderr
    lines = lakebed("sql", "SELECT * FROM t ORDER BY a", "--url", server.url, "--format", "ndjson").stdout
    assert [json.loads(line) for line in lines.splitlines()] == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    failed = lakebed("sql", "SELECT c FROM t", "--url", server.url)
    assert failed.returncode == 1 and "c" in failed.stderr
    away = lakebed("sql", "SELECT 1", "--url", f"http://127.0.0.1:{free_port()}")
    assert away.returncode == 1 and "no answer" in away.stderr
