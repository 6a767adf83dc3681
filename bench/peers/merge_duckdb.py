"""The peer of a merge: DuckDB sorts files into one, in a process of its own. Prints seconds and the most memory that it had."""

import json
import pathlib
import resource
import sys
import time

import duckdb

listed, folder, memory = sys.argv[1:]
files = pathlib.Path(listed).read_text().splitlines()
database = duckdb.connect(config={"memory_limit": memory, "temp_directory": folder})
started = time.perf_counter()
database.execute(
    f"COPY (SELECT * FROM read_parquet({files}, hive_partitioning = false) ORDER BY ts) TO '{folder}/sorted.parquet' "
    "(FORMAT parquet, COMPRESSION snappy)"
)
seconds = time.perf_counter() - started
print(json.dumps({"seconds": seconds, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
