"""A stand-in for the service that knows the customers' loyalty cards.

    python3 loyalty.py            # listens on http://127.0.0.1:8690

GET /customers/C00001 answers {"tier": "gold"}. The tier follows from the month of the first purchase in
lookups/customers.csv.gz; a customer who is not in there has no card (404). With --fail, three requests out
of four are answered with 503, to watch the circuit breaker at work.
"""

import csv
import gzip
import itertools
import json
import pathlib
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TIERS = {"1997-01": "gold", "1997-02": "silver", "1997-03": "bronze"}
FOLDER = pathlib.Path(__file__).resolve().parent
REQUESTS = itertools.count()

with gzip.open(FOLDER / "lookups/customers.csv.gz", "rt") as file:
    CARDS = {row["customer_id"]: TIERS.get(row["cohort"][:7]) for row in csv.DictReader(file)}


class Loyalty(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        customer = self.path.rsplit("/", 1)[-1]
        if "--fail" in sys.argv and next(REQUESTS) % 4:
            self.answer(503, {"error": "try again later"})
        elif customer not in CARDS:
            self.answer(404, {"error": "no such customer"})
        else:
            self.answer(200, {"tier": CARDS[customer]})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", 8690), Loyalty).serve_forever()
