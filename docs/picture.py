"""Draws what `show` prints as an SVG: a terminal's text, with the table's lines and the chart's bars as
shapes, so that it looks alike whatever fonts there are. The picture in the README is made by

    ASKED="show octo-demo --since 2026-10-01 --until 2026-11-01"
    github-metrics $ASKED --data-dir github-metrics-demo |
        python3 docs/picture.py "$ github-metrics $ASKED" > docs/show.svg
"""

import re
import sys
from xml.sax.saxutils import escape

WIDTH, HEIGHT, MARGIN = 7.2, 15, 16
STYLE = (
    "text{font:12px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#e6edf3}"
    ".lead{fill:#7ee787}.dim{fill:#7d8590}.rule{stroke:#444c56}.bars{fill:#58a6ff}"
)
# A character of Unicode's block "Braille Patterns" is 2 x 4 dots: the bits of each row, from the top.
BRAILLE, ROWS = 0x2800, [0x09, 0x12, 0x24, 0xC0]


def tops(lines):
    """How high each column of the chart's dots reaches, in rows from the chart's first line."""
    found = {}
    for number, line in lines:
        for at, char in enumerate(line):
            bits = ord(char) - BRAILLE
            for row in range(4) if 0 < bits < 256 else ():
                for side, half in enumerate((0x47, 0xB8)):
                    if bits & ROWS[row] & half:
                        found.setdefault(2 * at + side, 4 * number + row)
    return found


def draw(lines):
    words, rules, chart = [], [], []
    for number, line in enumerate(lines):
        y = MARGIN + number * HEIGHT
        if any(BRAILLE <= ord(char) < BRAILLE + 256 for char in line):
            chart.append((number, line))
        if line[:1] in ("┌", "╞", "└"):
            rules.append(f"M{MARGIN + WIDTH / 2:.1f} {y + HEIGHT / 2}h{(len(line) - 1) * WIDTH:.1f}")
            half = HEIGHT / 2
            start, length = {"┌": (half, half), "╞": (0, HEIGHT), "└": (0, half)}[line[0]]
            rules += [f"M{MARGIN + (at + 0.5) * WIDTH:.1f} {y + start}v{length}"
                      for at, char in enumerate(line) if char in "┌┬┐╞╪╡└┴┘"]
            continue
        for part in re.finditer(r"[^\s│┆⠀-⣿]+(?: [^\s│┆⠀-⣿]+)*", line):
            kind = ' class="lead"' if number == 0 else ' class="dim"' if chart else ""
            words.append(
                f'<text{kind} x="{MARGIN + part.start() * WIDTH:.1f}" y="{y + 11}" '
                f'textLength="{len(part[0]) * WIDTH:.1f}">{escape(part[0])}</text>'
            )
        rules += [f"M{MARGIN + (at + 0.5) * WIDTH:.1f} {y}v{HEIGHT}"
                  for at, char in enumerate(line) if char in "│┆"]
    bottom = MARGIN + (chart[-1][0] + 0.25) * HEIGHT
    bars, last = [], None
    for column, top in sorted(tops(chart).items()):
        if top != last:
            bars.append(f"V{bottom}H{MARGIN + column * WIDTH / 2:.1f}V{MARGIN + top * HEIGHT / 4}")
        bars.append(f"H{MARGIN + (column + 1) * WIDTH / 2:.1f}")
        last = top
    width, height = max(map(len, lines)) * WIDTH + 2 * MARGIN, len(lines) * HEIGHT + 2 * MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" viewBox="0 0 {width:.0f} {height}">'
        f'<style>{STYLE}</style><rect width="100%" height="100%" rx="8" fill="#0d1117"/>{"".join(words)}'
        f'<path class="rule" d="{"".join(rules)}"/>'
        f'<path class="bars" d="M{MARGIN} {bottom}{"".join(bars)}V{bottom}z"/></svg>\n'
    )


sys.stdout.write(draw(sys.argv[1:] + sys.stdin.read().rstrip("\n").split("\n")))
