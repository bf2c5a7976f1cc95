"""Walks through every view of the pages in a browser, and prints what is wrong.

Called by browser.rs with its settings as JSON. The last line is `N checks, M failed`.
"""

import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

SETTINGS = json.loads(sys.argv[1])
BASE, ORG = SETTINGS["base"], SETTINGS["org"]
RANGE = f"since={SETTINGS['since']}&until={SETTINGS['until']}"
SHOTS = Path(SETTINGS["screenshots"])
AXE = Path(SETTINGS["axe"]).read_text()
LIGHT_SERIES, DARK_SERIES = "rgb(47, 102, 208)", "rgb(111, 163, 255)"
MAX_SENT_BYTES = 100_000

results = []


def check(name, is_right, what=""):
    results.append(bool(is_right))
    if not is_right:
        print(f"FAILED {name}: {what}")


def api(path):
    with urllib.request.urlopen(f"{BASE}/api/v1/{path}") as answer:
        return json.load(answer)


def sent_bytes(path):
    request = urllib.request.Request(BASE + path, headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request) as answer:
        return len(answer.read())


def views():
    repos = api(f"orgs/{ORG}/repos?{RANGE}")["repos"]
    members = api(f"orgs/{ORG}/members?{RANGE}")["members"]
    root = f"/orgs/{ORG}"
    return {
        "organization": root,
        "delivery": f"{root}/delivery",
        "repositories": f"{root}/repos",
        "members": f"{root}/members",
        "agents": f"{root}/agents",
        "tasks": f"{root}/tasks",
        "hooks": f"{root}/hooks",
        "actions": f"{root}/actions",
        "notifications": f"{root}/notifications",
        "repository": f"{root}/repos/{urllib.parse.quote(repos[0]['repo'])}",
        "member": f"{root}/members/{urllib.parse.quote(members[0]['member'])}",
        "empty": f"{root}?since=2001-01-01&until=2001-02-01",
        "not-found": f"{root}/repos/no-such-repository",
        "invalid": f"{root}?since=yesterday",
    }


def with_query(path, **values):
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query))
    if "since" not in query:
        query.update(urllib.parse.parse_qsl(RANGE))
    query.update(values)
    return f"{urllib.parse.urlsplit(path).path}?{urllib.parse.urlencode(query)}"


class Browser:
    def __init__(self, browser):
        self.browser = browser

    def open(self, path, width=1280, has_script=True, **options):
        context = self.browser.new_context(
            viewport={"width": width, "height": 900}, java_script_enabled=has_script, locale="en-US", **options
        )
        page = context.new_page()
        page.troubles = []
        note = lambda message: page.troubles.append(message.text)
        page.on("console", lambda message: note(message) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: page.troubles.append(str(error)))
        page.on(
            "request",
            lambda request: None
            if request.url.startswith((BASE, "data:"))
            else page.troubles.append(f"request to {request.url}"),
        )
        page.goto(BASE + path)
        return page


def check_views(browser):
    for name, path in views().items():
        is_error = name in ("not-found", "invalid")
        check_looks(browser, name, path, is_error)
        check(f"{name}: sent bytes", is_error or sent_bytes(with_query(path)) <= MAX_SENT_BYTES)


def check_looks(browser, name, path, is_error=False, **options):
    """A view fits each width, in both themes and languages, and people who cannot see it can read it."""
    for width in (360, 768, 1280):
        for theme, language in (("light", "en"), ("dark", "ja")):
            label = f"{name} {width} {theme} {language}"
            page = browser.open(with_query(path, theme=theme, lang=language), width, **options)
            overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            check(f"{label}: width", overflow <= 0, f"{overflow} px too wide")
            # A browser logs the status of a page that is an error.
            troubles = [it for it in page.troubles if not (is_error and "Failed to load resource" in it)]
            check(f"{label}: console", not troubles, troubles)
            check(f"{label}: language", page.locator("html").get_attribute("lang") == language)
            check(f"{label}: one h1", page.locator("h1").count() == 1)
            page.screenshot(path=SHOTS / f"{label.replace(' ', '-')}.png", full_page=True)
            if width != 768:
                page.evaluate(AXE)
                found = page.evaluate("axe.run().then(it => it.violations)")
                serious = [
                    f"{it['id']}: {it['nodes'][0]['target']} {it['nodes'][0]['failureSummary']}"
                    for it in found
                    if it["impact"] in ("serious", "critical")
                ]
                check(f"{label}: axe", not serious, serious)
            page.context.close()


