"""Loads a Python handler and runs it behind the AWS Lambda Runtime API.

Written by Bourn at start; changes are overwritten. Needs Python 3.8 and nothing else.
"""

import asyncio
import datetime
import decimal
import importlib
import inspect
import json
import logging
import os
import socket
import sys
import time
import traceback

ROOT = os.environ["LAMBDA_TASK_ROOT"]
HOST = os.environ["AWS_LAMBDA_RUNTIME_API"]
BASE = "/2018-06-01/runtime"


class Connection:
    """Just enough HTTP/1.1 for one server that always sends Content-Length."""

    def __init__(self):
        host, port = HOST.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb", 65536)

    def call(self, method, path, body=b"", headers=()):
        lines = ["%s %s%s HTTP/1.1" % (method, BASE, path), "Host: " + HOST]
        lines += ["%s: %s" % pair for pair in headers]
        if method == "POST":
            lines.append("Content-Length: %d" % len(body))
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        self.socket.sendall(head + body)
        status = int(self.reader.readline().split(b" ", 2)[1])
        answer = {}
        while True:
            line = self.reader.readline()
            if line in (b"\r\n", b""):
                break
            name, _, value = line.decode("utf-8", "replace").partition(":")
            answer[name.strip().lower()] = value.strip()
        return status, answer, self.reader.read(int(answer.get("content-length", 0)))


class CognitoIdentity:
    def __init__(self, data):
        self.cognito_identity_id = data.get("cognitoIdentityId")
        self.cognito_identity_pool_id = data.get("cognitoIdentityPoolId")


class Client:
    def __init__(self, data):
        self.installation_id = data.get("installation_id")
        self.app_title = data.get("app_title")
        self.app_version_name = data.get("app_version_name")
        self.app_version_code = data.get("app_version_code")
        self.app_package_name = data.get("app_package_name")


class ClientContext:
    def __init__(self, data):
        self.custom = data.get("custom")
        self.env = data.get("env")
        self.client = Client(data["client"]) if isinstance(data.get("client"), dict) else None


class Context:
    """What a handler is told about its invocation."""

    def __init__(self, headers):
        self.aws_request_id = headers["lambda-runtime-aws-request-id"]
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn")
        self._deadline_ms = int(headers.get("lambda-runtime-deadline-ms", 0))
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        client = headers.get("lambda-runtime-client-context")
        self.client_context = ClientContext(json.loads(client)) if client else None
        identity = headers.get("lambda-runtime-cognito-identity")
        self.identity = CognitoIdentity(json.loads(identity) if identity else {})

    def get_remaining_time_in_millis(self):
        return max(self._deadline_ms - int(time.time() * 1000), 0)

    def log(self, message):
        sys.stdout.write(str(message))


class LogFormatter(logging.Formatter):
    converter = time.gmtime
    request_id = ""

    def format(self, record):
        record.aws_request_id = LogFormatter.request_id
        return super().format(record)


class Fault(Exception):
    """A failure of the handler's surroundings, with AWS's name for it."""

    def __init__(self, kind, message, stack=()):
        super().__init__(message)
        self.kind, self.message, self.stack = kind, message, list(stack)


def failure(error, skip):
    if isinstance(error, Fault):
        return {"errorMessage": error.message, "errorType": error.kind, "stackTrace": error.stack}
    frames = traceback.extract_tb(error.__traceback__)
    while frames and frames[0].filename == skip:
        frames = frames[1:]
    stack = traceback.format_list(frames)
    return {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": stack}


def plain(value):
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)


def to_json(value):
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=plain)
        return text.encode("utf-8")
    except Exception as error:
        raise Fault("Runtime.MarshalError", "Unable to marshal response: %s" % error)


def load(handler):
    if "." not in handler:
        raise Fault("Runtime.MalformedHandlerName", "Bad handler '%s': not enough values to unpack" % handler)
    path, name = handler.rsplit(".", 1)
    module_name = path.replace("/", ".")
    sys.path.insert(0, ROOT)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        message = "Unable to import module '%s': %s" % (path, error)
        raise Fault("Runtime.ImportModuleError", message, failure(error, __file__)["stackTrace"])
    except SyntaxError as error:
        message = "Syntax error in module '%s': %s" % (path, error)
        stack = ['  File "%s" Line %s\n    %s' % (error.filename, error.lineno, error.text)]
        raise Fault("Runtime.UserCodeSyntaxError", message, stack)
    if not hasattr(module, name):
        raise Fault("Runtime.HandlerNotFound", "Handler '%s' missing on module '%s'" % (name, path))
    return getattr(module, name)


def tell(report, request_id=""):
    line = "[ERROR] %s: %s" % (report["errorType"], report["errorMessage"])
    stack = "".join(report["stackTrace"])
    print(line + ("\nTraceback (most recent call last):\n" + stack.rstrip("\n") if stack else ""), flush=True)


def set_up_logging():
    handler = logging.StreamHandler(sys.stdout)
    form = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s"
    handler.setFormatter(LogFormatter(form, "%Y-%m-%dT%H:%M:%S"))
    logging.getLogger().addHandler(handler)


def run(handler, event, context, loop):
    result = handler(event, context)
    if inspect.isawaitable(result):
        if loop[0] is None:
            loop[0] = asyncio.new_event_loop()
            asyncio.set_event_loop(loop[0])

        async def finish():
            return await result

        result = loop[0].run_until_complete(finish())
    return result


def serve(connection, handler):
    loop = [None]
    while True:
        status, headers, body = connection.call("GET", "/invocation/next")
        if status != 200:
            sys.exit("the next event was refused with status %d: %s" % (status, body.decode("utf-8", "replace")))
        request_id = headers["lambda-runtime-aws-request-id"]
        LogFormatter.request_id = request_id
        trace = headers.get("lambda-runtime-trace-id")
        if trace:
            os.environ["_X_AMZN_TRACE_ID"] = trace
        place, kind = "/invocation/%s/response" % request_id, ()
        try:
            try:
                event = json.loads(body)
            except ValueError as error:
                raise Fault("Runtime.UnmarshalError", "Unable to unmarshal input: %s" % error)
            answer = to_json(run(handler, event, Context(headers), loop))
        except Exception as error:
            report = failure(error, __file__)
            report["requestId"] = request_id
            tell(report)
            answer = json.dumps(report).encode("utf-8")
            place = "/invocation/%s/error" % request_id
            kind = (("Lambda-Runtime-Function-Error-Type", report["errorType"]),)
        sys.stdout.flush()
        sys.stderr.flush()
        connection.call("POST", place, answer, kind)


def main():
    set_up_logging()
    connection = Connection()
    try:
        handler = load(os.environ.get("_HANDLER", ""))
    except (Exception, SystemExit) as error:
        report = failure(error, __file__)
        tell(report)
        kind = (("Lambda-Runtime-Function-Error-Type", report["errorType"]),)
        connection.call("POST", "/init/error", json.dumps(report).encode("utf-8"), kind)
        sys.exit(1)
    serve(connection, handler)


# The handler's module must not find this one as `__main__`'s leftovers: only `main` runs here.
if __name__ == "__main__":
    sys.path.pop(0)
    main()
