"""The peer: what teams build by hand, FastAPI and DuckDB over Parquet files. Run with uvicorn, one worker a core."""

import json
import os
import time

import duckdb
from fastapi import FastAPI, HTTPException, Response

PAGES = os.environ["PEER_PAGES"]
app = FastAPI()
database = duckdb.connect()


@app.get("/query-parquet")
def query_parquet(statename: str, page: int = 1, page_size: int = 100):
    path = f"{PAGES}/{statename}.parquet"
    if not os.path.exists(path):
        raise HTTPException(404, "no such file")
    cursor = database.cursor()
    total = cursor.execute(f"SELECT count(*) FROM '{path}'").fetchone()[0]
    frame = cursor.execute(f"SELECT * FROM '{path}' LIMIT {page_size} OFFSET {(page - 1) * page_size}").df()
    body = f'{{"data":{frame.to_json(orient="records", date_format="iso")},"total_rows":{total},"page":{page},"page_size":{page_size}}}'
    return Response(body, media_type="application/json")


@app.post("/sql")
def sql(body: dict):
    cursor = database.cursor()
    started = time.perf_counter()
    result = cursor.execute(body["query"])
    kind = body.get("format", "json")
    if kind == "arrow":
        import pyarrow as pa

        table = result.to_arrow_table()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return Response(sink.getvalue().to_pybytes(), media_type="application/vnd.apache.arrow.stream")
    frame = result.df()
    if kind == "csv":
        return Response(frame.to_csv(index=False), media_type="text/csv")
    # pandas' own writer: several times faster than dictionaries through the framework, and NULLs of numbers survive.
    records = frame.to_json(orient="records", date_format="iso")
    head = {"columns": list(frame.columns), "execution_time_ms": (time.perf_counter() - started) * 1e3}
    return Response(f'{json.dumps(head)[:-1]},"results":{records}}}', media_type="application/json")
