"""Reads a Delta table with deltalake, duckdb and polars and holds each against the expected figures.

usage: read.py TABLE ROWS SUM_OF_OFFSETS
"""

import gzip
import importlib.util
import pathlib
import sys
import tempfile


def with_deltalake(path):
    from deltalake import DeltaTable

    table = DeltaTable(path).to_pyarrow_table(columns=["_offset"])
    return table.num_rows, sum(table.column("_offset").to_pylist())


def with_duckdb(path):
    import duckdb

    connection = duckdb.connect()
    package = pathlib.Path(importlib.util.find_spec("duckdb_extension_delta").origin).parent
    extension = next(package.rglob("*.duckdb_extension*"))
    if extension.suffix == ".gz":
        plain = pathlib.Path(tempfile.mkdtemp()) / extension.stem
        plain.write_bytes(gzip.decompress(extension.read_bytes()))
        extension = plain
    connection.execute(f"load '{extension}'")
    query = f"select count(*), sum(_offset)::bigint from delta_scan('{path}')"
    return connection.execute(query).fetchone()


def with_polars(path):
    import polars

    frame = polars.scan_delta(path).select(polars.len(), polars.col("_offset").sum()).collect()
    return frame.row(0)


def main():
    path, rows, total = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    failed = False
    for reader in (with_deltalake, with_duckdb, with_polars):
        name = reader.__name__.removeprefix("with_")
        try:
            got = tuple(reader(path))
        except Exception as error:
            got = repr(error)
        good = got == (rows, total)
        failed |= not good
        print(f"{name}: {got} {'ok' if good else f'expected {(rows, total)}'}")
    sys.exit(1 if failed else 0)


main()
