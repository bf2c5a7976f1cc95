"""Calls AWS for the tests: a question a line on the input, an answer a line on the output.

A question has an `id`, an `endpoint`, a `service`, an `operation` of boto3 and its `parameters`; its answer has the
`id` and either `ok` or `error` with `code` and `message`. Bytes are text, or {"$hex": ...} where they are none;
{"$file": path} stands for a file's content. Questions are answered at the same time and in any order.
"""

import datetime
import functools
import io
import json
import os
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

OUTPUT = threading.Lock()
CLIENTS = threading.Lock()
# Path style: a bucket's name is no host here. Long answers: an invocation is waited for.
CONFIG = Config(
    s3={"addressing_style": "path"},
    retries={"total_max_attempts": 3},
    read_timeout=300,
    max_pool_connections=32,
    proxies={},
)


@functools.lru_cache(maxsize=None)
def made(endpoint, service, key, secret, token):
    with CLIENTS:
        return boto3.client(
            service,
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=CONFIG,
        )


def client(question, service):
    key, secret, token = (question.get("credentials") or ["test", "test", None])[:3]
    return made(question["endpoint"], service, key, secret, token)


def taken(value):
    """A parameter as boto3 takes it."""
    if isinstance(value, dict):
        if "$file" in value:
            with open(value["$file"], "rb") as file:
                return file.read()
        if "$hex" in value:
            return bytes.fromhex(value["$hex"])
        return {name: taken(inner) for name, inner in value.items()}
    return [taken(inner) for inner in value] if isinstance(value, list) else value


def given(value):
    """A value of an answer as JSON takes it."""
    if hasattr(value, "read"):
        value = value.read()
    if isinstance(value, (bytes, bytearray)):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return {"$hex": bytes(value).hex()}
    if isinstance(value, dict):
        return {name: given(inner) for name, inner in value.items() if name != "ResponseMetadata"}
    if isinstance(value, (list, tuple, set)):
        return [given(inner) for inner in value]
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return value


def everything(question, service, operation, parameters):
    """What a field of a list holds, on all pages."""
    found = []
    for page in client(question, service).get_paginator(operation).paginate(**parameters):
        for name in question["pages"].split("."):
            page = page.get(name, [])
        found.extend(page)
    return found


def deploy(question, service, operation, parameters):
    """Creates a stack of a template that `sam build` made, without the waiting of `sam deploy`."""
    with open(parameters["template"]) as file:
        template = file.read()
    bucket = f"{parameters['stack']}-code"
    client(question, "s3").create_bucket(Bucket=bucket)
    place = os.path.dirname(parameters["template"])
    for function in ("CollectFunction", "AggregateFunction", "ApiFunction"):
        client(question, "s3").put_object(Bucket=bucket, Key=function, Body=zipped(os.path.join(place, function)))
        template = template.replace(f"CodeUri: {function}\n", f"CodeUri: s3://{bucket}/{function}\n")
    client(question, "s3").put_object(Bucket=bucket, Key="template", Body=template.encode())
    formation = client(question, "cloudformation")
    formation.create_stack(
        StackName=parameters["stack"],
        TemplateURL=f"{question['endpoint']}/{bucket}/template",
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value} for name, value in parameters["parameters"].items()
        ],
    )
    until = time.monotonic() + 120
    while True:
        stack = formation.describe_stacks(StackName=parameters["stack"])["Stacks"][0]
        if stack["StackStatus"] == "CREATE_COMPLETE":
            return stack
        if not stack["StackStatus"].endswith("IN_PROGRESS") or time.monotonic() > until:
            events = formation.describe_stack_events(StackName=parameters["stack"])["StackEvents"]
            raise RuntimeError(f"{stack['StackStatus']}: {[event.get('ResourceStatusReason') for event in events]}")
        time.sleep(0.1)


@functools.lru_cache(maxsize=None)
def zipped_once(place, changed):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        with open(os.path.join(place, "bootstrap"), "rb") as file:
            archive.writestr(entry, file.read())
    return packed.getvalue()


def zipped(place):
    with ZIPPING:
        return zipped_once(place, os.stat(os.path.join(place, "bootstrap")).st_mtime_ns)


ZIPPING = threading.Lock()


def template(question, service, operation, parameters):
    """A template as JSON, its short forms written out."""
    from samtranslator.yaml_helper import yaml_parse

    with open(parameters["path"]) as file:
        return yaml_parse(file.read())


def signed(question, service, operation, parameters):
    """The headers that sign a GET of that address."""
    request = AWSRequest("GET", parameters["url"])
    SigV4Auth(Credentials("test", "test"), parameters["service"], "us-east-1").add_auth(request)
    return dict(request.headers)


OWN = {"deploy": deploy, "template": template, "signed": signed}


def ask(question):
    service, operation = question["service"], question["operation"]
    parameters = taken(question["parameters"])
    if service == "tests":
        return OWN[operation](question, service, operation, parameters)
    if question.get("pages"):
        return everything(question, service, operation, parameters)
    return getattr(client(question, service), operation)(**parameters)


def answer(line):
    question = json.loads(line)
    try:
        told = {"ok": given(ask(question))}
    except ClientError as error:
        told = {"error": {"code": error.response["Error"].get("Code", ""), "message": str(error)}}
    except Exception as error:
        told = {"error": {"code": type(error).__name__, "message": str(error)}}
    with OUTPUT:
        print(json.dumps({"id": question["id"], **told}, default=str), flush=True)


if __name__ == "__main__":
    with ThreadPoolExecutor(max_workers=16) as pool:
        for line in sys.stdin:
            pool.submit(answer, line)
