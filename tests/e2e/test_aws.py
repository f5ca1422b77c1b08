"""AWS's own clients, boto3 and the AWS CLI, against the real binary."""

import concurrent.futures
import datetime
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import urllib.request

import boto3
import botocore.exceptions
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from harness import Pipeline, until

ACCOUNT = "000000000000"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/any"
KEY, SECRET = "AKIABOURNTEST", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
# Only the AWS's own settings of this run count, not those of whoever runs it.
os.environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull, AWS_EC2_METADATA_DISABLED="true")

FUNCTION = '''
import json, sys

def handler(event, context):
    if isinstance(event, dict) and event.get("fail"):
        raise ValueError(event["fail"])
    if isinstance(event, dict) and event.get("crash"):
        sys.exit(3)
    print("said by the function")
    custom = context.client_context.custom if context.client_context else None
    return {"event": event, "request": context.aws_request_id, "custom": custom}
'''

DOUBLE = {
    "StartAt": "Prepare",
    "States": {
        "Prepare": {"Type": "Pass", "Parameters": {"n.$": "$.n"}, "Next": "Call"},
        "Call": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": "echo", "Payload.$": "$"},
            "OutputPath": "$.Payload.event",
            "End": True,
        },
    },
}
PASS = {"StartAt": "P", "States": {"P": {"Type": "Pass", "Result": {"done": True}, "End": True}}}
WAIT = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 3600, "End": True}}}
FAIL = {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "Refused", "Cause": "too dear"}}}


def change(definition):
    definition.setdefault("functions", {})["echo"] = {"runtime": "python3", "handler": "app.handler"}


def pipeline(folder, alter=None, **options):
    def both(definition):
        change(definition)
        if alter is not None:
            alter(definition)

    made = Pipeline(folder, "flights", "flights", both, **options)
    (made.folder / "functions/echo").mkdir(parents=True, exist_ok=True)
    (made.folder / "functions/echo/app.py").write_text(FUNCTION)
    (made.folder / "workflows").mkdir(exist_ok=True)
    (made.folder / "workflows/double.asl.json").write_text(json.dumps(DOUBLE))
    return made


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    """A pipeline without keys that serves."""
    made = pipeline(tmp_path_factory.mktemp("aws") / "aws").start()
    try:
        yield made
    except BaseException:
        made.kill()
        raise
    made.stop()


def client(made, service, key="any", secret="any", **config):
    config = {"retries": {"max_attempts": 0}, "inject_host_prefix": False, "read_timeout": 90, **config}
    return boto3.client(
        service,
        endpoint_url=made.url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(**config),
    )


@pytest.fixture(scope="module")
def sfn(aws):
    return client(aws, "stepfunctions")


@pytest.fixture(scope="module")
def functions(aws):
    return client(aws, "lambda")


