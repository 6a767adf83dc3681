"""Reads the stream of a ticket to its end once for each line on stdin, and answers with rows and bytes."""

import sys

import pyarrow.flight as flight

url, query = sys.argv[1:]
with flight.connect(url) as client:
    print("ready", flush=True)
    for _ in sys.stdin:
        rows = size = 0
        for chunk in client.do_get(flight.Ticket(query.encode())):
            rows += chunk.data.num_rows
            size += chunk.data.get_total_buffer_size()
        print(rows, size, flush=True)
