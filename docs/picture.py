"""Converts the terminal output of `show` to SVG. Box-drawing lines and the bars of the chart become shapes, so the
picture does not depend on the fonts of the reader. This makes the picture in the README:

    COMMAND="show octo-demo --since 2026-10-01 --until 2026-11-01"
    github-metrics $COMMAND --data-dir github-metrics-demo |
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
# A character of Unicode's block "Braille Patterns" has 2 x 4 dots. The masks select the bits of each row, from the top,
# and of the left and the right column.
BRAILLE, ROW_MASKS, COLUMN_MASKS = 0x2800, [0x09, 0x12, 0x24, 0xC0], [0x47, 0xB8]


def bar_tops(lines):
    """Returns the topmost dot of each column of dots, as the row of dots below the top of the picture's text."""
    tops = {}
    for line_number, line in lines:
        for char_number, char in enumerate(line):
            bits = ord(char) - BRAILLE
            for row in range(4) if 0 < bits < 256 else ():
                for side, column_mask in enumerate(COLUMN_MASKS):
                    if bits & ROW_MASKS[row] & column_mask:
                        tops.setdefault(2 * char_number + side, 4 * line_number + row)
    return tops


def draw(lines):
    texts, rules, chart = [], [], []
    for line_number, line in enumerate(lines):
        y = MARGIN + line_number * LINE_HEIGHT
        if any(BRAILLE <= ord(char) < BRAILLE + 256 for char in line):
            chart.append((line_number, line))
        if line[:1] in ("┌", "╞", "└"):
            half = LINE_HEIGHT / 2
            rules.append(f"M{MARGIN + CHAR_WIDTH / 2:.1f} {y + half}h{(len(line) - 1) * CHAR_WIDTH:.1f}")
            start, length = {"┌": (half, half), "╞": (0, LINE_HEIGHT), "└": (0, half)}[line[0]]
            rules += [f"M{MARGIN + (at + 0.5) * CHAR_WIDTH:.1f} {y + start}v{length}"
                      for at, char in enumerate(line) if char in "┌┬┐╞╪╡└┴┘"]
            continue
        for text in re.finditer(r"[^\s│┆⠀-⣿]+(?: [^\s│┆⠀-⣿]+)*", line):
            style = ' class="lead"' if line_number == 0 else ' class="dim"' if chart else ""
            texts.append(
                f'<text{style} x="{MARGIN + text.start() * CHAR_WIDTH:.1f}" y="{y + 11}" '
                f'textLength="{len(text[0]) * CHAR_WIDTH:.1f}">{escape(text[0])}</text>'
            )
        rules += [f"M{MARGIN + (at + 0.5) * CHAR_WIDTH:.1f} {y}v{LINE_HEIGHT}"
                  for at, char in enumerate(line) if char in "│┆"]
    bottom = MARGIN + (chart[-1][0] + 0.25) * LINE_HEIGHT
    bars, previous_top = [], None
    for column, top in sorted(bar_tops(chart).items()):
        if top != previous_top:
            bars.append(f"V{bottom}H{MARGIN + column * CHAR_WIDTH / 2:.1f}V{MARGIN + top * LINE_HEIGHT / 4}")
        bars.append(f"H{MARGIN + (column + 1) * CHAR_WIDTH / 2:.1f}")
        previous_top = top
    width, height = max(map(len, lines)) * CHAR_WIDTH + 2 * MARGIN, len(lines) * LINE_HEIGHT + 2 * MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" viewBox="0 0 {width:.0f} {height}">'
        f'<style>{STYLE}</style><rect width="100%" height="100%" rx="8" fill="#0d1117"/>{"".join(texts)}'
        f'<path class="rule" d="{"".join(rules)}"/>'
        f'<path class="bars" d="M{MARGIN} {bottom}{"".join(bars)}V{bottom}z"/></svg>\n'
    )


sys.stdout.write(draw(sys.argv[1:] + sys.stdin.read().rstrip("\n").split("\n")))