def check_markup(_browser):
    for name, path in views().items():
        request = urllib.request.Request(BASE + with_query(path))
        try:
            html = urllib.request.urlopen(request).read().decode()
        except urllib.error.HTTPError as error:
            html = error.read().decode()
        check(f"{name}: no inline style", "style=" not in html and "<style" not in html)
        check(f"{name}: no inline script", " onclick" not in html and "<script>" not in html)


def check_numbers(browser):
    metrics = api(f"orgs/{ORG}/metrics?{RANGE}")["metrics"]
    page = browser.open(f"/orgs/{ORG}?{RANGE}&granularity=day")
    tile = lambda metric: page.locator(f".tiles [data-metric={metric}] .value").inner_text()
    for metric in ("prs_merged", "reviews", "deploys"):
        check(f"tile {metric}", tile(metric) == f"{metrics[metric]:,}", f"{tile(metric)} is not {metrics[metric]}")
    hours = metrics["cycle_time_hours"]["p50"]
    number, unit = tile("cycle_time_hours").split()
    shown = float(number) * {"h": 1, "d": 24}[unit]
    tolerance = 0.05 * {"h": 1, "d": 24}[unit] + 1e-9
    check("tile cycle time", abs(shown - hours) <= tolerance, f"{number} {unit}, {hours}")
    failed, succeeded = metrics["deploy_failures"], metrics["deploys"]
    share = f"{100 * failed / (failed + succeeded):.1f}\u2009%"
    check("tile failed share", tile("deploy_failures") == share, f"{tile('deploy_failures')} is not {share}")
    rows = page.locator("#activity .numbers tbody tr")
    texts = rows.evaluate_all("rows => rows.map(row => [...row.cells].slice(1).map(it => it.textContent))")
    points = api(f"orgs/{ORG}/metrics/timeseries?metric=commits&{RANGE}")["points"]
    sums = [sum(int(text.replace(",", "")) for text in row) for row in texts]
    check("activity", sums == [point["value"] for point in points], f"{sums}")
    bins = page.locator("#cycle-time-spread .numbers tbody td").all_text_contents()
    total = sum(int(text.replace(",", "")) for text in bins)
    check("distribution", total == metrics["cycle_time_hours"]["count"], bins)
    page.context.close()
    for kind, key in (("repos", "repo"), ("members", "member")):
        page = browser.open(f"/orgs/{ORG}/{kind}?{RANGE}&sort=reviews&order=desc")
        names = page.locator("table.list tbody th a").all_text_contents()
        expected = [it[key] for it in api(f"orgs/{ORG}/{kind}?{RANGE}&sort=reviews")[kind]]
        check(f"list of {kind}", names == expected, names)
        page.context.close()


def hours_text(hours):
    if hours is None:
        return "–"
    if hours < 1:
        return f"{60 * hours:.0f} min"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:,.1f} d"


def dollars_text(dollars):
    if dollars is None:
        return "–"
    return f"${dollars:.2f}" if dollars < 1000 else f"${dollars:,.0f}"


def agent_value_text(metric, value):
    """Returns a metric of agents as the English page shows it."""
    if metric == "agent_cost_usd":
        return dollars_text(value)
    if metric.endswith("_rate"):
        return "–" if value is None else f"{100 * value:.1f}\u2009%"
    if metric == "agent_session_hours":
        return hours_text(value["p50"])
    return hours_text(value) if metric == "agent_active_hours" else f"{value:,}"


