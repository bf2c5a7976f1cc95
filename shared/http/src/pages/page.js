"use strict";
// Makes pages better, and is needed for nothing: values of charts under the pointer, sorting of short tables,
// search while typing, the theme without a reload.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Values of charts. The words are those of the table below the chart: row k belongs to slot k.
  for (const figure of all("figure.panel")) {
    const plot = figure.querySelector(".plot");
    const rows = all(".numbers tbody tr", figure);
    if (!plot || !rows.length) continue;
    const heads = all(".numbers thead th", figure).slice(1).map((th) => th.textContent);
    const output = plot.appendChild(document.createElement("output"));
    output.setAttribute("aria-live", "polite");
    const line = document.createElement("span");
    line.className = "cursor";
    line.hidden = true;
    plot.append(line);
    plot.tabIndex = 0;
    plot.setAttribute("role", "group");
    plot.setAttribute("aria-label", `${figure.querySelector("h2").textContent}. ${plot.dataset.help}`);
    let slot = -1;
    const svg = () => all("svg", plot).find((it) => it.getClientRects().length);
    const area = () => {
      const it = svg();
      if (!it || !(Number(it.dataset.slots) === rows.length)) return null;
      const box = it.getBoundingClientRect();
      const scale = box.width / it.viewBox.baseVal.width;
      const value = (name) => Number(it.dataset[name]) * scale;
      const offset = box.left - plot.getBoundingClientRect().left;
      return { left: offset + value("left"), top: value("top"), width: value("width"), height: value("height") };
    };
    const show = (next) => {
      const it = area();
      slot = Math.max(0, Math.min(rows.length - 1, next));
      const cells = all("td", rows[slot]).map((td, at) =>
        heads.length > 1 ? `${heads[at]}: ${td.textContent.trim()}` : td.textContent.trim());
      output.textContent = `${rows[slot].querySelector("th").textContent} · ${cells.join(" · ")}`;
      if (!it || plot.querySelector("[data-rows]")) return;
      line.hidden = false;
      line.style.left = `${it.left + ((slot + 0.5) * it.width) / rows.length}px`;
      line.style.top = `${it.top}px`;
      line.style.height = `${it.height}px`;
    };
    const hide = () => {
      slot = -1;
      output.textContent = "";
      line.hidden = true;
    };
    plot.addEventListener("pointermove", (event) => {
      const it = area();
      if (!it) return;
      const x = event.clientX - plot.getBoundingClientRect().left - it.left;
      if (x >= 0 && x < it.width) show(Math.floor((x * rows.length) / it.width));
    });
    plot.addEventListener("pointerleave", hide);
    plot.addEventListener("blur", hide);
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) show(slot < 0 ? (step > 0 ? 0 : rows.length - 1) : slot + step);
      else if (event.key === "Home") show(0);
      else if (event.key === "End") show(rows.length - 1);
      else if (event.key === "Escape") hide();
      else return;
      event.preventDefault();
    });
  }

  // Sorting of tables that hold all of their rows.
  for (const table of all("table[data-sort]")) {
    const body = table.tBodies[0];
    all("thead th", table).forEach((head, column) => {
      if (head.classList.contains("trend")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      const arrow = button.appendChild(document.createElement("span"));
      arrow.className = "arrow";
      arrow.setAttribute("aria-hidden", "true");
      arrow.textContent = "\u00a0↕";
      head.append(button);
      button.addEventListener("click", () => {
        const isNumber = head.classList.contains("number");
        const before = head.getAttribute("aria-sort");
        const isDescending = before ? before === "ascending" : isNumber;
        for (const other of all("thead th", table)) {
          other.removeAttribute("aria-sort");
          const sign = other.querySelector(".arrow");
          if (sign) sign.textContent = "\u00a0↕";
        }
        head.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
        arrow.textContent = isDescending ? "\u00a0▼" : "\u00a0▲";
        const key = (row) => {
          const cell = row.cells[column];
          if (!isNumber) return cell.textContent.trim().toLowerCase();
          return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
        };
        const sign = isDescending ? -1 : 1;
        const sorted = [...body.rows].map((row) => [key(row), row]).sort(([a], [b]) => {
          if (a === null || b === null) return (a === null) - (b === null);
          return a < b ? -sign : a > b ? sign : 0;
        });
        body.append(...sorted.map(([, row]) => row));
      });
    });
  }

  // Search while typing: hides rows of this page at once. Enter searches all pages.
  const search = document.querySelector("input[type=search]");
  const rows = all("main table.list tbody tr");
  if (search) {
    search.addEventListener("input", () => {
      const text = search.value.trim().toLowerCase();
      for (const row of rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(text);
    });
  }

  // The theme, also in the links of this page.
  for (const link of all("[data-set-theme]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const theme = link.dataset.setTheme;
      document.documentElement.dataset.theme = theme;
      const themed = (address) => {
        const url = new URL(address, location.href);
        if (theme === "auto") url.searchParams.delete("theme");
        else url.searchParams.set("theme", theme);
        return url;
      };
      history.replaceState(null, "", themed(location.href));
      for (const other of all("a[href]")) {
        const url = new URL(other.href);
        const isPage = url.origin === location.origin && !/\/api\/|\/openapi\.json$|\/assets\//.test(url.pathname);
        if (isPage && !other.dataset.setTheme && !other.getAttribute("href").startsWith("#")) {
          other.href = themed(other.href);
        }
      }
      for (const form of all("form")) {
        if (form.method === "post") {
          form.action = themed(form.action);
          continue;
        }
        let field = form.querySelector("[name=theme]");
        if (!field) {
          field = form.appendChild(document.createElement("input"));
          field.type = "hidden";
          field.name = "theme";
        }
        field.value = theme;
      }
      for (const other of all("[data-set-theme]")) other.removeAttribute("aria-current");
      link.setAttribute("aria-current", "true");
      link.closest("details").open = false;
    });
  }

  // What changes, as it happens: the same page again, of which the part that changes takes the place of the one shown.
  // `data-live` says after how many seconds to look again. The last look of all shows the end.
  const live = document.querySelector("[data-live]");
  const lookAgain = () => {
    const seconds = Number(live.dataset.live);
    if (seconds) setTimeout(look, seconds * 1000);
  };
  // An output that was scrolled to its end follows what comes, any other stays where it was.
  const replaceBy = (fresh) => {
    const output = () => live.querySelector("pre.log");
    const { scrollTop = 0, clientHeight = 0, scrollHeight = 0 } = output() ?? {};
    live.replaceChildren(...fresh.childNodes);
    if (output()) output().scrollTop = scrollTop + clientHeight + 4 >= scrollHeight ? output().scrollHeight : scrollTop;
  };
  const look = async () => {
    try {
      const response = document.hidden ? null : await fetch(location.href, { headers: { accept: "text/html" } });
      const page = response?.ok && new DOMParser().parseFromString(await response.text(), "text/html");
      const fresh = page && page.querySelector("[data-live]");
      if (fresh) {
        if (fresh.innerHTML !== live.innerHTML) replaceBy(fresh);
        live.dataset.live = fresh.dataset.live;
      }
    } catch {
      // The server is away. The next look may find it.
    }
    lookAgain();
  };
  if (live) lookAgain();

  // Menus close by Escape and by a click elsewhere.
  const close = (except) => {
    for (const menu of all("details.menu[open]")) if (menu !== except) menu.open = false;
  };
  document.addEventListener("click", (event) => close(event.target.closest("details.menu")));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const open = document.querySelector("details.menu[open]");
    if (!open) return;
    open.open = false;
    open.querySelector("summary").focus();
  });
})();
