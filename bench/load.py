#!/usr/bin/env python3
"""Puts load on the server with wrk, and compares it with a bare axum route that returns the same bytes.

    python3 bench/load.py                     two years of 1,000 repositories and 2,000 members, 10 million events
    python3 bench/load.py --events 200000 --seconds 2 --runs 1

Needs Python 3.9 or newer, wrk (Debian's package `wrk`), and cargo unless the programs are named. It
generates a lake, aggregates it and serves it. Each answer is requested by all connections again and again, once from the
server and once from the bare route, alternating; that is what people do who open the same page. Then each is requested
once for many ranges of which no answer is kept. A work directory that was used before with the same options is used again.
"""

import argparse
import contextlib
import http.client
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ORG = "octo-bench"
YEAR = "since=2025-01-01&until=2026-01-01"
CUT = "since=2025-01-16&until=2025-12-17"
API, PAGES = f"/api/v1/orgs/{ORG}", f"/orgs/{ORG}"
# The answers that are measured: a name, the path, and the ending of a file with it.
ANSWERS = [
    ("metrics of a year", f"{API}/metrics?{YEAR}", "json"),
    ("daily series of a year", f"{API}/metrics/timeseries?metric=commits&granularity=day&{YEAR}", "json"),
    ("50 members, whole months", f"{API}/members?{YEAR}", "json"),
    ("50 members, cut months", f"{API}/members?{CUT}", "json"),
    ("50 repositories, cut months", f"{API}/repos?{CUT}", "json"),
    ("chart of a year", f"{API}/charts/commits.svg?granularity=week&{YEAR}", "svg"),
    ("page of the organization", f"{PAGES}?{YEAR}", "html"),
    ("page of its members", f"{PAGES}/members?{YEAR}", "html"),
    ("page of its repositories", f"{PAGES}/repos?{YEAR}", "html"),
]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--months", type=int, default=24)
    parser.add_argument("--repos", type=int, default=1_000)
    parser.add_argument("--members", type=int, default=2_000)
    parser.add_argument("--seconds", type=int, default=10, help="duration of a run of wrk (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each; the median counts (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=8, help="(default: %(default)s)")
    parser.add_argument("--ranges", type=int, default=100, help="ranges that are computed (default: %(default)s)")
    parser.add_argument("--program", type=Path, help="github-metrics, instead of building it")
    parser.add_argument("--generator", type=Path, help="gam-bench, instead of building it")
    parser.add_argument("--bare-server", type=Path, help="the example bare_server, instead of building it")
    parser.add_argument("--work", type=Path, default=ROOT / "target" / "load", help="work directory")
    return parser.parse_args()


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def build(package: str, kind: str, name: str, given: "Path | None") -> Path:
    """Returns the program, which is built unless its path is given."""
    if given:
        return given.resolve()
    note(f"building {name}")
    command = ["cargo", "build", "--locked", "--release", "-p", package, f"--{kind}", name]
    command += ["--message-format", "json-render-diagnostics"]
    messages = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for message in map(json.loads, messages.splitlines()):
        if message.get("executable") and message["target"]["name"] == name:
            return Path(message["executable"])
    raise SystemExit(f"cargo built no {name}")


def data_directory(arguments: argparse.Namespace, program: Path, generator: Path) -> Path:
    """Returns a data directory with a generated lake and its rollups, which is made unless it exists."""
    shape = {name: getattr(arguments, name) for name in ["events", "months", "repos", "members"]}
    directory = arguments.work / ("data-" + "-".join(str(value) for value in shape.values()))
    if not (directory / "complete").exists():
        shutil.rmtree(directory, ignore_errors=True)
        note(f"generating {arguments.events:,} events")
        options = [option for name, value in shape.items() for option in (f"--{name}", str(value))]
        generate = [str(generator), "generate", *options, "--org", ORG, "--last-month", "2025-12"]
        subprocess.run([*generate, "--out", str(directory / "lake")], check=True)
        note("aggregating")
        subprocess.run([str(program), "aggregate", "--data-dir", str(directory)], check=True)
        (directory / "complete").touch()
    return directory


@contextlib.contextmanager
def server(command: list, stream: str, log: Path):
    """Runs a server, and yields its process and its address, which it writes to the stream."""
    with open(log, "w") as output, open(log) as written:
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: output}
        process = subprocess.Popen([str(part) for part in command], **streams)
        try:
            text = ""
            while not (address := re.search(r"listening on http://([0-9.:]+)", text)):
                if process.poll() is not None:
                    raise SystemExit(f"{command[0]} does not serve: {text}")
                text += written.read()
                time.sleep(0.02)
            yield process, address[1]
        finally:
            process.terminate()
            process.wait()