def check_agents(browser):
    """Every number of the page of agents is one of the API, with and without script."""
    metrics = api(f"orgs/{ORG}/agents/metrics?{RANGE}")["metrics"]
    check("agents: there are sessions", metrics["agent_sessions"] > 0 and metrics["agent_cost_usd"] > 0, metrics)
    expected = {metric: agent_value_text(metric, value) for metric, value in metrics.items()}
    listed = {by: api(f"orgs/{ORG}/agents?by={by}&{RANGE}")["entries"] for by in ("model", "tool")}
    classes = api(f"orgs/{ORG}/agents/prs?{RANGE}")["classes"]
    for has_script in (True, False):
        label = "agents" if has_script else "agents without script"
        page = browser.open(f"/orgs/{ORG}/agents?{RANGE}&granularity=week", has_script=has_script)
        rows = page.locator("#use tbody tr").evaluate_all(
            "rows => rows.map(row => [row.dataset.metric, row.querySelector('td').textContent])"
        )
        check(f"{label}: metrics", dict(rows) == expected, f"{rows} are not {expected}")
        for id, by, metric in (("models", "model", "agent_cost_usd"), ("tools", "tool", "agent_tool_calls")):
            shown = page.locator(f"#{id} tbody tr").evaluate_all(
                "rows => rows.map(row => [...row.cells].slice(1).map(it => it.textContent))"
            )
            of_api = [agent_value_text(metric, entry["metrics"][metric]) for entry in listed[by]]
            check(f"{label}: {id}", len(shown) == min(len(of_api), 30) > 0, f"{len(shown)} of {len(of_api)}")
            column = {"agent_cost_usd": 5, "agent_tool_calls": 0}[metric]
            texts = sorted(cells[column] for cells in shown)
            check(f"{label}: numbers of {id}", len(of_api) > 30 or texts == sorted(of_api), f"{texts} {of_api}")
        shown = page.locator("#pull-requests tbody tr").evaluate_all(
            "rows => rows.map(row => [row.dataset.class, row.cells[1].textContent, row.cells[2].textContent])"
        )
        of_api = [[it["class"], f"{it['prs']:,}", hours_text(it["cycle_time_hours"]["p50"])] for it in classes]
        check(f"{label}: pull requests", shown == of_api, f"{shown} are not {of_api}")
        totals = page.locator("#cost .legend strong").all_text_contents()
        sums = [0.0 if it == "–" else float(it.replace(",", "").strip("$")) for it in totals]
        # Each amount is rounded to a cent.
        is_sum = abs(sum(sums) - metrics["agent_cost_usd"]) <= 0.01 * len(sums) + 0.5 * (max(sums) >= 1000)
        check(f"{label}: cost by model", is_sum, f"{sums} {metrics['agent_cost_usd']}")
        page.context.close()
    page = browser.open(f"/orgs/{ORG}/agents?{RANGE}", has_script=False)
    page.locator("summary", has_text="Bots").click()
    page.locator("[data-bots=only]").click()
    alone = api(f"orgs/{ORG}/agents/metrics?{RANGE}&bots=only")["metrics"]["agent_sessions"]
    is_shown = page.locator("#use [data-metric=agent_sessions] td").all_text_contents()
    check("agents: bots", "bots=only" in page.url and is_shown == ([f"{alone:,}"] if alone else []), is_shown)
    page.context.close()
    page = browser.open(f"/orgs/{ORG}/agents?{RANGE}&granularity=week")
    plot = page.locator("#cost .plot")
    plot.focus()
    page.keyboard.press("ArrowRight")
    week = page.locator("#cost .numbers tbody tr").first.locator("th").text_content()
    output = plot.locator("output").inner_text()
    check("agents: keyboard in the chart", output.startswith(week) and "$" in output, output)
    page.context.close()


def check_notifications(browser):
    """The page of notifications has the channels and rules of the configuration, with and without script."""
    for has_script in (True, False):
        page = browser.open(f"/orgs/{ORG}/notifications", has_script=has_script)
        tables = page.locator("table.list")
        rows = [tables.nth(at).locator("tbody tr").all_inner_texts() for at in range(tables.count())]
        check("notifications: channels", len(rows[0]) == 1 and "team" in rows[0][0] and "works" in rows[0][0], rows)
        is_rule = len(rows[1]) == 1 and "task_failed" in rows[1][0] and "web-app" in rows[1][0]
        check("notifications: rules", is_rule, rows)
        shown = page.locator("main").inner_text()
        check("notifications: no message", "No message was sent or refused." in shown, shown)
        check("notifications: no address", "127.0.0.1" not in shown, shown)
        page.context.close()


