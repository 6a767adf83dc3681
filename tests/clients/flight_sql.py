"""Flight SQL's messages, written and read by hand: what a client sends that has no Python library of its own."""

import pyarrow as pa
import pyarrow.flight as flight

TYPE = "type.googleapis.com/arrow.flight.protocol.sql."


def varint(number):
    out = bytearray()
    number &= 2**64 - 1
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def message(fields):
    """`{number: value}` as protobuf; a list repeats its field, None leaves it out."""
    out = b""
    for number, value in fields.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str):
                item = item.encode()
            if isinstance(item, bytes):
                out += varint(number << 3 | 2) + varint(len(item)) + item
            elif item is not None:
                out += varint(number << 3) + varint(int(item))
    return out


def fields_of(data):
    """`{number: [values]}` of a message: integers, and bytes."""
    found, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = number()
        if key & 7 == 0:
            value = number()
        elif key & 7 == 1:
            value, at = data[at:at + 8], at + 8
        else:
            size = number()
            value, at = data[at:at + size], at + size
        found.setdefault(key >> 3, []).append(value)
    return found


def wrapped(name, fields):
    """A message of Flight SQL in its envelope."""
    return message({1: TYPE + name, 2: message(fields) or None})


def unwrapped(data, name):
    """The fields of a message in its envelope."""
    envelope = fields_of(data)
    assert envelope[1] == [(TYPE + name).encode()]
    return fields_of(envelope.get(2, [b""])[0])


def descriptor(name, fields=None):
    return flight.FlightDescriptor.for_command(wrapped(name, fields or {}))


def ask(client, name, fields=None, options=None):
    """Runs a command and reads all endpoints; the schema that was promised is the one that comes."""
    options = options or flight.FlightCallOptions()
    info = client.get_flight_info(descriptor(name, fields), options)
    tables = [client.do_get(endpoint.ticket, options).read_all() for endpoint in info.endpoints]
    for table in tables:
        assert table.schema.equals(info.schema, check_metadata=False), f"{info.schema} is not {table.schema}"
    return pa.concat_tables(tables) if tables else info.schema.empty_table()


class Cookies(flight.ClientMiddlewareFactory):
    """Sends back the cookies that a server sets, as drivers do."""

    def __init__(self):
        self.jar = {}

    def start_call(self, info):
        return _CookieCall(self.jar)


class _CookieCall(flight.ClientMiddleware):
    def __init__(self, jar):
        self.jar = jar

    def sending_headers(self):
        return {"cookie": "; ".join(f"{name}={value}" for name, value in self.jar.items())} if self.jar else {}

    def received_headers(self, headers):
        for line in headers.get("set-cookie", []):
            name, _, value = line.split(";")[0].partition("=")
            self.jar[name] = value