def fetch(connection: http.client.HTTPConnection, path: str) -> bytes:
    """Returns an answer. Connects again if the server has closed the connection, which was not used for long."""
    try:
        connection.request("GET", path)
        response = connection.getresponse()
    except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
        connection.close()
        connection.request("GET", path)
        response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise SystemExit(f"{path}: {response.status} {body[:300]!r}")
    return body


def run_wrk(address: str, path: str, arguments: argparse.Namespace) -> "tuple[float, float, float]":
    """Returns the requests a second, and the median and the 99th percentile of the latencies in milliseconds."""
    command = ["wrk", "-t1", f"-c{arguments.connections}", f"-d{arguments.seconds}s", "--latency"]
    text = subprocess.run(
        [*command, f"http://{address}{path}"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise SystemExit(f"{path}: {text}")

    def milliseconds(percentile: str) -> float:
        value, unit = re.search(rf"{percentile}%\s+([0-9.]+)(us|ms|s)\b", text).groups()
        return float(value) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]

    requests = float(re.search(r"Requests/sec:\s+([0-9.]+)", text)[1])
    return requests, milliseconds("50"), milliseconds("99")


def memory_mb(process: subprocess.Popen) -> float:
    status = Path(f"/proc/{process.pid}/status")
    found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else float("nan")


def measure_kept(served, bare_address: str, arguments: argparse.Namespace) -> None:
    process, address = served
    connection = http.client.HTTPConnection(address)
    print("| kept answer | bytes | bare route, requests/s | server, requests/s | share | p50 ms | p99 ms |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for number, (name, path, _) in enumerate(ANSWERS):
        size = len(fetch(connection, path))
        bare, ours = [], []
        for _ in range(arguments.runs):
            bare.append(run_wrk(bare_address, f"/{number}", arguments)[0])
            ours.append(run_wrk(address, path, arguments))
        requests, p50, p99 = (statistics.median(values) for values in zip(*ours))
        bare = statistics.median(bare)
        columns = [name, f"{size:,}", f"{bare:,.0f}", f"{requests:,.0f}", f"{requests / bare:.2f}", f"{p50:.2f}", f"{p99:.2f}"]
        print(f"| {' | '.join(columns)} |", flush=True)
    print(f"\nmemory of the server after that: {memory_mb(process):.0f} MB")


def years(has_whole_months: bool, count: int) -> "list[tuple[date, date]]":
    """Returns ranges of a year each, within the two years of the lake."""
    if has_whole_months:
        firsts = [date(2024, month, 1) for month in range(1, 13)] + [date(2025, 1, 1)]
    else:
        firsts = [date(2025, 1, 1) - timedelta(days=2 + number) for number in range(count)]
    return [(first, first.replace(year=first.year + 1)) for first in firsts if (first.month, first.day) != (2, 29)]


def measure_computed(served, arguments: argparse.Namespace) -> None:
    """Prints the latencies of answers of which each has a range of its own, so that none is kept."""
    process, address = served
    connection = http.client.HTTPConnection(address)
    print("\n| computed answer | median ms | p99 ms |")
    print("| --- | ---: | ---: |")
    for name, path, _ in ANSWERS:
        latencies = []
        for since, until in years("whole months" in name, arguments.ranges):
            changed = re.sub(r"since=.*?&until=[0-9-]*", f"since={since}&until={until}", path)
            started = time.perf_counter()
            fetch(connection, changed)
            latencies.append((time.perf_counter() - started) * 1e3)
        latencies.sort()
        p99 = latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)]
        print(f"| {name} | {statistics.median(latencies):.1f} | {p99:.1f} |", flush=True)
    print(f"\nmemory of the server after that: {memory_mb(process):.0f} MB")


def main() -> None:
    arguments = parse_arguments()
    if not shutil.which("wrk"):
        raise SystemExit("there is no wrk on the PATH: install Debian's package wrk")
    program = build("gam-cli", "bin", "github-metrics", arguments.program)
    generator = build("gam-bench", "bin", "gam-bench", arguments.generator)
    bare_server = build("gam-bench", "example", "bare_server", arguments.bare_server)
    directory = data_directory(arguments, program, generator)
    serve = [program, "serve", "--data-dir", directory, "--listen", "127.0.0.1:0"]
    with server(serve, "stderr", arguments.work / "serve.log") as served:
        files = []
        for number, (_, path, ending) in enumerate(ANSWERS):
            files.append(arguments.work / f"answer-{number}.{ending}")
            files[-1].write_bytes(fetch(http.client.HTTPConnection(served[1]), path))
        with server([bare_server, *files], "stdout", arguments.work / "bare.log") as (_, bare_address):
            measure_kept(served, bare_address, arguments)
    # A server that keeps nothing yet.
    with server(serve, "stderr", arguments.work / "serve.log") as served:
        measure_computed(served, arguments)


if __name__ == "__main__":
    main()
