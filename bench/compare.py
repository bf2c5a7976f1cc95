#!/usr/bin/env python3
"""Compares github-metrics with DuckDB and Polars on a generated lake, and writes docs/PERFORMANCE.md.

    python3 bench/compare.py                        10 million events, as in docs/PERFORMANCE.md
    python3 bench/compare.py --events 500000 --out -

Needs Python 3.9 or newer with venv and pip, and cargo unless --program and --generator name the programs. It installs
DuckDB and Polars into a virtual environment in the work directory. A lake that was generated before with the same
options is used again.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import textwrap
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

DUCKDB_VERSION = "2.0.1"
POLARS_VERSION = "2.1.0"

# What each program does, for the page.
DESCRIPTIONS = {
    "github-metrics": "`aggregate --rebuild` into a new SQLite store, from which the API answers.",
    "DuckDB": "SQL into a table of a new database: `bench/comparison/rollups.sql`, one scan with grouping sets each for "
    "the organization, the repositories and the members.",
    "Polars": "the same with its lazy API and the streaming engine, into Parquet files: "
    "`bench/comparison/polars_rollups.py`.",
}
# What follows this line in docs/PERFORMANCE.md survives a run.
HAND_WRITTEN = "<!-- bench/compare.py keeps what follows. -->"
PAGE_WIDTH = 120
HTTP_TIMEOUT_S = 600

ROOT = Path(__file__).resolve().parent.parent
PARTS = Path(__file__).resolve().parent / "comparison"
OURS, DUCKDB, POLARS = "github-metrics", "DuckDB", "Polars"


@dataclass
class Measurement:
    """One run of one program."""

    seconds: float
    peak_bytes: int
    output_bytes: int


@dataclass
class Contestant:
    """A program, with its measurements."""

    name: str
    version: str = ""
    measurements: list = field(default_factory=list)

    def median(self) -> float:
        return statistics.median(run.seconds for run in self.measurements)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--months", type=int, default=24)
    parser.add_argument("--repos", type=int, default=1_000)
    parser.add_argument("--members", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5, help="runs of each program (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="CPUs for each program (default: %(default)s)")
    parser.add_argument(
        "--grains", default="day,week,month", help="buckets that DuckDB and Polars compute (default: %(default)s)"
    )
    parser.add_argument(
        "--verify-grain",
        default="day,week,month",
        help="buckets that are compared with DuckDB, the last of them over HTTP too, or none (default: %(default)s)",
    )
    parser.add_argument("--only", default=f"{OURS},{DUCKDB},{POLARS}", help="programs to run (default: %(default)s)")
    parser.add_argument("--program", type=Path, help="github-metrics, instead of building it")
    parser.add_argument("--generator", type=Path, help="gam-bench, instead of building it")
    parser.add_argument("--work", type=Path, default=ROOT / "target" / "comparison", help="work directory")
    parser.add_argument("--out", default=str(ROOT / "docs" / "PERFORMANCE.md"), help="page to write, - for stdout")
    arguments = parser.parse_args()
    if unknown := set(arguments.verify_grain.split(",")) - {"day", "week", "month", "none"}:
        parser.error(f"invalid --verify-grain: {', '.join(sorted(unknown))} is no grain")
    return arguments


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def build(package: str, name: str, given: "Path | None") -> Path:
    """Returns the program, which is built unless its path is given."""
    if given:
        return given.resolve()
    note(f"building {name}")
    command = ["cargo", "build", "--locked", "--release", "-p", package, "--message-format", "json-render-diagnostics"]
    messages = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for message in map(json.loads, messages.splitlines()):
        if message.get("executable") and message["target"]["name"] == name:
            return Path(message["executable"])
    raise SystemExit(f"cargo built no {name}")


def virtual_environment(work: Path) -> Path:
    """Returns the Python interpreter of an environment with the pinned versions."""
    directory = work / f"venv-duckdb-{DUCKDB_VERSION}-polars-{POLARS_VERSION}"
    python = directory / "bin" / "python"
    if not (directory / "complete").exists():
        note(f"installing duckdb {DUCKDB_VERSION} and polars {POLARS_VERSION}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(directory)], check=True)
        packages = [f"duckdb=={DUCKDB_VERSION}", f"polars=={POLARS_VERSION}"]
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
            + packages,
            check=True,
        )
        (directory / "complete").touch()
    return python


def generate(arguments: argparse.Namespace, generator: Path) -> Path:
    """Returns the directory of the lake, which is generated unless it exists."""
    shape = {name: getattr(arguments, name) for name in ["events", "months", "repos", "members", "seed"]}
    directory = arguments.work / ("lake-" + "-".join(str(value) for value in shape.values()))
    complete = directory.with_suffix(".json")
    if not complete.exists() or json.loads(complete.read_text())["generator"] != generator_version(generator):
        shutil.rmtree(directory, ignore_errors=True)
        complete.unlink(missing_ok=True)
        options = [word for name, value in shape.items() for word in (f"--{name}", str(value))]
        started = time.monotonic()
        subprocess.run([str(generator), "generate", *options, "--org", "octo-bench", "--out", str(directory)], check=True)
        facts = {"generator": generator_version(generator), "seconds": time.monotonic() - started}
        complete.write_text(json.dumps(facts))
    return directory


def generator_version(generator: Path) -> str:
    """Identifies the generator: another build may make other lakes."""
    status = generator.stat()
    return f"{status.st_size}-{status.st_mtime_ns}"


def snapshots(lake: Path) -> list:
    return sorted(lake.glob("events/org=*/month=*/snapshot.parquet"))


def modification_times(lake: Path) -> list:
    return [file.stat().st_mtime_ns for file in snapshots(lake)]


def size_of(path: Path) -> int:
    """Returns the bytes of a file or of all files in a directory."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def measure(
    command: list, threads: int, environment: dict, output: Path, log: Path, stdin: "Path | None" = None
) -> "tuple[Measurement, str]":
    """Runs a command on the first CPUs, with the file or nothing as stdin. Returns what it took, and what it printed."""
    cpus = sorted(os.sched_getaffinity(0))[:threads]
    source = stdin or Path(os.devnull)
    with log.open("w") as errors, log.with_suffix(".out").open("w+") as printed, source.open() as given:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=given,
            stdout=printed,
            stderr=errors,
            env={**os.environ, **environment},
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        text = printed.read()
    if process.returncode != 0:
        raise SystemExit(f"{command[0]} failed with status {process.returncode}: see {log}")
    return Measurement(seconds, usage.ru_maxrss * 1024, size_of(output)), text