def cli(made, *arguments, ok=(0,), key="any", secret="any", **env):
    """Runs the AWS CLI; what it prints, parsed if it is JSON."""
    tool = shutil.which("aws", path=f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    settings = {
        "AWS_ENDPOINT_URL": made.url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        "AWS_PAGER": "",
    }
    done = subprocess.run(
        [tool, *arguments], capture_output=True, text=True, timeout=120, env={**os.environ, **settings, **env}
    )
    assert done.returncode in ok, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    if done.returncode != 0:
        return done.stderr
    return json.loads(done.stdout) if done.stdout.strip().startswith("{") else done.stdout


def create(sfn, name, definition, **more):
    made = sfn.create_state_machine(name=name, definition=json.dumps(definition), roleArn=ROLE, **more)
    return made["stateMachineArn"]


def ended(sfn, execution):
    """The execution's description once it has ended."""
    describe = lambda: (d := sfn.describe_execution(executionArn=execution))["status"] != "RUNNING" and d
    return until(describe, f"{execution} ends")


def refused(code, call, *arguments, **named):
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        call(*arguments, **named)
    error = raised.value
    assert error.response["Error"]["Code"] == code, error
    assert error.response["Error"]["Message"], error
    return error


# Lambda


def test_a_function_is_invoked(functions):
    answer = functions.invoke(FunctionName="echo", Payload=json.dumps({"a": [1, "ü"]}))
    assert answer["StatusCode"] == 200 and answer["ExecutedVersion"] == "$LATEST" and "FunctionError" not in answer
    payload = json.load(answer["Payload"])
    assert payload["event"] == {"a": [1, "ü"]}
    assert payload["request"] == answer["ResponseMetadata"]["RequestId"]
    arn = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:echo"
    for name in (arn, f"{arn}:$LATEST", f"{ACCOUNT}:function:echo", "echo:$LATEST"):
        assert json.load(functions.invoke(FunctionName=name, Payload=b"1")["Payload"])["event"] == 1, name
    assert json.load(functions.invoke(FunctionName="echo")["Payload"])["event"] == {}


def test_logs_context_and_errors_of_a_function_come_back(functions):
    import base64

    context = base64.b64encode(json.dumps({"custom": {"who": "me"}}).encode()).decode()
    answer = functions.invoke(FunctionName="echo", Payload=b"{}", LogType="Tail", ClientContext=context)
    assert b"said by the function" in base64.b64decode(answer["LogResult"])
    assert json.load(answer["Payload"])["custom"] == {"who": "me"}
    failed = functions.invoke(FunctionName="echo", Payload=b'{"fail": "no such carrier"}')
    assert (failed["StatusCode"], failed["FunctionError"]) == (200, "Handled")
    told = json.load(failed["Payload"])
    assert (told["errorType"], told["errorMessage"]) == ("ValueError", "no such carrier")
    crashed = functions.invoke(FunctionName="echo", Payload=b'{"crash": true}')
    assert crashed["FunctionError"] == "Unhandled" and json.load(crashed["Payload"])["errorMessage"]


def test_events_and_dry_runs_are_taken(functions):
    assert functions.invoke(FunctionName="echo", InvocationType="Event", Payload=b'{"a": 1}')["StatusCode"] == 202
    assert functions.invoke(FunctionName="echo", InvocationType="DryRun")["StatusCode"] == 204


def test_lambda_errors_raise_their_classes(functions):
    cases = [
        ("ResourceNotFoundException", {"FunctionName": "nobody"}),
        ("ResourceNotFoundException", {"FunctionName": "echo", "Qualifier": "live"}),
        ("InvalidRequestContentException", {"FunctionName": "echo", "Payload": b"{"}),
        ("RequestTooLargeException", {"FunctionName": "echo", "InvocationType": "Event", "Payload": b'"%s"' % (b"x" * (1 << 20))}),
        ("RequestTooLargeException", {"FunctionName": "echo", "Payload": b'"%s"' % (b"x" * (6 << 20))}),
    ]
    for code, call in cases:
        error = refused(code, functions.invoke, **call)
        assert isinstance(error, getattr(functions.exceptions, code))


def test_a_throttled_call_says_when_to_come_again(tmp_path):
    def one_at_a_time(definition):
        definition["functions"]["slow"] = {
            "runtime": "python3",
            "handler": "app.handler",
            "concurrency": {"max": 1},
        }

    made = pipeline(tmp_path / "throttled", one_at_a_time)
    (made.folder / "functions/slow").mkdir()
    # Answers when the test lets it, so that nobody has to guess how long it takes.
    (made.folder / "functions/slow/app.py").write_text(
        "import pathlib, time\n"
        "def handler(event, context):\n"
        "    pathlib.Path(event['began']).touch()\n"
        "    while not pathlib.Path(event['go']).exists():\n"
        "        time.sleep(0.01)\n"
        "    return 'done'\n"
    )
    began, go = tmp_path / "began", tmp_path / "go"
    payload = json.dumps({"began": str(began), "go": str(go)})
    with made.running(), concurrent.futures.ThreadPoolExecutor() as pool:
        functions = client(made, "lambda")
        first = pool.submit(functions.invoke, FunctionName="slow", Payload=payload)
        until(began.exists, "the function runs")
        try:
            error = refused("TooManyRequestsException", functions.invoke, FunctionName="slow", Payload=payload)
        finally:
            go.touch()
        assert isinstance(error, functions.exceptions.TooManyRequestsException)
        assert int(error.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) >= 1
        assert json.load(first.result(timeout=60)["Payload"]) == "done"


def test_functions_are_listed_and_described(functions):
    pages = functions.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 1})
    names = [function["FunctionName"] for page in pages for function in page["Functions"]]
    assert "echo" in names and names == sorted(set(names))
    configuration = functions.get_function(FunctionName="echo")["Configuration"]
    assert (configuration["Handler"], configuration["Timeout"]) == ("app.handler", 30)
    functions.get_waiter("function_active_v2").wait(FunctionName="echo")


# Step Functions


