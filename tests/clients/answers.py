"""Comparing answers of two engines: exact where both are, within rounding where a type differs."""

import datetime
import decimal
import math
import pathlib

TPCH_TABLES = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"]
QUERIES = {
    int(file.stem[1:]): file.read_text()
    for file in sorted((pathlib.Path(__file__).parents[2] / "bench/tpch").glob("q*.sql"))
}
RELATIVE = 1e-9


def plain(value):
    """A value in the terms of both engines: numbers as float or int, times without a zone."""
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def same(ours, theirs):
    if isinstance(ours, decimal.Decimal) and isinstance(theirs, float):
        # An average or quotient of decimals stays a decimal here and is a double there: equal to our last digit.
        last_digit = 10.0 ** ours.as_tuple().exponent
        return math.isclose(float(ours), theirs, rel_tol=RELATIVE, abs_tol=last_digit)
    ours, theirs = plain(ours), plain(theirs)
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)) and not isinstance(ours, bool):
        return math.isclose(ours, theirs, rel_tol=RELATIVE, abs_tol=1e-9)
    return ours == theirs


def assert_same_rows(ours, theirs, what):
    """Row by row, in order."""
    assert len(ours) == len(theirs), f"{what}: {len(ours)} rows, expected {len(theirs)}"
    for number, (our_row, their_row) in enumerate(zip(ours, theirs)):
        assert len(our_row) == len(their_row), f"{what}: row {number} has other columns"
        for our_value, their_value in zip(our_row, their_row):
            assert same(our_value, their_value), f"{what}: row {number}: {our_row} is not {their_row}"


def rows_of(table):
    """The rows of an Arrow table as tuples."""
    return list(zip(*[column.to_pylist() for column in table.columns])) if table.num_columns else []
