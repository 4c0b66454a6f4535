"use strict";
(() => {
  const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
  const root = document.documentElement;

  // Light and dark: the system decides until the reader does.
  const themes = ["system", "light", "dark"];
  const remembered = () => { try { return localStorage.getItem("benchsuite-theme"); } catch { return null; } };
  const button = make("button", { type: "button", className: "theme" });
  const wear = (theme) => {
    if (theme === "system") delete root.dataset.theme; else root.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
    try { localStorage.setItem("benchsuite-theme", theme); } catch { /* files may have no storage */ }
  };
  let worn = themes.includes(remembered()) ? remembered() : "system";
  button.addEventListener("click", () => { worn = themes[(themes.indexOf(worn) + 1) % 3]; wear(worn); });
  wear(worn);
  document.querySelector(".kicker").append(button);

  // What a mark shows: its <title>, at once instead of after a second.
  const tip = make("div", { className: "tip", hidden: true });
  tip.setAttribute("role", "status");
  document.body.append(tip);
  for (const title of document.querySelectorAll("svg title")) {
    const mark = title.parentElement;
    mark.dataset.tip = title.textContent;
    mark.setAttribute("aria-label", title.textContent);
    title.remove();
  }
  const show = (mark) => {
    const box = mark.getBoundingClientRect();
    tip.textContent = mark.dataset.tip;
    tip.hidden = false;
    const left = Math.min(box.left + box.width / 2 - tip.offsetWidth / 2, root.clientWidth - tip.offsetWidth - 8);
    tip.style.left = `${Math.max(8, left) + scrollX}px`;
    tip.style.top = `${(box.top > tip.offsetHeight + 12 ? box.top - tip.offsetHeight - 8 : box.bottom + 8) + scrollY}px`;
  };
  const marked = (event) => event.target.closest?.("[data-tip]");
  for (const name of ["pointerover", "focusin"]) document.addEventListener(name, (event) => {
    const mark = marked(event);
    if (mark) show(mark); else tip.hidden = true;
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });

  // Tables: sorted by a click on a heading, filtered by what is typed.
  const value = (cell) => {
    const number = parseFloat(cell.dataset.sort ?? cell.textContent.replace("−", "-").replace(/^[<>+]/, ""));
    return Number.isNaN(number) ? null : number;
  };
  for (const table of document.querySelectorAll("table.sort")) {
    const body = table.tBodies[0];
    if (body.rows.length < 3) continue;
    [...table.tHead.rows[0].cells].forEach((head, place) => {
      const sorter = make("button", { type: "button" });
      sorter.append(...head.childNodes);
      head.append(sorter);
      sorter.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const keyed = [...body.rows].map((row) => [row, value(row.cells[place]), row.cells[place].textContent]);
        keyed.sort(([, a, x], [, b, y]) => {
          if (a === null || b === null) return (a === null) - (b === null) || (up ? 1 : -1) * x.localeCompare(y);
          return up ? a - b : b - a;
        });
        body.append(...keyed.map(([row]) => row));
      });
    });
    if (!table.classList.contains("filter") || body.rows.length < 8) continue;
    const filter = make("input", { type: "search", placeholder: "Filter these rows", className: "search" });
    filter.setAttribute("aria-label", `Filter: ${table.parentElement.getAttribute("aria-label")}`);
    filter.addEventListener("input", () => {
      const words = filter.value.toLowerCase().split(/\s+/);
      for (const row of body.rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    });
    table.parentElement.before(filter);
  }

  // Figures: a series, or the baseline, is switched off and on in its figure.
  for (const figure of document.querySelectorAll("figure")) {
    const baseline = figure.querySelector(".point.baseline, .line.baseline");
    const keys = [...figure.querySelectorAll(".legend .key")];
    const toggle = (name, node) => node.addEventListener("click", () => {
      node.setAttribute("aria-pressed", String(!figure.classList.toggle(`off-${name}`)));
    });
    for (const key of keys) {
      key.setAttribute("role", "button");
      key.tabIndex = 0;
      key.setAttribute("aria-pressed", "true");
      toggle(key.dataset.series, key);
      key.addEventListener("keydown", (event) => { if (event.key === "Enter") key.click(); });
    }
    if (baseline && !keys.length) {
      const off = make("button", { type: "button", className: "toggle", textContent: "Baseline" });
      off.setAttribute("aria-pressed", "true");
      toggle("baseline", off);
      figure.prepend(off);
    }
  }

  // A link into a fold opens it, and so does printing.
  const open = () => {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
  };
  addEventListener("hashchange", open);
  open();
  addEventListener("beforeprint", () => { for (const fold of document.querySelectorAll("details.fold")) fold.open = true; });
})();
