"""Calls AWS for the tests: one request per line on stdin, one answer per line on stdout.

A request has an `id`, an `endpoint`, a `service`, an `operation` of boto3 and its `parameters`. Its answer has the same
`id`, and either `ok` or `error` with `code` and `message`. Bytes are text, or {"$hex": ...} if they are not UTF-8.
{"$file": path} stands for the content of a file. Requests are answered in parallel and in any order.
"""

import datetime
import functools
import io
import json
import os
import re
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

OUTPUT_LOCK = threading.Lock()
CLIENT_LOCK = threading.Lock()
# Path style: the emulator does not resolve bucket names as hosts. Long timeout: a call waits for an invocation.
CONFIG = Config(
    s3={"addressing_style": "path"},
    retries={"total_max_attempts": 3},
    read_timeout=300,
    max_pool_connections=32,
    proxies={},
)


@functools.lru_cache(maxsize=None)
def create_client(endpoint, service, key, secret, token):
    with CLIENT_LOCK:
        return boto3.client(
            service,
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=CONFIG,
        )


def client(request, service):
    key, secret, token = (request.get("credentials") or ["test", "test", None])[:3]
    return create_client(request["endpoint"], service, key, secret, token)


def to_boto(value):
    """Converts a parameter to what boto3 expects."""
    if isinstance(value, dict):
        if "$file" in value:
            with open(value["$file"], "rb") as file:
                return file.read()
        if "$hex" in value:
            return bytes.fromhex(value["$hex"])
        return {name: to_boto(inner) for name, inner in value.items()}
    return [to_boto(inner) for inner in value] if isinstance(value, list) else value


def to_json(value):
    """Converts a value of an answer to JSON."""
    if hasattr(value, "read"):
        value = value.read()
    if isinstance(value, (bytes, bytearray)):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return {"$hex": bytes(value).hex()}
    if isinstance(value, dict):
        return {name: to_json(inner) for name, inner in value.items() if name != "ResponseMetadata"}
    if isinstance(value, (list, tuple, set)):
        return [to_json(inner) for inner in value]
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return value


def all_pages(request, service, operation, parameters):
    """Returns the values of a field from all pages of a list."""
    values = []
    for page in client(request, service).get_paginator(operation).paginate(**parameters):
        for name in request["pages"].split("."):
            page = page.get(name, [])
        values.extend(page)
    return values


def deploy(request, service, operation, parameters):
    """Creates a stack from a template that `sam build` wrote. Faster than `sam deploy`."""
    with open(parameters["template"]) as file:
        template = file.read()
    bucket = f"{parameters['stack']}-code"
    client(request, "s3").create_bucket(Bucket=bucket)
    directory = os.path.dirname(parameters["template"])
    for function in re.findall(r"CodeUri: (\w+)\n", template):
        body = zip_function(os.path.join(directory, function))
        client(request, "s3").put_object(Bucket=bucket, Key=function, Body=body)
        template = template.replace(f"CodeUri: {function}\n", f"CodeUri: s3://{bucket}/{function}\n")
    client(request, "s3").put_object(Bucket=bucket, Key="template", Body=template.encode())
    cloudformation = client(request, "cloudformation")
    cloudformation.create_stack(
        StackName=parameters["stack"],
        TemplateURL=f"{request['endpoint']}/{bucket}/template",
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value} for name, value in parameters["parameters"].items()
        ],
    )
    deadline = time.monotonic() + 120
    while True:
        stack = cloudformation.describe_stacks(StackName=parameters["stack"])["Stacks"][0]
        if stack["StackStatus"] == "CREATE_COMPLETE":
            return stack
        if not stack["StackStatus"].endswith("IN_PROGRESS") or time.monotonic() > deadline:
            events = cloudformation.describe_stack_events(StackName=parameters["stack"])["StackEvents"]
            raise RuntimeError(f"{stack['StackStatus']}: {[event.get('ResourceStatusReason') for event in events]}")
        time.sleep(0.1)


@functools.lru_cache(maxsize=None)
def zip_function_once(directory, modified_ns):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        with open(os.path.join(directory, "bootstrap"), "rb") as file:
            archive.writestr(entry, file.read())
    return buffer.getvalue()


def zip_function(directory):
    with ZIP_LOCK:
        return zip_function_once(directory, os.stat(os.path.join(directory, "bootstrap")).st_mtime_ns)


ZIP_LOCK = threading.Lock()


def template(request, service, operation, parameters):
    """Returns a template as JSON, with its short forms expanded."""
    from samtranslator.yaml_helper import yaml_parse

    with open(parameters["path"]) as file:
        return yaml_parse(file.read())


def signed(request, service, operation, parameters):
    """Returns headers that sign a GET request to a URL."""
    signed_request = AWSRequest("GET", parameters["url"])
    SigV4Auth(Credentials("test", "test"), parameters["service"], "us-east-1").add_auth(signed_request)
    return dict(signed_request.headers)


TEST_OPERATIONS = {"deploy": deploy, "template": template, "signed": signed}


def execute(request):
    service, operation = request["service"], request["operation"]
    parameters = to_boto(request["parameters"])
    if service == "tests":
        return TEST_OPERATIONS[operation](request, service, operation, parameters)
    if request.get("pages"):
        return all_pages(request, service, operation, parameters)
    return getattr(client(request, service), operation)(**parameters)


def handle_line(line):
    request = json.loads(line)
    try:
        result = {"ok": to_json(execute(request))}
    except ClientError as error:
        result = {"error": {"code": error.response["Error"].get("Code", ""), "message": str(error)}}
    except Exception as error:
        result = {"error": {"code": type(error).__name__, "message": str(error)}}
    with OUTPUT_LOCK:
        print(json.dumps({"id": request["id"], **result}, default=str), flush=True)


if __name__ == "__main__":
    with ThreadPoolExecutor(max_workers=16) as pool:
        for line in sys.stdin:
            pool.submit(handle_line, line)
