"""What schemathesis has to be told about our media types."""

import schemathesis


@schemathesis.serializer("application/sql")
def sql_text(context, value):
    return str(value).encode()


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    return str(value).encode()
