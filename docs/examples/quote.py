#!/usr/bin/env python3
"""Answers an issue that links an order as CSV with a quotation: a command for `github-metrics worker`.

    export GITHUB_METRICS_TOKEN=gamt_...   # a token with the role worker
    export API_ENDPOINT=https://metrics.example.com
    github-metrics worker --run docs/examples/quote.py --skills quotation

The body of the issue links a file, such as https://github.com/user-attachments/files/1/order.csv:

    item,quantity
    bolt-m8,200
    panel-oak,3

Prices come from prices.csv beside this script, never from the issue. The server posts the quotation as a comment
(docs/ACTIONS.md), so this machine needs no token of GitHub. Needs Python 3.9, and nothing else.

Variables: QUOTE_PRICES (a file), QUOTE_TAX_PERCENT (10), QUOTE_SOURCES (beginnings of links that are followed, separated
by spaces).
"""
import csv
import hashlib
import io
import json
import os
import pathlib
import re
import sys
import time
import urllib.error
import urllib.request
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

MAX_BYTES = 1_000_000
MAX_LINES = 500
MAX_QUANTITY = 1_000_000
SOURCES = "https://github.com/user-attachments/ https://raw.githubusercontent.com/ https://gist.githubusercontent.com/"
WAIT_SECONDS, MAX_WAITS = 5, 60
CENT = Decimal("0.01")


class Refused(Exception):
    """The order cannot be quoted. The message says why."""


def find_link(body):
    """Returns the first link to a CSV file that may be followed."""
    links = re.findall(r"https?://[^\s<>()\[\]\"']+\.csv\b", body)
    sources = os.environ.get("QUOTE_SOURCES", SOURCES).split()
    for link in links:
        # Whoever writes an issue must not choose which machines this one talks to.
        if any(link.startswith(source) for source in sources):
            return link
    raise Refused(f"the issue links no CSV file that may be read: links must begin with one of {', '.join(sources)}")


def download(link):
    with urllib.request.urlopen(link, timeout=30) as answer:
        text = answer.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise Refused(f"the file is longer than {MAX_BYTES} bytes")
    return text.decode("utf-8-sig")


def read_prices(path):
    with open(path, newline="", encoding="utf-8") as file:
        return {row["item"]: Decimal(row["unit_price"]) for row in csv.DictReader(file)}


def quote(order, prices, tax_percent):
    """Returns the lines of the quotation (item, quantity, unit price, price), its net sum, tax and total."""
    lines = []
    reader = csv.DictReader(io.StringIO(order))
    if not {"item", "quantity"} <= set(reader.fieldnames or []):
        raise Refused("the file lacks the columns item and quantity")
    for number, row in enumerate(reader, start=2):
        if len(lines) == MAX_LINES:
            raise Refused(f"the order has more than {MAX_LINES} lines")
        item, quantity = (row["item"] or "").strip(), (row["quantity"] or "").strip()
        if item not in prices:
            raise Refused(f"line {number}: there is no such item; the price list has {', '.join(sorted(prices))}")
        if not re.fullmatch(r"[0-9]{1,7}", quantity) or not 0 < int(quantity) <= MAX_QUANTITY:
            raise Refused(f"line {number}: the quantity must be a whole number from 1 to {MAX_QUANTITY}")
        lines.append((item, int(quantity), prices[item], prices[item] * int(quantity)))
    if not lines:
        raise Refused("the order is empty")
    net = sum(price for *_, price in lines)
    tax = (net * tax_percent / 100).quantize(CENT, ROUND_HALF_UP)
    return lines, net, tax, net + tax


def comment(link, lines, net, tax, total, tax_percent):
    # Items are those of the price list, so no text of the order is in the comment but its link.
    rows = [f"| {item} | {quantity} | {unit:,.2f} | {price:,.2f} |" for item, quantity, unit, price in lines]
    return "\n".join(
        [f"Quotation for <{link}>, valid for 30 days:", "", "| item | quantity | unit price | price |", "|---|--:|--:|--:|"]
        + rows
        + [
            f"| net | | | {net:,.2f} |",
            f"| tax {tax_percent} % | | | {tax:,.2f} |",
            f"| **total** | | | **{total:,.2f}** |",
        ]
    )


def post(issue, text):
    """Has the server post the comment, once for each text, and returns its address."""
    repository = f"{issue['org']}/{issue['repo']}"
    body = json.dumps({"repository": repository, "number": issue["number"], "body": text}).encode()
    key = f"quote-{repository}-{issue['number']}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    request = urllib.request.Request(os.environ["API_ENDPOINT"] + "/api/v1/create-comment", body)
    request.add_header("Authorization", "Bearer " + os.environ["GITHUB_METRICS_TOKEN"])
    request.add_header("Content-Type", "application/json")
    request.add_header("Idempotency-Key", key)
    for _ in range(MAX_WAITS):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                if answer.status in (200, 201):
                    return json.load(answer)["data"]["comment"]["url"]
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503):
                raise Refused(f"the server refused the comment: {error.read().decode()}") from error
        # It is still at it. The same key asks for the same comment.
        time.sleep(WAIT_SECONDS)
    raise Refused("the comment is not done after 5 minutes")


def main():
    issue = json.load(sys.stdin)
    prices = read_prices(os.environ.get("QUOTE_PRICES", pathlib.Path(__file__).with_name("prices.csv")))
    tax_percent = Decimal(os.environ.get("QUOTE_TAX_PERCENT", "10"))
    link = find_link(issue["body"])
    print(f"reads {link}")
    lines, net, tax, total = quote(download(link), prices, tax_percent)
    print(f"{len(lines)} lines, total {total}")
    print(post(issue, comment(link, lines, net, tax, total, tax_percent)))


if __name__ == "__main__":
    try:
        main()
    except (Refused, OSError, InvalidOperation, UnicodeDecodeError) as error:
        sys.exit(f"no quotation: {error}")
