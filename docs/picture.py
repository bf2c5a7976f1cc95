"""Converts the terminal output of `show` to SVG. Box-drawing lines and the bars of the chart become shapes, so the
picture does not depend on the fonts of the reader. This makes the picture in the README:

    COMMAND="show octo-demo --since 2026-10-01 --until 2026-11-01"
    COLUMNS=84 github-metrics $COMMAND --format table --data-dir github-metrics-demo |
        python3 docs/picture.py "$ github-metrics $COMMAND" > docs/show.svg
"""

import re
import sys
from xml.sax.saxutils import escape

CHAR_WIDTH, LINE_HEIGHT, MARGIN = 7.2, 15, 16
STYLE = (
    "text{font:12px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#e6edf3}"
    ".lead{fill:#7ee787}.dim{fill:#7d8590}.rule{stroke:#444c56}.bars{fill:#58a6ff}"
)
# The cells of a bar, by how many eighths of their height are filled.
BARS = " ▁▂▃▄▅▆▇█"
LINES = "│┆┌┬┐╞╪╡└┴┘─═┤"


def left(column):
    return MARGIN + column * CHAR_WIDTH


def bars_of(line, top):
    """Returns the path of the bars in a line whose upper edge is at `top`."""
    path = ""
    for run in re.finditer(r"([▁-█])\1*", line):
        height = BARS.index(run[1]) / 8 * LINE_HEIGHT
        width = len(run[0]) * CHAR_WIDTH
        path += f"M{left(run.start()):.1f} {top + LINE_HEIGHT - height:.1f}h{width:.1f}v{height:.1f}h-{width:.1f}z"
    return path


def rules_of(line, top):
    """Returns the path of the lines around the table and the chart."""
    half, path = LINE_HEIGHT / 2, ""
    for at, char in enumerate(line):
        middle = left(at + 0.5)
        if char in "│┆┤╞╪╡":
            path += f"M{middle:.1f} {top}v{LINE_HEIGHT}"
        elif char in "┌┬┐":
            path += f"M{middle:.1f} {top + half}v{half}"
        elif char in "└┴┘":
            path += f"M{middle:.1f} {top}v{half}"
    for run in re.finditer(r"[┌┬┐╞╪╡└┴┘─═]{2,}", line):
        length = (len(run[0]) - 1) * CHAR_WIDTH
        path += f"M{left(run.start() + 0.5):.1f} {top + half}h{length:.1f}"
    return path


def draw(lines):
    texts, rules, bars = [], "", ""
    for number, line in enumerate(lines):
        top = MARGIN + number * LINE_HEIGHT
        rules += rules_of(line, top)
        bars += bars_of(line, top)
        for text in re.finditer(rf"[^\s{LINES}▁-█]+(?: [^\s{LINES}▁-█]+)*", line):
            style = ' class="lead"' if number == 0 else ""
            texts.append(
                f'<text{style} x="{left(text.start()):.1f}" y="{top + 11}" '
                f'textLength="{len(text[0]) * CHAR_WIDTH:.1f}">{escape(text[0])}</text>'
            )
    width, height = max(map(len, lines)) * CHAR_WIDTH + 2 * MARGIN, len(lines) * LINE_HEIGHT + 2 * MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" viewBox="0 0 {width:.0f} {height}">'
        f'<style>{STYLE}</style><rect width="100%" height="100%" rx="8" fill="#0d1117"/>{"".join(texts)}'
        f'<path class="rule" d="{rules}"/><path class="bars" d="{bars}"/></svg>\n'
    )


sys.stdout.write(draw(sys.argv[1:] + sys.stdin.read().rstrip("\n").split("\n")))