def check_controls(browser):
    page = browser.open(f"/orgs/{ORG}/repos?{RANGE}", has_script=False)
    page.get_by_role("link", name="Reviews").click()
    check("sort without script", "sort=reviews" in page.url and page.locator("[aria-sort=descending]").count() == 1)
    page.get_by_role("link", name="Reviews").click()
    check("sort the other way", "order=asc" in page.url and page.locator("[aria-sort=ascending]").count() == 1)
    first = page.locator("table.list tbody th a").first.inner_text()
    page.locator("#q").fill(first)
    page.get_by_role("button", name="Find").click()
    check("search without script", page.locator("table.list tbody tr").count() >= 1 and "q=" in page.url)
    page.locator("#q").fill("no such name")
    page.get_by_role("button", name="Find").click()
    check("search without a result", page.locator(".message.empty").count() == 1)
    page.goto(f"{BASE}/orgs/{ORG}?{RANGE}")
    before = page.locator("[data-metric=deploys] .value").inner_text()
    page.locator("summary", has_text="Bots").click()
    page.locator("[data-bots=only]").click()
    after = page.locator("[data-metric=reviews] .value").inner_text()
    expected = api(f"orgs/{ORG}/metrics?{RANGE}&bots=only")["metrics"]["reviews"]
    check("bots", "bots=only" in page.url and after == str(expected), f"{before} {after} {expected}")
    page.goto(f"{BASE}/orgs/{ORG}?{RANGE}")
    page.locator("summary", has_text="other days").click()
    page.locator("[type=date][name=since]").fill("2026-10-01")
    page.locator("[type=date][name=last]").fill("2026-10-14")
    page.get_by_role("button", name="Show").first.click()
    check("days", "since=2026-10-01" in page.url and "until=2026-10-15" in page.url, page.url)
    check("days in words", "1 – 14 Oct 2026 (14 days), UTC" in page.locator(".range").inner_text())
    page.get_by_role("link", name="日本語").click()
    check("Japanese", page.locator("html").get_attribute("lang") == "ja" and "until=2026-10-15" in page.url)
    page.go_back()
    check("back", page.locator("html").get_attribute("lang") == "en")
    page.context.close()


def check_script(browser):
    page = browser.open(f"/orgs/{ORG}?{RANGE}&theme=light")
    fill = lambda: page.locator("#activity svg:visible [fill='#2F66D0']").first.evaluate(
        "it => getComputedStyle(it).fill"
    )
    check("light chart", fill() == LIGHT_SERIES, fill())
    page.locator(".settings .menu summary").click()
    page.locator("[data-set-theme=dark]").click()
    check("dark chart", fill() == DARK_SERIES, fill())
    check("theme in the address", "theme=dark" in page.url)
    check("theme in links", "theme=dark" in page.locator(".sections a").nth(1).get_attribute("href"))
    page.reload()
    check("theme after a reload", fill() == DARK_SERIES, fill())

    plot = page.locator("#cycle-time .plot")
    plot.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    row = page.locator("#cycle-time .numbers tbody tr").nth(1)
    day = row.locator("th").text_content()
    check("keyboard in a chart", plot.locator("output").inner_text().startswith(day))
    page.keyboard.press("Escape")
    check("escape in a chart", plot.locator("output").inner_text() == "")
    plot.hover()
    check("pointer on a chart", "median" in plot.locator("output").inner_text())

    head = page.locator("#repositories thead th", has_text="Commits")
    head.get_by_role("button").click()
    numbers = page.locator("#repositories tbody tr").evaluate_all(
        "rows => rows.map(row => Number(row.querySelector('td.number').dataset.value))"
    )
    check("sort with script", numbers == sorted(numbers, reverse=True) and head.get_attribute("aria-sort") == "descending")
    page.goto(f"{BASE}/orgs/{ORG}/members?{RANGE}")
    name = page.locator("table.list tbody th a").nth(2).inner_text()
    page.locator("#q").press_sequentially(name)
    shown = page.locator("table.list tbody tr:visible").count()
    check("search while typing", 1 <= shown < page.locator("table.list tbody tr").count(), shown)
    page.context.close()