class Comparison:
    """The programs on one lake."""

    def __init__(self, arguments: argparse.Namespace, program: Path, python: Path, lake: Path):
        self.arguments, self.program, self.python, self.lake = arguments, program, python, lake
        self.pattern = str(lake / "events/org=*/month=*/snapshot.parquet")
        self.outputs = arguments.work / "outputs"
        self.database = self.outputs / "duckdb" / "rollups.duckdb"

    def options(self) -> list:
        """Returns the options of github-metrics. Nothing of this machine's own configuration applies."""
        data = self.outputs / OURS
        return ["--data-dir", str(data), "--lake", f"file:{self.lake}", "--store", f"sqlite:{data / 'store.sqlite'}"]

    def run(self, name: str) -> "tuple[Measurement, str]":
        """Runs a program once, from nothing. Returns the measurement and the version."""
        threads, grains = self.arguments.threads, self.arguments.grains
        output = self.outputs / (OURS if name == OURS else name.lower())
        shutil.rmtree(output, ignore_errors=True)
        output.parent.mkdir(parents=True, exist_ok=True)
        if name != POLARS:
            output.mkdir()
        log = self.arguments.work / f"{name}.log"
        if name == OURS:
            command = [str(self.program), *self.options(), "aggregate", "octo-bench", "--rebuild"]
            measurement, _ = measure(command, threads, {}, output, log)
            return measurement, program_version(self.program)
        if name == DUCKDB:
            script = [PARTS / "duckdb_rollups.py", self.pattern, self.database, threads, grains]
        else:
            script = [PARTS / "polars_rollups.py", self.pattern, output, grains]
        command = [str(word) for word in [self.python, *script]]
        measurement, text = measure(command, threads, {"POLARS_MAX_THREADS": str(threads)}, output, log)
        result = json.loads(text)
        measurement.seconds = result["seconds"]
        return measurement, result["version"]

    def export(self, grain: str, bots: str, days: "tuple[str, str]") -> Path:
        """Returns a file of what `export` prints of the days."""
        path = self.outputs / f"export-{grain}-{bots}.csv"
        command = [str(self.program), *self.options(), "export", "octo-bench", "--since", days[0], "--until", days[1]]
        command += ["--granularity", grain, "--bots", bots, "--out", str(path), "--overwrite"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return path

    def download(self, address: str, grain: str, bots: str, days: "tuple[str, str]") -> Path:
        """Returns a file of what a server exports of the days."""
        path = self.outputs / f"download-{grain}-{bots}.csv"
        query = {"since": days[0], "until": days[1], "granularity": grain, "bots": bots}
        url = f"{address}/api/v1/orgs/octo-bench/export.csv?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=HTTP_TIMEOUT_S) as response, path.open("wb") as file:
            shutil.copyfileobj(response, file)
        return path

    @contextlib.contextmanager
    def server(self) -> "Iterator[str]":
        """Serves the rollups on a free port. Yields the address."""
        command = [str(self.program), *self.options(), "serve", "--listen", "127.0.0.1:0"]
        log = self.arguments.work / "serve.log"
        with log.open("w") as errors:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            yield address_of(process, log)
        finally:
            process.terminate()
            process.wait()

    def compare(self, what: str, grain: str, paths: list) -> None:
        """Compares files of what people did and of what everybody did with DuckDB's table."""
        command = [str(self.python), str(PARTS / "verify.py"), str(self.database), grain, *map(str, paths)]
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        note(f"{what}:\n{result.stdout}")
        if result.returncode != 0:
            raise SystemExit(f"{what} and DuckDB differ")

    def verify(self, grains: list) -> str:
        """Compares what github-metrics exports with DuckDB's table. Returns the sentence for the page."""
        months = [path.parent.name.removeprefix("month=") for path in snapshots(self.lake)]
        year, month = map(int, months[-1].split("-"))
        days = (f"{months[0]}-01", datetime.date(year + month // 12, month % 12 + 1, 1).isoformat())
        sides = ["exclude", "include"]
        for grain in grains:
            self.compare("export", grain, [self.export(grain, bots, days) for bots in sides])
        over_http = grains[-1]
        with self.server() as address:
            paths = [self.download(address, over_http, bots, days) for bots in sides]
        self.compare("GET /api/v1/orgs/octo-bench/export.csv", over_http, paths)
        return (
            f"Afterwards, `github-metrics export` by {listed(grains)}, `GET /api/v1/orgs/octo-bench/export.csv` by "
            f"{over_http}, and DuckDB's table agreed on every counter and every number of distinct members of the "
            "organization, each repository and each member, and on percentiles within 1 %."
        )


def address_of(process: subprocess.Popen, log: Path) -> str:
    """Waits until a server listens. Returns its address."""
    deadline = time.monotonic() + HTTP_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        if match := re.search(r"listening on (http://\S+)", log.read_text()):
            return match[1]
        time.sleep(0.05)
    raise SystemExit(f"the server did not start: see {log}")


def listed(words: list) -> str:
    """Returns words as a sentence lists them."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def program_version(program: Path) -> str:
    text = subprocess.run([str(program), "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return text.split()[-1]


def read_once(files: list) -> None:
    """Brings the files into the page cache."""
    for file in files:
        with file.open("rb") as stream:
            while stream.read(1 << 20):
                pass


def table(contestants: list, events: int) -> str:
    rows = [
        "| | median | fastest to slowest | events a second | time relative to github-metrics | peak memory | output |",
        "|---|---|---|---|---|---|---|",
    ]
    base = contestants[0].median()
    for contestant in contestants:
        runs = contestant.measurements
        seconds = sorted(run.seconds for run in runs)
        rows.append(
            f"| {contestant.name} {contestant.version} | {contestant.median():.2f} s "
            f"| {seconds[0]:.2f} to {seconds[-1]:.2f} s | {events / contestant.median():,.0f} "
            f"| {contestant.median() / base:.2f} | {max(run.peak_bytes for run in runs) / 1e6:,.0f} MB "
            f"| {runs[-1].output_bytes / 1e6:,.1f} MB, {runs[-1].output_bytes / events:.1f} B an event |"
        )
    return "\n".join(rows)


def machine() -> dict:
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": f"{models[0] if models else platform.processor() or platform.machine()}, {os.cpu_count()} CPUs",
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
    }


def commit() -> str:
    """Returns the commit of this repository, and whether files differ from it."""
    describe = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude", "*"]
    result = subprocess.run(describe, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return result.stdout.strip() or "unknown"


def command_line(arguments: argparse.Namespace) -> str:
    """Returns the command that repeats the run, without paths of this machine."""
    names = ["events", "months", "repos", "members", "seed", "runs", "threads", "grains", "verify_grain", "only"]
    options = [f" --{name.replace('_', '-')} {getattr(arguments, name)}" for name in names]
    return "python3 bench/compare.py" + "".join(options)


def described(contestants: list) -> str:
    """Returns a list of the programs and what they do."""
    lines = [f"- **{it.name}**: {DESCRIPTIONS[it.name]}" for it in contestants]
    return "\n".join(textwrap.fill(line, PAGE_WIDTH, subsequent_indent="  ") for line in lines)


def page(arguments, contestants: list, lake: Path, verification: str, loads: list) -> str:
    """Returns the text of docs/PERFORMANCE.md."""
    lake_bytes = sum(file.stat().st_size for file in snapshots(lake))
    facts = {
        **machine(),
        "commit": commit(),
        "load average before and after": f"{loads[0]:.1f}, {loads[1]:.1f}",
        "command": f"`{command_line(arguments)}`",
    }
    return Template((PARTS / "performance.template.md").read_text()).substitute(
        date=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        grains=listed(arguments.grains.split(",")),
        lake=textwrap.fill(
            f"The lake: {arguments.events:,} events of {arguments.months} months, {arguments.repos:,} repositories and "
            f"{arguments.members:,} members, generated by `gam-bench` with seed {arguments.seed}: "
            f"{lake_bytes / 1e6:,.0f} MB of Parquet, {lake_bytes / arguments.events:.1f} bytes an event.",
            PAGE_WIDTH,
        ),
        programs=described(contestants),
        runs=arguments.runs,
        threads=arguments.threads,
        table=table(contestants, arguments.events),
        verification=textwrap.fill(verification, PAGE_WIDTH),
        environment="\n".join(f"| {name} | {value} |" for name, value in facts.items()),
    )


def hand_written(out: Path) -> str:
    """Returns what follows the mark in the page of an earlier run: this script does not write it."""
    _, mark, text = (out.read_text() if out.exists() else "").partition(HAND_WRITTEN)
    return f"\n{mark}{text}" if mark else ""


def main() -> None:
    arguments = parse_arguments()
    arguments.work.mkdir(parents=True, exist_ok=True)
    arguments.work = arguments.work.resolve()
    contestants = [Contestant(name) for name in arguments.only.split(",")]
    if unknown := {contestant.name for contestant in contestants} - {OURS, DUCKDB, POLARS}:
        raise SystemExit(f"unknown programs in --only: {', '.join(sorted(unknown))}")
    program = build("gam-cli", "github-metrics", arguments.program)
    generator = build("gam-bench", "gam-bench", arguments.generator)
    python = virtual_environment(arguments.work)
    lake = generate(arguments, generator)
    comparison = Comparison(arguments, program, python, lake)
    if OURS in (contestant.name for contestant in contestants):
        note(f"{OURS}, not measured: it stamps the snapshots if another version generated them")
        comparison.run(OURS)
    read_once(snapshots(lake))
    before = modification_times(lake)
    loads = [os.getloadavg()[0]]
    for number in range(1, arguments.runs + 1):
        for contestant in contestants:
            measurement, contestant.version = comparison.run(contestant.name)
            contestant.measurements.append(measurement)
            note(
                f"run {number} of {arguments.runs}, {contestant.name}: {measurement.seconds:.2f} s, "
                f"{measurement.peak_bytes / 1e6:,.0f} MB of memory, {measurement.output_bytes / 1e6:,.1f} MB written"
            )
    loads.append(os.getloadavg()[0])
    if before != modification_times(lake):
        raise SystemExit("github-metrics wrote snapshots while it was measured: their stamps are not current")
    note(table(contestants, arguments.events))
    names = {contestant.name for contestant in contestants}
    computed = arguments.grains.split(",")
    verified = [grain for grain in arguments.verify_grain.split(",") if grain in computed]
    can_verify = bool(verified) and {OURS, DUCKDB} <= names
    verification = comparison.verify(verified) if can_verify else "The results were not compared in this run."
    text = page(arguments, contestants, lake, verification, loads)
    if arguments.out == "-":
        print(text)
    else:
        out = Path(arguments.out)
        out.write_text(text + hand_written(out))
        note(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
