"""The peer: pyarrow's Flight server over DuckDB, streaming. A ticket is the text of a query over the Parquet files of a folder."""

import pathlib
import sys

import duckdb
import pyarrow.flight as flight

ROWS_OF_A_BATCH = 65_536


class Server(flight.FlightServerBase):
    def __init__(self, address, folder):
        super().__init__(address)
        self.database = duckdb.connect()
        for file in pathlib.Path(folder).glob("*.parquet"):
            self.database.sql(f"CREATE VIEW {file.stem} AS SELECT * FROM '{file}'")

    def do_get(self, context, ticket):
        result = self.database.cursor().sql(ticket.ticket.decode())
        return flight.RecordBatchStream(result.to_arrow_reader(ROWS_OF_A_BATCH))


Server(*sys.argv[1:]).serve()