def check_keyboard(browser):
    for name, path in (("organization", ""), ("agents", "/agents"), ("notifications", "/notifications")):
        check_tabs(browser, name, f"/orgs/{ORG}{path}?{RANGE}")


def check_tabs(browser, name, path, **options):
    page = browser.open(path, **options)
    page.keyboard.press("Tab")
    check(f"{name}: skip link", page.evaluate("document.activeElement.className") == "skip")
    page.keyboard.press("Enter")
    check(f"{name}: skip link leads to the content", page.evaluate("document.activeElement.id") == "main")
    hidden = []
    for _ in range(40):
        page.keyboard.press("Tab")
        state = page.evaluate(
            """() => { const it = document.activeElement; const box = it.getBoundingClientRect();
            const style = getComputedStyle(it);
            // After the last element of a short page, the focus is on none.
            const isShown = box.width > 0 && box.height > 0 && style.outlineStyle !== 'none';
            return [it.outerHTML.slice(0, 80), isShown || it === document.body]; }"""
        )
        if not state[1]:
            hidden.append(state)
    check(f"{name}: focus is visible", not hidden, hidden[:3])
    page.context.close()


def check_print(browser):
    page = browser.open(f"/orgs/{ORG}?{RANGE}&theme=dark")
    page.emulate_media(media="print")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    check("print is light", background == "rgb(255, 255, 255)", background)
    check("print has no controls", not page.locator(".presets").is_visible())
    check("print has the range", page.locator(".range").is_visible())
    page.pdf(path=SHOTS / "print.pdf", prefer_css_page_size=True, print_background=True)
    page.context.close()


def check_paging(browser):
    """A long list is read page by page. No row is lost or repeated, and the first page is small."""
    for kind, key in (("repos", "repo"), ("members", "member")):
        address = f"/orgs/{ORG}/{kind}?{RANGE}&sort=commits&order=desc"
        page = browser.open(address, has_script=False)
        names = page.locator("table.list tbody th a").all_text_contents()
        while page.locator("a[rel=next]").count():
            page.locator("a[rel=next]").click()
            names += page.locator("table.list tbody th a").all_text_contents()
        expected, cursor = [], ""
        while cursor is not None:
            answer = api(f"orgs/{ORG}/{kind}?{RANGE}&sort=commits&limit=200{cursor}")
            expected += [it[key] for it in answer[kind]]
            cursor = answer["next"] and f"&cursor={answer['next']}"
        check(f"all {kind}", names == expected, f"{len(names)} shown, {len(expected)} expected")
        check(f"{kind}: more than a page", len(expected) > 100, len(expected))
        check(f"{kind}: sent bytes", sent_bytes(address) <= MAX_SENT_BYTES, sent_bytes(address))
        page.context.close()