def test_a_workflow_of_the_folder_runs_with_its_history(aws, sfn):
    machines = {m["name"]: m for p in sfn.get_paginator("list_state_machines").paginate() for m in p["stateMachines"]}
    arn = machines["double"]["stateMachineArn"]
    assert arn == f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:double"
    described = sfn.describe_state_machine(stateMachineArn=arn)
    assert json.loads(described["definition"]) == DOUBLE
    assert (described["status"], described["type"]) == ("ACTIVE", "STANDARD")

    started = sfn.start_execution(stateMachineArn=arn, name="first", input='{"n": 21}')
    assert started["executionArn"] == f"arn:aws:states:us-east-1:{ACCOUNT}:execution:double:first"
    age = datetime.datetime.now(datetime.timezone.utc) - started["startDate"]
    assert abs(age.total_seconds()) < 300
    done = ended(sfn, started["executionArn"])
    assert done["status"] == "SUCCEEDED", done
    assert json.loads(done["output"]) == {"n": 21} and json.loads(done["input"]) == {"n": 21}
    assert done["stopDate"] >= done["startDate"]
    assert sfn.describe_state_machine_for_execution(executionArn=started["executionArn"])["name"] == "double"

    events = [
        event
        for page in sfn.get_paginator("get_execution_history").paginate(
            executionArn=started["executionArn"], PaginationConfig={"PageSize": 3}
        )
        for event in page["events"]
    ]
    assert [event["type"] for event in events] == [
        "ExecutionStarted",
        "PassStateEntered",
        "PassStateExited",
        "TaskStateEntered",
        "TaskScheduled",
        "TaskStarted",
        "TaskSucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ]
    assert [event["id"] for event in events] == list(range(1, 10))
    scheduled = events[4]["taskScheduledEventDetails"]
    assert (scheduled["resourceType"], scheduled["resource"]) == ("lambda", "invoke")
    assert json.loads(scheduled["parameters"]) == {"FunctionName": "echo", "Payload": {"n": 21}}
    assert json.loads(events[8]["executionSucceededEventDetails"]["output"]) == {"n": 21}
    backwards = sfn.get_execution_history(
        executionArn=started["executionArn"], reverseOrder=True, maxResults=2, includeExecutionData=False
    )
    assert [event["id"] for event in backwards["events"]] == [9, 8] and backwards["nextToken"]
    assert "output" not in backwards["events"][0]["executionSucceededEventDetails"]

    listed = sfn.list_executions(stateMachineArn=arn, statusFilter="SUCCEEDED")["executions"]
    assert [execution["name"] for execution in listed] == ["first"]


def test_a_machine_is_made_changed_tagged_and_deleted(sfn):
    arn = create(sfn, "made", PASS, tags=[{"key": "team", "value": "data"}])
    assert create(sfn, "made", PASS, tags=[{"key": "team", "value": "data"}]) == arn, "the same again is the same"
    refused("StateMachineAlreadyExists", create, sfn, "made", FAIL)
    first = sfn.describe_state_machine(stateMachineArn=arn)["revisionId"]
    assert sfn.update_state_machine(stateMachineArn=arn, definition=json.dumps(FAIL))["revisionId"] != first
    assert json.loads(sfn.describe_state_machine(stateMachineArn=arn)["definition"]) == FAIL
    sfn.tag_resource(resourceArn=arn, tags=[{"key": "cost", "value": "1"}])
    sfn.untag_resource(resourceArn=arn, tagKeys=["team"])
    assert sfn.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "cost", "value": "1"}]
    assert sfn.list_state_machine_versions(stateMachineArn=arn)["stateMachineVersions"] == []
    sfn.delete_state_machine(stateMachineArn=arn)
    gone = lambda: arn not in [m["stateMachineArn"] for m in sfn.list_state_machines()["stateMachines"]]
    until(gone, "the machine is deleted")


def test_executions_fail_stop_and_are_redriven(sfn):
    failing, waiting = create(sfn, "failing", FAIL), create(sfn, "waiting", WAIT)
    failed = ended(sfn, sfn.start_execution(stateMachineArn=failing)["executionArn"])
    assert (failed["status"], failed["error"], failed["cause"]) == ("FAILED", "Refused", "too dear")
    assert failed["redriveStatus"] == "REDRIVABLE"
    running = sfn.start_execution(stateMachineArn=waiting, name="w")["executionArn"]
    refused("ExecutionAlreadyExists", sfn.start_execution, stateMachineArn=waiting, name="w", input='{"other": 1}')
    refused("ExecutionNotRedrivable", sfn.redrive_execution, executionArn=running)
    sfn.stop_execution(executionArn=running, error="Enough", cause="said so")
    stopped = ended(sfn, running)
    assert (stopped["status"], stopped["error"], stopped["cause"]) == ("ABORTED", "Enough", "said so")
    assert sfn.redrive_execution(executionArn=running)["redriveDate"]
    again = sfn.describe_execution(executionArn=running)
    assert (again["status"], again["redriveCount"]) == ("RUNNING", 1)
    sfn.stop_execution(executionArn=running)


