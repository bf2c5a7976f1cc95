"""Draws the chart of the README from the sample organization, in both themes. From the root of the repository:

    cargo build -p gam-cli && python3 docs/charts.py target/debug/github-metrics
"""

import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

# The sample is the same for the same last day, so the chart changes only with the program.
UNTIL = "2026-11-01"
CHART = f"/api/v1/orgs/octo-demo/charts/cycle_time_hours.svg?since=2026-05-04&until={UNTIL}&granularity=week&width=840"
ATTEMPTS, PAUSE_SECONDS = 100, 0.1


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def fetch(url):
    """Returns the answer, once the server accepts connections."""
    for _ in range(ATTEMPTS):
        try:
            with urllib.request.urlopen(url) as answer:
                return answer.read()
        except urllib.error.HTTPError:
            raise
        except urllib.error.URLError:
            time.sleep(PAUSE_SECONDS)
    sys.exit(f"no answer from {url}")


def main():
    program, docs = sys.argv[1], pathlib.Path(__file__).parent
    with tempfile.TemporaryDirectory() as data:
        subprocess.run([program, "demo", "--no-serve", "--until", UNTIL, "--data-dir", data], check=True)
        address = f"127.0.0.1:{free_port()}"
        server = subprocess.Popen([program, "serve", "--listen", address, "--data-dir", data])
        try:
            for theme in ["light", "dark"]:
                svg = fetch(f"http://{address}{CHART}&theme={theme}")
                (docs / f"chart-{theme}.svg").write_bytes(svg + b"\n")
        finally:
            server.terminate()
            server.wait()


main()
