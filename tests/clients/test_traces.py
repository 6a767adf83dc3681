"""Spans reach a collector: of the request below its caller's, of planning and the query, with what the operators did."""

import socket
import threading

import h2.config
import h2.connection
import h2.events
import requests


EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Collector:
    """Takes what is exported over gRPC, and keeps the messages."""

    def __init__(self):
        self.messages = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def _serve(self, stream):
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        paths, bodies = {}, {}
        while True:
            stream.sendall(connection.data_to_send())
            received = stream.recv(65536)
            if not received:
                return
            for event in connection.receive_data(received):
                if isinstance(event, h2.events.RequestReceived):
                    paths[event.stream_id] = dict(event.headers)[b":path"].decode()
                elif isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    self.messages.append((paths[event.stream_id], bodies[event.stream_id]))
                    connection.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
                    connection.send_data(event.stream_id, b"\0\0\0\0\0")
                    connection.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)


def test_a_query_is_traced_from_its_caller_to_its_operators(serve, tpch):
    collector = Collector()
    server = serve(f"{tpch}/nation.parquet", environment={"LAKEBED_TRACES_ENDPOINT": collector.url})
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    answer = requests.post(
        server.url + "/v1/sql", headers=headers, timeout=60,
        json={"query": "SELECT n_regionkey, count(*) FROM nation GROUP BY 1"},
    )
    assert answer.status_code == 200, answer.text
    server.stop()

    assert collector.messages and {path for path, _ in collector.messages} == {EXPORT}
    sent = b"".join(body for _, body in collector.messages)
    assert bytes.fromhex(trace) in sent, "the caller's trace goes on"
    assert answer.headers["x-query-id"].encode() in sent
    for name in (b"POST /v1/sql", b"plan", b"query", b"operator", b"AggregateExec", b"DataSourceExec", b"succeeded"):
        assert name in sent, name


def test_a_collector_that_is_not_there_holds_nothing_up(serve, tpch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    server = serve(f"{tpch}/nation.parquet", environment={"LAKEBED_TRACES_ENDPOINT": f"http://127.0.0.1:{port}"})
    assert server.rows("SELECT count(*) AS n FROM nation") == [{"n": 25}]
    assert server.stop() == 0


def test_an_endpoint_that_is_no_url_is_said(lakebed):
    done = lakebed("serve", environment={"LAKEBED_TRACES_ENDPOINT": "collector"}, timeout=20)
    assert done.returncode == 2
    assert "traces.endpoint" in done.stderr and "http://127.0.0.1:4317" in done.stderr
