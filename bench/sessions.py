#!/usr/bin/env python3
"""Measures how long session logs take from files to Parquet and metrics, and compares it with ccusage.

    python3 bench/sessions.py                         700 MB in 550 files, and 10,000 files
    python3 bench/sessions.py --megabytes 20 --files 40 --many 400 --runs 1

It generates logs of Claude Code (`gam-bench session-logs`), and measures, as medians of some runs:

- cold: `github-metrics ingest sessions` into a lake without sessions, against `ccusage daily --offline`. Both take turns,
  and read the same files on the same CPUs from the page cache. ccusage adds up tokens; github-metrics also reads the results
  of tools, writes Parquet and makes the rollups.
- nothing new: the same command again.
- hook: `ingest sessions --auto` after another session with a log of 4 MB.
- many files: a tenth of the files, and all of them, cold and with nothing new.

Afterwards the tokens of both programs must be equal. Needs Python 3.9 or newer, npm, and cargo unless --program and
--generator name the programs. It installs ccusage from npm into the work directory.
"""

import argparse
import datetime
import json
import os
import shutil
import statistics
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from compare import ROOT, build, commit, generator_version, machine, measure, note, program_version, read_once

CCUSAGE_VERSION = "20.0.24"
ORG, REPO, MEMBER = "octo-bench", "api-0", "ann"
OURS, CCUSAGE = "github-metrics", "ccusage"
# What the greatest numbers may be: times of ccusage's, megabytes and seconds.
AIMS = {"cold": "1.5 times ccusage, 150 MB", "nothing new": "0.05 s", "hook": "0.1 s", "many files": "linear"}
# Bytes of the log of a session that a hook ingests.
HOOK_KILOBYTES = 4_000
# Bytes of one of many files.
MANY_FILE_KILOBYTES = 30


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=700, help="of logs (default: %(default)s)")
    parser.add_argument("--files", type=int, default=550, help="with these logs (default: %(default)s)")
    parser.add_argument("--many", type=int, default=10_000, help="number of many files (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5, help="of each measurement (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="CPUs for each program (default: %(default)s)")
    parser.add_argument("--program", type=Path, help="github-metrics, instead of building it")
    parser.add_argument("--generator", type=Path, help="gam-bench, instead of building it")
    parser.add_argument("--work", type=Path, default=ROOT / "target" / "sessions-bench", help="work directory")
    arguments = parser.parse_args()
    if min(arguments.megabytes, arguments.files, arguments.runs, arguments.threads) < 1 or arguments.many < 10:
        parser.error("all numbers must be at least 1, and --many at least 10")
    return arguments


def install_ccusage(work: Path) -> Path:
    """Returns the program of the pinned version, without the launcher that npm puts before it."""
    directory = work / f"ccusage-{CCUSAGE_VERSION}"
    program = directory / "ccusage"
    if not program.exists():
        note(f"installing {CCUSAGE} {CCUSAGE_VERSION}")
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run([*command, "--prefix", str(directory), f"ccusage@{CCUSAGE_VERSION}"], check=True)
        found = sorted(directory.glob("node_modules/@ccusage/*/bin/ccusage"))
        if len(found) != 1:
            raise SystemExit(f"ccusage {CCUSAGE_VERSION} has no program for this machine")
        shutil.copyfile(found[0], program)
        program.chmod(0o755)
    return program


@dataclass
class Series:
    """The runs of one program."""

    name: str
    runs: list = field(default_factory=list)

    def median(self) -> float:
        return statistics.median(run.seconds for run in self.runs)

    def peak_bytes(self) -> int:
        return max(run.peak_bytes for run in self.runs)

    def cells(self) -> str:
        seconds = sorted(run.seconds for run in self.runs)
        return (
            f"{self.median():.3f} s | {seconds[0]:.3f} to {seconds[-1]:.3f} s | {self.peak_bytes() / 1e6:,.0f} MB"
        )


class SessionsBench:
    """The logs and the programs."""

    def __init__(self, arguments: argparse.Namespace, program: Path, generator: Path, ccusage: Path):
        self.arguments, self.program, self.generator, self.ccusage = arguments, program, generator, ccusage
        self.home = arguments.work / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.base = arguments.work / "base"
        self.data = arguments.work / "data"
        self.log = arguments.work / "run.log"
        self.known_sessions = 0
        # Of this machine's own logs and configuration nothing applies.
        self.environment = {"HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home), "TZ": "UTC"}

    def generate_logs(self, name: str, files: int, kilobytes: int, first_session: int = 0) -> Path:
        """Returns the directory of logs, which are generated unless they exist."""
        shape = [files, kilobytes, self.arguments.seed, first_session, generator_version(self.generator)]
        directory = self.arguments.work / name
        complete = directory.with_suffix(".json")
        if not complete.exists() or json.loads(complete.read_text()) != shape:
            shutil.rmtree(directory, ignore_errors=True)
            complete.unlink(missing_ok=True)
            options = ["--files", files, "--kilobytes", kilobytes, "--seed", self.arguments.seed]
            options += ["--first-session", first_session, "--out", directory]
            subprocess.run([str(self.generator), "session-logs", *map(str, options)], check=True)
            complete.write_text(json.dumps(shape))
        read_once(log_files(directory))
        return directory

    def prepare(self) -> None:
        """Makes the data of an organization without sessions."""
        shutil.rmtree(self.base, ignore_errors=True)
        options = ["--events", 2_000, "--months", 1, "--repos", 5, "--members", 10, "--org", ORG]
        lake = self.base / "lake"
        subprocess.run([str(self.generator), "generate", *map(str, options), "--out", str(lake)], check=True)
        self.run_ours(["aggregate", ORG], self.base)

    def start_cold(self) -> None:
        """Brings the data back to the state without sessions."""
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.copytree(self.base, self.data)

    def run_ours(self, command: list, data: Path, logs: "Path | None" = None, stdin: "Path | None" = None):
        environment = dict(self.environment)
        if logs:
            environment["CLAUDE_CONFIG_DIR"] = str(logs)
            environment["CODEX_HOME"] = str(self.home)
        options = ["--data-dir", data, "--lake", f"file:{data / 'lake'}", "--store", f"sqlite:{data / 'store.sqlite'}"]
        words = [self.program, *command, *options]
        return measure([str(word) for word in words], self.arguments.threads, environment, data, self.log, stdin)

    def ingest(self, logs: Path, more: "tuple | list" = (), stdin: "Path | None" = None):
        """Runs `ingest sessions` once. Returns the measurement."""
        command = ["ingest", "sessions", "--org", ORG, "--member", MEMBER, "--repo", REPO, *more]
        return self.run_ours(command, self.data, logs, stdin)[0]

    def run_ccusage(self, logs: Path, more: "tuple | list" = ()):
        environment = {**self.environment, "CLAUDE_CONFIG_DIR": str(logs)}
        command = [str(self.ccusage), "daily", "--offline", *more]
        return measure(command, self.arguments.threads, environment, self.home, self.log)

    def compare_cold(self, logs: Path) -> "tuple[Series, Series]":
        """Both programs take turns. Afterwards the data has all sessions."""
        ours, theirs = Series(OURS), Series(CCUSAGE)
        self.run_ccusage(logs)
        for number in range(1, self.arguments.runs + 1):
            # Each one begins as often as the other.
            for series in [ours, theirs] if number % 2 else [theirs, ours]:
                if series is theirs:
                    series.runs.append(self.run_ccusage(logs)[0])
                else:
                    self.start_cold()
                    series.runs.append(self.ingest(logs))
                run = series.runs[-1]
                note(f"cold {number}, {series.name}: {run.seconds:.3f} s, {run.peak_bytes / 1e6:,.0f} MB")
        return ours, theirs

    def repeat(self, name: str, run) -> Series:
        series = Series(name)
        for number in range(self.arguments.runs):
            series.runs.append(run(number))
        note(f"{name}: {series.median():.3f} s")
        return series

    def hook(self, logs: Path) -> Series:
        """Ingests a session more in each run, as a hook does."""
        stdin = self.arguments.work / "hook.json"
        stdin.write_text('{"session_id": "s", "hook_event_name": "SessionEnd", "reason": "other"}\n')
        added = []

        def run(number: int):
            session = 1_000_000 + number
            one = self.generate_logs(f"hook-{number}", 1, HOOK_KILOBYTES, session)
            for path in log_files(one):
                target = logs / path.relative_to(one)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
                added.append(target)
            return self.ingest(logs, ["--auto"], stdin)

        try:
            series = self.repeat("hook", run)
            errors = self.data / "ingest.log"
            if errors.exists():
                raise SystemExit(f"the hook failed:\n{errors.read_text()}")
            if self.tokens_of_ours()["sessions"] < self.known_sessions + len(added):
                raise SystemExit("the hook did not ingest the sessions")
            return series
        finally:
            for path in added:
                path.unlink()

    def tokens_of_ours(self) -> dict:
        """Returns the tokens that github-metrics has."""
        days = ["--since", "2025-01-01", "--until", "2027-01-01"]
        text = self.run_ours(["show", "agents", ORG, *days, "--format", "json"], self.data)[1]
        metrics = json.loads(text)["metrics"]["metrics"]
        names = ["input", "output", "cache_read", "cache_write"]
        return {name: metrics[f"agent_tokens_{name}"] for name in names} | {"sessions": metrics["agent_sessions"]}

    def verify(self, logs: Path) -> str:
        """Compares the tokens of both programs. Returns the sentence about it."""
        totals = json.loads(self.run_ccusage(logs, ["--json"])[1])["totals"]
        theirs = {
            "input": totals["inputTokens"],
            "output": totals["outputTokens"],
            "cache_read": totals["cacheReadTokens"],
            "cache_write": totals["cacheCreationTokens"],
        }
        ours = self.tokens_of_ours()
        self.known_sessions = ours.pop("sessions")
        if ours != theirs:
            raise SystemExit(f"the programs differ: github-metrics {ours}, ccusage {theirs}")
        return f"Both programs count {sum(ours.values()):,} tokens in {self.known_sessions:,} sessions."


def log_files(directory: Path) -> list:
    return sorted(directory.rglob("*.jsonl"))


def size_of_logs(directory: Path) -> str:
    files = log_files(directory)
    return f"{len(files):,} files, {sum(file.stat().st_size for file in files) / 1e6:,.0f} MB"


def main() -> None:
    arguments = parse_arguments()
    arguments.work.mkdir(parents=True, exist_ok=True)
    arguments.work = arguments.work.resolve()
    program = build("gam-cli", "github-metrics", arguments.program)
    generator = build("gam-bench", "gam-bench", arguments.generator)
    bench = SessionsBench(arguments, program, generator, install_ccusage(arguments.work))
    bench.prepare()
    logs = bench.generate_logs("logs", arguments.files, arguments.megabytes * 1_000)
    loads = [os.getloadavg()[0]]
    ours, theirs = bench.compare_cold(logs)
    verification = bench.verify(logs)
    unchanged = bench.repeat("nothing new", lambda _: bench.ingest(logs))
    hook = bench.hook(logs)

    few_files, kilobytes = arguments.many // 10, arguments.many * MANY_FILE_KILOBYTES
    many = []
    for name, files in [("few", few_files), ("many", arguments.many)]:
        directory = bench.generate_logs(name, files, kilobytes * files // arguments.many)

        def cold(_: int, directory: Path = directory):
            bench.start_cold()
            return bench.ingest(directory)

        read = bench.repeat(f"{files:,} files, cold", cold)
        again = bench.repeat(f"{files:,} files, nothing new", lambda _, directory=directory: bench.ingest(directory))
        many.append((size_of_logs(directory), files, read, again))
    loads.append(os.getloadavg()[0])

    ratios = [a.seconds / b.seconds for a, b in zip(ours.runs, theirs.runs)]
    rows = [
        f"| cold, {size_of_logs(logs)} | {OURS} {program_version(program)} | {ours.cells()} | {AIMS['cold']} |",
        f"| | {CCUSAGE} {CCUSAGE_VERSION} | {theirs.cells()} | |",
        f"| nothing new, the same files | {OURS} | {unchanged.cells()} | {AIMS['nothing new']} |",
        f"| `--auto` after a session of {HOOK_KILOBYTES / 1e3:.0f} MB | {OURS} | {hook.cells()} | {AIMS['hook']} |",
    ]
    for size, _, read, again in many:
        rows.append(f"| cold, {size} | {OURS} | {read.cells()} | {AIMS['many files']} |")
        rows.append(f"| nothing new, {size} | {OURS} | {again.cells()} | |")
    (_, few_count, few_read, few_again), (_, many_count, many_read, many_again) = many
    by_file = (many_read.median() / many_count) / (few_read.median() / few_count)
    by_file_again = (many_again.median() / many_count) / (few_again.median() / few_count)
    facts = {
        **machine(),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "commit": commit(),
        "load average before and after": f"{loads[0]:.1f}, {loads[1]:.1f}",
        "command": "`python3 bench/sessions.py "
        + " ".join(f"--{name} {getattr(arguments, name)}" for name in ["megabytes", "files", "many", "seed", "runs", "threads"])
        + "`",
    }
    print("| | program | median | fastest to slowest | peak memory | aim |\n|---|---|---|---|---|---|")
    print("\n".join(rows))
    print(
        f"\nCold, github-metrics took {statistics.median(ratios):.2f} times as long as ccusage (median of the pairs; "
        f"{min(ratios):.2f} to {max(ratios):.2f}). {verification} A file of {many_count:,} took {by_file:.2f} times as long as one "
        f"of {few_count:,}, with nothing new {by_file_again:.2f} times.\n"
    )
    print("| | |\n|---|---|")
    print("\n".join(f"| {name} | {value} |" for name, value in facts.items()))


if __name__ == "__main__":
    main()
