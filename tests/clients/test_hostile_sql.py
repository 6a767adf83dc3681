"""Statements that bring servers down elsewhere: each ends in a clear error within its deadline, and the next one answers."""

import time

import pytest

DEADLINE_SECONDS = 5

HOSTILE = {
    "long sum": ("SELECT " + "+".join(["1"] * 100_000), {"query_too_complex"}),
    "nested parentheses": ("SELECT " + "(" * 5_000 + "1" + ")" * 5_000, {"query_too_complex"}),
    "not not": ("SELECT " + "NOT " * 20_000 + "true", {"query_too_complex"}),
    "or chain": ("SELECT 1 WHERE " + " OR ".join(f"1={n}" for n in range(20_000)), {"query_too_complex"}),
    "huge series": ("SELECT generate_series(9876543210)", {"query_too_complex", "memory_exhausted", "invalid_query"}),
    "huge range": ("SELECT range(0, 9876543210)", {"query_too_complex", "memory_exhausted", "invalid_query"}),
    "huge string": ("SELECT repeat('x', 1000000000)", {"query_too_complex", "memory_exhausted", "invalid_query"}),
    "huge padding": ("SELECT rpad('a', 1073741824, 'a') FROM lineitem", {"query_too_complex", "memory_exhausted", "invalid_query"}),
    "huge list": ("SELECT array_repeat('x', 1000000000)", {"memory_exhausted"}),
    "huge text of many": ("SELECT length(string_agg(repeat(l_comment, 1000), '')) FROM lineitem", {"memory_exhausted", "deadline_exceeded"}),
    "huge pattern": ("SELECT regexp_like('a', '" + "a" * 20_000 + "')", {"query_too_complex"}),
    "pattern that grows": ("SELECT regexp_like('a', '((a{0,100}){0,100}){0,100}')", {"invalid_query", "invalid_value"}),
    "doubling": ("WITH c0 AS (SELECT 1 AS x), " + ", ".join(f"c{n} AS (SELECT a.x FROM c{n - 1} a, c{n - 1} b)" for n in range(1, 30))
                 + " SELECT count(*) FROM c29", {"query_too_complex"}),
    "window over everything": ("SELECT max(r) FROM (SELECT row_number() OVER (ORDER BY a.l_comment) AS r FROM lineitem a, region b, region c)",
                               {"deadline_exceeded", "memory_exhausted"}),
    "unnested": ("SELECT count(*) FROM (SELECT unnest(range(100000)) FROM lineitem)", {"deadline_exceeded", "memory_exhausted"}),
    "large constant": ("SELECT max(c) FROM (SELECT repeat('x', 50000000) || l_comment AS c FROM lineitem)",
                       {"deadline_exceeded", "memory_exhausted"}),
    "cross join": ("SELECT count(*) FROM lineitem a, lineitem b WHERE a.l_comment < b.l_comment", {"query_too_complex"}),
    "smaller cross join": ("SELECT count(*) FROM lineitem a, supplier b WHERE a.l_comment < b.s_comment", {"deadline_exceeded"}),
    "endless recursion": ("WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n FROM r) SELECT count(*) FROM r",
                          {"deadline_exceeded", "memory_exhausted"}),
    "copy to the system": ("COPY (SELECT 1) TO '/etc/x'", {"location_not_allowed"}),
    "read the system": ("SELECT * FROM '/etc/passwd'", {"location_not_allowed"}),
    "read by function": ("SELECT * FROM read_csv('/etc/passwd')", {"location_not_allowed"}),
    "read around a corner": ("SELECT * FROM read_csv('{tpch}/../../../../../../../../etc/passwd')", {"location_not_allowed"}),
    "memory setting": ("SET datafusion.runtime.memory_limit = '100G'", {"unsupported", "permission_denied", "invalid_query"}),
    "other host": ("SELECT * FROM 'http://169.254.169.254/latest/meta-data'", {"location_not_allowed", "invalid_request"}),
    "other bucket": ("SELECT * FROM read_parquet('s3://somebody-elses/data.parquet')", {"location_not_allowed"}),
    "external table": ("CREATE EXTERNAL TABLE p STORED AS CSV LOCATION '/etc/passwd'", {"location_not_allowed"}),
    "two statements": ("SELECT 1; DROP TABLE lineitem", {"invalid_query", "syntax_error", "unsupported"}),
}


@pytest.fixture(scope="module")
def server(tpch, tmp_path_factory):
    from conftest import Server

    server = Server(tmp_path_factory.mktemp("hostile"), f"{tpch}/",
                    environment={"LAKEBED_LIMITS_RUN_TIME": f"{DEADLINE_SECONDS}s"})
    yield server
    server.stop()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_statement(name, server, tpch):
    sql, codes = HOSTILE[name]
    started = time.monotonic()
    answer = server.sql(sql.replace("{tpch}", str(tpch)))
    took = time.monotonic() - started
    problem = answer.json() if answer.status_code >= 400 else answer.json().get("error", {})
    assert problem.get("code") in codes, f"{answer.status_code}: {answer.text[:500]}"
    assert problem.get("detail") and len(problem["detail"]) < 2_000
    assert took < DEADLINE_SECONDS + 3
    assert server.rows("SELECT 1 + 1 AS two") == [{"two": 2}]
    assert server.running_queries() == 0


def test_the_process_is_the_same_and_its_tables_are_there(server):
    assert server.process.poll() is None
    assert server.rows("SELECT count(*) AS n FROM lineitem") == [{"n": 6_001_215}]
