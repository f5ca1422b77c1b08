"""A proxy between Bourn and its object store that answers late, wrongly, by half, or not at all."""

import collections
import http.client
import http.server
import random
import socket
import threading
import time

FAULTS = ("slow", "500", "503", "409", "cut before", "cut after")


class FaultProxy:
    """Forwards to `upstream`; every request asks `plan` first.

    `share` of the requests fail, by a seeded choice of `FAULTS`; "cut after" is the worst one: the
    store has done what was asked, and the client does not learn of it. 409 is for PUTs only, as a
    store answers it to two conditional puts at once. While `down`, connections are closed at once.
    """

    def __init__(self, upstream, seed=7):
        self.upstream, self.random = upstream, random.Random(seed)
        self.share, self.down = 0.0, False
        self.injected = collections.Counter()
        self.lock = threading.Lock()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def choose(self, method):
        with self.lock:
            if self.down:
                fault = "down"
            elif self.random.random() >= self.share:
                return None
            else:
                fault = self.random.choice(FAULTS)
                if fault == "409" and method != "PUT":
                    fault = "503"
            self.injected[fault] += 1
            return fault

    def _handler(proxy):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                fault = proxy.choose(self.command)
                if fault == "slow":
                    time.sleep(1.5)  # the fault itself
                elif fault in ("500", "503", "409"):
                    return self.answer(int(fault), {"content-type": "application/xml"}, ERROR)
                elif fault in ("cut before", "down"):
                    return self.cut()
                status, headers, content = self.forward(body)
                if fault == "cut after":
                    return self.cut()
                self.answer(status, headers, content)

            def forward(self, body):
                connection = http.client.HTTPConnection(proxy.upstream, timeout=60)
                try:
                    headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
                    connection.request(self.command, self.path, body or None, headers)
                    answer = connection.getresponse()
                    return answer.status, dict(answer.getheaders()), answer.read()
                finally:
                    connection.close()

            def answer(self, status, headers, content):
                self.send_response_only(status)
                length = str(len(content))
                for name, value in headers.items():
                    if name.lower() == "content-length" and self.command == "HEAD":
                        length = value
                    elif name.lower() not in HOP:
                        self.send_header(name, value)
                if status != 204:
                    self.send_header("content-length", length)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            def cut(self):
                self.close_connection = True
                try:
                    self.connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

            def log_message(self, *_):
                pass

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

        return Handler


HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "te", "upgrade"}
ERROR = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>injected</Message></Error>"