def test_express_machines_answer_at_once(aws, sfn, monkeypatch):
    arn = create(sfn, "express", DOUBLE, type="EXPRESS")
    answer = sfn.start_sync_execution(stateMachineArn=arn, input='{"n": 1}')
    assert (answer["status"], json.loads(answer["output"])) == ("SUCCEEDED", {"n": 1})
    assert answer["billingDetails"]["billedDurationInMilliseconds"] % 100 == 0
    standard = f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:double"
    refused("StateMachineTypeNotSupported", sfn.start_sync_execution, stateMachineArn=standard)

    # As SDKs send it that cannot leave out the prefix: to another host, which is this one too.
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: resolve(host.removeprefix("sync-"), *rest, **more))
    prefixed = client(aws, "stepfunctions", inject_host_prefix=True)
    assert prefixed.start_sync_execution(stateMachineArn=arn, input='{"n": 2}')["status"] == "SUCCEEDED"


def test_a_state_is_tried_by_itself(sfn):
    state = {"Type": "Pass", "Parameters": {"sum.$": "States.MathAdd($.a, 1)"}, "Next": "Other"}
    tested = sfn.test_state(definition=json.dumps(state), roleArn=ROLE, input='{"a": 1}', inspectionLevel="DEBUG")
    assert (tested["status"], json.loads(tested["output"]), tested["nextState"]) == ("SUCCEEDED", {"sum": 2}, "Other")
    assert json.loads(tested["inspectionData"]["input"]) == {"a": 1}


def test_definitions_are_validated(sfn):
    valid = sfn.validate_state_machine_definition(definition=json.dumps(PASS))
    assert (valid["result"], valid["diagnostics"]) == ("OK", [])
    faulty = sfn.validate_state_machine_definition(definition='{"States": {}}')
    assert faulty["result"] == "FAIL"
    assert "SCHEMA_VALIDATION_FAILED" in {diagnostic["code"] for diagnostic in faulty["diagnostics"]}
    error = refused("InvalidDefinition", create, sfn, "faulty", {"StartAt": "P"})
    assert "SCHEMA_VALIDATION_FAILED" in str(error)


def test_a_worker_takes_tasks_of_an_activity(sfn):
    activity = sfn.create_activity(name="approve")["activityArn"]
    assert activity == f"arn:aws:states:us-east-1:{ACCOUNT}:activity:approve"
    assert sfn.describe_activity(activityArn=activity)["name"] == "approve"
    task = {"Type": "Task", "Resource": activity, "HeartbeatSeconds": 3000, "End": True}
    machine = create(sfn, "asks", {"StartAt": "Ask", "States": {"Ask": task}})

    def answered(answer):
        execution = sfn.start_execution(stateMachineArn=machine, input='{"day": 1}')["executionArn"]
        taken = sfn.get_activity_task(activityArn=activity, workerName="me")
        assert json.loads(taken["input"]) == {"day": 1}
        sfn.send_task_heartbeat(taskToken=taken["taskToken"])
        answer(taken["taskToken"])
        return ended(sfn, execution), taken["taskToken"]

    done, token = answered(lambda token: sfn.send_task_success(taskToken=token, output='{"ok": true}'))
    assert json.loads(done["output"]) == {"ok": True}
    refused("TaskTimedOut", sfn.send_task_success, taskToken=token, output="{}")
    failed, _ = answered(lambda token: sfn.send_task_failure(taskToken=token, error="No", cause="dear"))
    assert (failed["status"], failed["error"], failed["cause"]) == ("FAILED", "No", "dear")
    sfn.delete_activity(activityArn=activity)