def check_sign_in(browser):
    """A server with tokens shows nothing before a person signs in, and nothing after they have signed out."""
    for width, theme, language in ((360, "dark", "ja"), (1280, "light", "en")):
        page = browser.open(f"/?theme={theme}&lang={language}", width)
        look = page.locator("html")
        is_kept = (look.get_attribute("lang"), look.get_attribute("data-theme")) == (language, theme)
        check(f"sign-in: {theme} {language}", is_kept)
        page.screenshot(path=SHOTS / f"sign-in-{width}-{theme}-{language}.png", full_page=True)
        page.evaluate(AXE)
        found = page.evaluate("axe.run().then(it => it.violations)")
        check("sign-in: axe", not [it for it in found if it["impact"] in ("serious", "critical")], found)
        page.context.close()
    for has_script in (True, False):
        page = browser.open(f"/orgs/{ORG}/repos?{RANGE}", has_script=has_script)
        label = "sign-in" if has_script else "sign-in without script"
        check(f"{label}: nothing is shown", ORG not in page.locator("main").inner_text())
        page.get_by_role("link", name="日本語").click()
        check(f"{label}: Japanese", page.locator("html").get_attribute("lang") == "ja")
        page.locator(".settings > a").first.click()
        page.locator("#token").fill("gamt_wrong")
        page.get_by_role("button", name="Sign in").click()
        check(f"{label}: a wrong token", page.locator("[role=alert]").count() == 1)
        page.locator("#token").fill(SETTINGS["token"])
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/orgs/{ORG}/repos?*")
        check(f"{label}: goes on", page.locator("table.list tbody tr").count() > 0)
        cookies = page.context.cookies()
        is_guarded = all(it["httpOnly"] and it["sameSite"] in ("Lax", "Strict") for it in cookies)
        check(f"{label}: cookie", cookies and is_guarded, [(it["name"], it["sameSite"]) for it in cookies])
        check(f"{label}: token in no address", SETTINGS["token"] not in page.url)
        page.get_by_role("button", name="Sign out").click()
        check(f"{label}: signed out", page.locator("#token").count() == 1 and not page.context.cookies())
        check(f"{label}: language after signing out", page.url.endswith("/sign-in?lang=en"), page.url)
        page.goto(f"{BASE}/orgs/{ORG}")
        check(f"{label}: nothing is shown afterwards", page.locator("#token").count() == 1)
        page.context.close()


def sign_in(browser, role, path, **options):
    page = browser.open(path, **options)
    page.locator("#token").fill(SETTINGS["tokens"][role])
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{path}*")
    return page


