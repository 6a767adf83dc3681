"""Plain Arrow Flight: a client that knows nothing of Flight SQL, and what it gets."""

import pyarrow as pa
import pyarrow.flight as flight
import pyarrow.parquet as pq
import pytest

from certificates import Authority
from conftest import Server, run_lakebed, wait_until

ROWS = 50_000
SQL = "SELECT id, name FROM trips WHERE id < 100 ORDER BY id"


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    trips = pa.table({"id": pa.array(range(ROWS), pa.int64()), "name": [f"n{i}" for i in range(ROWS)]})
    pq.write_table(trips, folder / "trips.parquet")
    (folder / "cities.csv").write_text("city,people\nUlm,126000\nBonn,331000\n")
    return folder


@pytest.fixture(scope="module")
def server(lake, tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"), f"{lake}/")
    yield server
    server.stop()


@pytest.fixture
def client(server):
    with flight.connect(server.flight) as client:
        yield client


def read(client, info, options=None):
    options = options or flight.FlightCallOptions()
    tables = [client.do_get(endpoint.ticket, options).read_all() for endpoint in info.endpoints]
    assert all(table.schema.equals(info.schema, check_metadata=False) for table in tables)
    return pa.concat_tables(tables)


def test_sql_as_a_command(client):
    info = client.get_flight_info(flight.FlightDescriptor.for_command(SQL))
    assert info.schema.names == ["id", "name"]
    assert all(not endpoint.locations for endpoint in info.endpoints), "a client stays on its connection"
    assert read(client, info).to_pydict() == {"id": list(range(100)), "name": [f"n{i}" for i in range(100)]}


def test_sql_as_a_ticket(client):
    table = client.do_get(flight.Ticket(SQL.encode())).read_all()
    assert table["id"].to_pylist() == list(range(100))


def test_a_path_is_a_table(client):
    for path in (["trips"], ["default", "trips"], ["lakebed", "default", "trips"]):
        info = client.get_flight_info(flight.FlightDescriptor.for_path(*path))
        assert read(client, info).num_rows == ROWS
    with pytest.raises(KeyError, match="trps"):
        client.get_flight_info(flight.FlightDescriptor.for_path("trps"))


def test_the_schema_alone(client):
    for descriptor in (flight.FlightDescriptor.for_command(SQL), flight.FlightDescriptor.for_path("trips")):
        schema = client.get_schema(descriptor).schema
        assert schema.equals(client.get_flight_info(descriptor).schema)
        assert schema.names == ["id", "name"]


def test_the_tables_are_listed(client):
    listed = {tuple(info.descriptor.path): info for info in client.list_flights()}
    trips = next(info for path, info in listed.items() if path[-1] == b"trips")
    assert trips.schema.names == ["id", "name"]
    assert trips.total_records == ROWS
    assert read(client, client.get_flight_info(trips.descriptor)).num_rows == ROWS
    assert any(path[-1] == b"cities" for path in listed)


def test_actions_are_listed(client):
    actions = {action.type for action in client.list_actions()}
    assert {"CreatePreparedStatement", "ClosePreparedStatement", "CancelFlightInfo", "CloseSession"} <= actions


def test_errors_say_what_is_wrong(client):
    for sql, failure, words in (
        ("SELEC 1", pa.ArrowInvalid, "expected a statement"),
        ("SELECT * FROM trps", KeyError, "trps"),
        ("SELECT nothing FROM trips", pa.ArrowInvalid, "nothing"),
        ("UPDATE trips SET id = 1", pa.ArrowNotImplementedError, "UPDATE"),
    ):
        with pytest.raises(failure, match=words):
            client.get_flight_info(flight.FlightDescriptor.for_command(sql))
        with pytest.raises(failure, match=words):
            client.do_get(flight.Ticket(sql.encode())).read_all()
    with pytest.raises(pa.ArrowInvalid, match="zero"):
        client.do_get(flight.Ticket(b"SELECT 1 / (id - id) FROM trips")).read_all()
    with pytest.raises((pa.ArrowInvalid, flight.FlightUnauthorizedError)):
        client.do_get(flight.Ticket(b"\xff\xfe no text")).read_all()


def test_a_forged_ticket_opens_nothing(client):
    info = client.get_flight_info(flight.FlightDescriptor.for_command(SQL))
    ticket = bytearray(info.endpoints[0].ticket.ticket)
    ticket[-1] ^= 1
    with pytest.raises((flight.FlightUnauthorizedError, pa.ArrowInvalid, KeyError)):
        client.do_get(flight.Ticket(bytes(ticket))).read_all()


def test_a_reader_that_is_cancelled_frees_its_query(server, client):
    reader = client.do_get(flight.Ticket(b"SELECT a.id, b.id FROM trips a, trips b"))
    reader.read_chunk()
    assert server.running_queries() == 1
    reader.cancel()
    wait_until(lambda: server.running_queries() == 0, "the end of the query", seconds=60)


def test_writing_wants_a_statement(client):
    schema = pa.schema([("id", pa.int64())])
    with pytest.raises((pa.ArrowInvalid, pa.ArrowNotImplementedError, flight.FlightUnauthorizedError)):
        writer, reader = client.do_put(flight.FlightDescriptor.for_path("trips"), schema)
        writer.write_batch(pa.record_batch({"id": pa.array([1], pa.int64())}))
        writer.close()
    assert client.do_get(flight.Ticket(b"SELECT count(*) AS n FROM trips")).read_all()["n"][0].as_py() == ROWS


@pytest.fixture(scope="module")
def guarded(lake, tmp_path_factory):
    """A server with TLS and a key."""
    folder = tmp_path_factory.mktemp("guarded")
    authority = Authority(folder)
    certificate, private = authority.issue("server")
    made = run_lakebed("keys", "create", "root", "--role", "admin", "--data-dir", folder / "lakebed-data", cwd=folder)
    environment = {"LAKEBED_SERVER_TLS_CERT": str(certificate), "LAKEBED_SERVER_TLS_KEY": str(private)}
    server = Server(folder, f"{lake}/", environment=environment, ca=authority.ca)
    server.key, server.ca = made.stdout.strip(), authority.ca
    yield server
    server.stop()


def test_a_key_and_tls(guarded):
    with flight.connect(guarded.flight, tls_root_certs=guarded.ca.read_bytes()) as client:
        with pytest.raises(flight.FlightUnauthenticatedError):
            client.do_get(flight.Ticket(SQL.encode())).read_all()
        with pytest.raises(flight.FlightUnauthenticatedError):
            client.authenticate_basic_token("anyone", "wrong")
        token = client.authenticate_basic_token("anyone", guarded.key)
        assert token[0] == b"authorization" and token[1].startswith(b"Bearer ")
        options = flight.FlightCallOptions(headers=[token])
        assert client.do_get(flight.Ticket(SQL.encode()), options).read_all().num_rows == 100
        options = flight.FlightCallOptions(headers=[(b"authorization", b"Bearer " + guarded.key.encode())])
        assert client.do_get(flight.Ticket(SQL.encode()), options).read_all().num_rows == 100
    with flight.connect(guarded.flight.replace("grpc+tls", "grpc")) as plain, pytest.raises(pa.ArrowException):
        plain.do_get(flight.Ticket(SQL.encode())).read_all()