def test_a_person_answers_a_task_over_plain_http(aws, sfn):
    activity = sfn.create_activity(name="person")["activityArn"]
    machine = create(
        sfn, "person", {"StartAt": "Ask", "States": {"Ask": {"Type": "Task", "Resource": activity, "End": True}}}
    )
    execution = sfn.start_execution(stateMachineArn=machine)["executionArn"]
    token = urllib.request.quote(sfn.get_activity_task(activityArn=activity)["taskToken"], safe="")
    assert aws.request("POST", f"/v1/tasks/{token}/heartbeat").status == 200
    assert aws.request("POST", f"/v1/tasks/{token}/success", b"{").status == 400
    answer = aws.request("POST", f"/v1/tasks/{token}/success", b'{"approved_by": "mary"}')
    assert (answer.status, answer.json()) == (200, {"answered": "success"})
    assert json.loads(ended(sfn, execution)["output"]) == {"approved_by": "mary"}
    assert aws.request("POST", f"/v1/tasks/{token}/success").status == 410
    assert aws.request("POST", "/v1/tasks/nonsense/success").status in (400, 404)


def test_runs_of_a_distributed_map_are_told_of(sfn):
    each = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
    each["ProcessorConfig"] = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    many = {"Type": "Map", "ItemProcessor": each, "MaxConcurrency": 2, "Label": "Each", "End": True}
    machine = create(sfn, "many", {"StartAt": "Many", "States": {"Many": many}})
    execution = sfn.start_execution(stateMachineArn=machine, input="[1, 2, 3]")["executionArn"]
    assert json.loads(ended(sfn, execution)["output"]) == [1, 2, 3]
    (run,) = sfn.list_map_runs(executionArn=execution)["mapRuns"]
    described = sfn.describe_map_run(mapRunArn=run["mapRunArn"])
    assert (described["status"], described["maxConcurrency"]) == ("SUCCEEDED", 2)
    assert (described["itemCounts"]["total"], described["itemCounts"]["succeeded"]) == (3, 3)
    children = sfn.list_executions(mapRunArn=run["mapRunArn"])["executions"]
    assert len(children) == 3 and all(child["mapRunArn"] == run["mapRunArn"] for child in children)
    refused("ValidationException", sfn.update_map_run, mapRunArn=run["mapRunArn"], maxConcurrency=1)


def test_step_functions_errors_raise_their_classes(sfn):
    arn = f"arn:aws:states:us-east-1:{ACCOUNT}"
    cases = [
        ("StateMachineDoesNotExist", sfn.describe_state_machine, {"stateMachineArn": f"{arn}:stateMachine:none"}),
        ("StateMachineDoesNotExist", sfn.start_execution, {"stateMachineArn": f"{arn}:stateMachine:none"}),
        ("ExecutionDoesNotExist", sfn.describe_execution, {"executionArn": f"{arn}:execution:double:none"}),
        ("ExecutionDoesNotExist", sfn.get_execution_history, {"executionArn": f"{arn}:execution:double:none"}),
        ("ActivityDoesNotExist", sfn.describe_activity, {"activityArn": f"{arn}:activity:none"}),
        ("InvalidArn", sfn.describe_execution, {"executionArn": "nonsense"}),
        ("InvalidArn", sfn.describe_state_machine, {"stateMachineArn": f"{arn}:activity:double"}),
        ("InvalidArn", sfn.delete_state_machine, {"stateMachineArn": "nonsense"}),
        ("InvalidName", sfn.create_activity, {"name": "a b"}),
        ("InvalidName", sfn.create_state_machine, {"name": "a<b", "definition": json.dumps(PASS), "roleArn": ROLE}),
        ("InvalidDefinition", sfn.create_state_machine, {"name": "x", "definition": "{", "roleArn": ROLE}),
        ("InvalidExecutionInput", sfn.start_execution, {"stateMachineArn": f"{arn}:stateMachine:double", "input": "{"}),
        ("InvalidName", sfn.start_execution, {"stateMachineArn": f"{arn}:stateMachine:double", "name": "a b"}),
        ("InvalidToken", sfn.send_task_success, {"taskToken": "nonsense", "output": "{}"}),
        ("InvalidToken", sfn.list_state_machines, {"nextToken": "nonsense"}),
        ("ResourceNotFound", sfn.list_tags_for_resource, {"resourceArn": f"{arn}:stateMachine:none"}),
        ("ValidationException", sfn.list_executions, {}),
    ]
    for code, call, arguments in cases:
        error = refused(code, call, **arguments)
        assert isinstance(error, getattr(sfn.exceptions, code)), (code, arguments)
    refused("ValidationException", sfn.list_state_machines, maxResults=1001)
    refused("UnknownOperationException", sfn.publish_state_machine_version, stateMachineArn=f"{arn}:stateMachine:double")


# The AWS CLI