def post_as(role, path, body):
    headers = {"Authorization": f"Bearer {SETTINGS['tokens'][role]}", "Content-Type": "application/json"}
    request = urllib.request.Request(BASE + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def check_actions(browser):
    """A merge is requested by one person and approved by another, on the pages, and the log has all of it."""
    path = f"/orgs/{ORG}/actions"
    page = sign_in(browser, "operator", path)
    page.locator("[name=repository]").fill("site")
    page.locator("[name=number]").fill("5")
    page.get_by_role("button", name="Request a merge").click()
    waiting = page.locator("section", has=page.get_by_role("heading", name="Waiting for approval"))
    waiting.wait_for(timeout=30_000)
    check("actions: the request is shown", "site#5" in waiting.inner_text(), waiting.inner_text())
    check("actions: nobody approves their own", page.get_by_role("button", name="Approve").count() == 0)
    approver = sign_in(browser, "approver", path)
    check("actions: an approver requests nothing", approver.locator("[name=repository]").count() == 0)
    approver.screenshot(path=SHOTS / "actions-waiting.png", full_page=True)
    approver.evaluate(AXE)
    found = approver.evaluate("axe.run().then(it => it.violations)")
    check("actions: axe", not [it for it in found if it["impact"] in ("serious", "critical")], found)
    approver.get_by_role("button", name="Approve").click()
    # The operator's page shows it without a reload.
    done = page.locator("section", has=page.get_by_role("heading", name="Done"))
    done.wait_for(timeout=60_000)
    check("actions: it is merged", "site#5" in done.inner_text(), done.inner_text())
    page.context.close()
    approver.context.close()


def check_link(browser):
    """A link opens a page without signing in; only its button decides."""
    merge = {"repository": "site", "pr_number": 6}
    action = post_as("operator", "/api/v1/approve-merge-pr", merge)["data"]["action"]
    url = post_as("admin", f"/api/v1/approvals/{action}/link", {"approver": "approver"})["url"]
    path = urllib.parse.urlparse(url)
    for has_script in (True, False):
        page = browser.open(f"{path.path}?{path.query}", has_script=has_script)
        check("link: the page", "site#6" in page.locator("main").inner_text(), page.locator("main").inner_text())
        page.context.close()
    page = browser.open(f"{path.path}?{path.query}", 360, has_script=False)
    page.screenshot(path=SHOTS / "link.png", full_page=True)
    page.get_by_role("button", name="Approve").click()
    check("link: approved", page.get_by_role("status").inner_text().startswith("Approved"))
    page.context.close()


def check_log_of_actions(browser):
    page = sign_in(browser, "auditor", "/log")
    kinds = ("action_requested", "approval_requested", "action_approved", "action_attempted", "action_succeeded")
    for kind in (*kinds, "approval_link_created", "token_created"):
        row = page.locator("table.list tbody tr", has_text=kind)
        # The page follows the log, and the merge of the link is under way.
        row.first.wait_for(timeout=60_000)
    for kind in ("action_requested", "action_approved", "action_succeeded"):
        rows = page.locator("table.list tbody tr", has_text=kind)
        rows.nth(1).wait_for(timeout=60_000)
        check(f"log: {kind}", rows.count() == 2, rows.count())
    approved = page.locator("table.list tbody tr", has_text="action_approved").all_inner_texts()
    check("log: who approved", all("token:" in row for row in approved), approved)
    page.screenshot(path=SHOTS / "log.png", full_page=True)
    page.context.close()


def check_log_of_task(browser):
    """What a worker prints appears on an open page without a reload, also what comes right before the end."""
    task = post_as("worker", "/api/v1/request-task", {"worker": "ann"})["task"]
    claim, fence = f"/api/v1/tasks/{task['claim_id']}", task["fence"]
    append = lambda *lines: post_as("worker", f"{claim}/log", {"fence": fence, "lines": lines})
    path = f"/orgs/{ORG}/tasks/{task['claim_id']}"
    page = sign_in(browser, "viewer", path)
    options = {"storage_state": page.context.storage_state()}
    check("task log: no output", "No output yet." in page.locator("main").inner_text())
    page.evaluate("window.isOpen = true")
    append("first <b>line</b>", "token ghp_" + "a" * 36)
    log = page.locator("pre.log")
    log.wait_for(timeout=30_000)
    check("task log: lines", log.text_content() == "first <b>line</b>\ntoken [redacted]\n", log.text_content())
    unscripted = browser.open(path, has_script=False, **options)
    check("task log without script", "first <b>line</b>" in unscripted.locator("pre.log").text_content())
    unscripted.context.close()
    check_tabs(browser, "task log", path, **options)

    result = "https://github.example/octo-demo/web-app/pull/1"
    append("last line", result)
    post_as("worker", f"{claim}/complete", {"fence": fence, "result": result})
    page.locator("[data-live='0']").wait_for(state="attached", timeout=30_000)
    lines = log.text_content().splitlines()
    check("task log: last lines", len(lines) == 4 and lines[2] == "last line", lines)
    check("task log: no reload", page.evaluate("window.isOpen === true"))
    # A log that has ended is not read again.
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.wait_for_timeout(5_000)
    check("task log: it ends", not requests and not page.troubles, (requests, page.troubles))
    page.goto(f"{BASE}/orgs/{ORG}/tasks")
    completed = page.locator("section", has=page.get_by_role("heading", name="Completed"))
    completed.get_by_role("link", name="Output").click()
    check("task log: the link to it", page.locator("pre.log").text_content().splitlines() == lines)
    page.context.close()
    check_looks(browser, "task-log", path, **options)
    unknown = browser.open(f"/orgs/{ORG}/tasks/octo-demo.1.1.1-0123456789ab", **options)
    shown = unknown.locator("main").inner_text()
    check("task log: unknown", "There is nothing here that you can see." in shown, shown)
    unknown.context.close()


WALKS = {
    "every view": (
        check_markup, check_numbers, check_agents, check_notifications, check_controls, check_script,
        check_keyboard, check_print, check_views,
    ),
    "task log": (check_log_of_task,),
    "large": (check_numbers, check_paging, check_views),
    "sign-in": (check_sign_in,),
    "actions": (check_actions, check_link, check_log_of_actions),
}


def main():
    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=SETTINGS["chromium"], args=["--no-sandbox"])
        browser = Browser(chromium)
        for step in WALKS[SETTINGS["walk"]]:
            try:
                step(browser)
            except Exception as error:  # A step that cannot go on must not hide the others.
                check(step.__name__, False, error)
        chromium.close()
    print(f"{len(results)} checks, {results.count(False)} failed")


main()