def test_the_cli_lines_of_the_docs_work(aws):
    assert "echo" in [function["FunctionName"] for function in cli(aws, "lambda", "list-functions")["Functions"]]
    out = aws.folder / "answer.json"
    answer = cli(aws, "lambda", "invoke", "--function-name", "echo", "--payload", '{"a": 1}', str(out))
    assert answer["StatusCode"] == 200 and json.loads(out.read_text())["event"] == {"a": 1}
    queued = cli(
        aws, "lambda", "invoke", "--function-name", "echo", "--invocation-type", "Event", "--payload", "{}", str(out)
    )
    assert queued["StatusCode"] == 202
    machine = f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:double"
    assert machine in [
        m["stateMachineArn"] for m in cli(aws, "stepfunctions", "list-state-machines")["stateMachines"]
    ]
    start = ("start-execution", "--state-machine-arn", machine, "--name", "by-cli", "--input", '{"n": 5}')
    execution = cli(aws, "stepfunctions", *start)["executionArn"]
    describe = lambda: cli(aws, "stepfunctions", "describe-execution", "--execution-arn", execution)
    until(lambda: describe()["status"] == "SUCCEEDED", "the execution succeeds")
    history = cli(aws, "stepfunctions", "get-execution-history", "--execution-arn", execution)
    assert history["events"][-1]["type"] == "ExecutionSucceeded"
    definition = f"file://{aws.folder}/workflows/double.asl.json"
    validated = cli(aws, "stepfunctions", "validate-state-machine-definition", "--definition", definition)
    assert validated["result"] == "OK"
    state = '{"Type": "Pass", "Result": 1, "End": true}'
    tested = cli(aws, "stepfunctions", "test-state", "--definition", state, "--inspection-level", "DEBUG")
    assert tested["output"] == "1"
    said = cli(aws, "lambda", "invoke", "--function-name", "nobody", str(out), ok=(254, 255))
    assert "ResourceNotFoundException" in said


# Who may call


def test_with_access_keys_every_call_is_signed(tmp_path):
    def keys(definition):
        definition["aws"] = {"keys": [{"id": KEY, "secret": "${env:BOURN_TEST_SECRET}"}]}

    made = pipeline(tmp_path / "signed", keys, env={"BOURN_TEST_SECRET": SECRET})
    with made.running():
        good = {"key": KEY, "secret": SECRET}
        assert client(made, "stepfunctions", **good).list_state_machines()["stateMachines"]
        functions = client(made, "lambda", **good)
        arn = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:echo"
        assert json.load(functions.invoke(FunctionName=arn, Qualifier="$LATEST", Payload=b"7")["Payload"])["event"] == 7
        assert cli(made, "stepfunctions", "list-state-machines", **good)["stateMachines"]
        address = functions.generate_presigned_url("list_functions", Params={"MaxItems": 1})
        assert json.load(urllib.request.urlopen(address, timeout=60))["Functions"]
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(address.replace("MaxItems=1", "MaxItems=2"), timeout=60)

        calls = {"stepfunctions": lambda c: c.list_state_machines(), "lambda": lambda c: c.list_functions()}
        for service, call in calls.items():
            refused("InvalidSignatureException", call, client(made, service, KEY, "wrong"))
            refused("UnrecognizedClientException", call, client(made, service, "AKIANOBODY", SECRET))
            refused("MissingAuthenticationTokenException", call, client(made, service, signature_version=UNSIGNED))
        said = cli(made, "lambda", "list-functions", key=KEY, secret="wrong", ok=(254, 255))
        assert "InvalidSignatureException" in said
        assert SECRET not in made.said()


def test_api_keys_without_access_keys_guard_aws_too(tmp_path):
    import hashlib

    def keys(definition):
        key = {"name": "all", "hash": f"sha256:{hashlib.sha256(b'open-sesame').hexdigest()}"}
        definition["server"] = {"keys": [key]}

    made = pipeline(tmp_path / "guarded", keys)
    with made.running():
        error = refused("AccessDeniedException", client(made, "stepfunctions").list_state_machines)
        assert "aws.keys" in str(error)
        refused("AccessDeniedException", client(made, "lambda").list_functions)
        headers = {
            "authorization": "Bearer open-sesame",
            "x-amz-target": "AWSStepFunctions.ListStateMachines",
            "content-type": "application/x-amz-json-1.0",
        }
        answer = made.request("POST", "/", b"{}", headers)
        assert answer.status == 200 and answer.json()["stateMachines"]
        assert made.request("POST", "/v1/tasks/token/success").status == 401
