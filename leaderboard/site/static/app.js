/* Theme, copy buttons, and the leaderboard's tabs, filters and sorting. No library, no network; state is in the URL hash. */
(function () {
  "use strict";

  function themeButton() {
    const button = document.getElementById("theme");
    const order = ["auto", "light", "dark"];
    const show = () => { button.querySelector("span").textContent = document.documentElement.dataset.theme || "auto"; };
    button.hidden = false;
    show();
    button.addEventListener("click", () => {
      const next = order[(order.indexOf(document.documentElement.dataset.theme || "auto") + 1) % order.length];
      if (next === "auto") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = next;
      try { localStorage.setItem("theme", next); } catch (error) { /* the choice then lasts for this page only */ }
      show();
    });
  }

  function select(node) {
    const range = document.createRange();
    range.selectNodeContents(node);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  }

  function copyButtons() {
    for (const button of document.querySelectorAll("[data-copy]")) {
      const source = document.getElementById(button.dataset.copy);
      const words = button.textContent;
      button.hidden = false;
      button.addEventListener("click", async () => {
        try {
          await navigator.clipboard.writeText(source.textContent);
          button.textContent = "Copied";
        } catch (error) {
          select(source);
          button.textContent = "Selected: press Ctrl+C";
        }
        setTimeout(() => { button.textContent = words; }, 2000);
      });
    }
  }

  const DEFAULT = { dataset: "", q: "", family: "", unofficial: "1", sort: "worst", dir: "desc" };
  const LOW_FIRST = new Set(["rank", "name", "flips", "cost"]);

  function leaderboard(controls) {
    const boards = [...document.querySelectorAll("section.board")];
    const tabs = document.getElementById("tabs");
    const fallback = boards[0].dataset.dataset;
    let state = { ...DEFAULT, dataset: fallback };

    function read() {
      const given = new URLSearchParams(location.hash.slice(1));
      state = { ...DEFAULT, dataset: fallback };
      for (const key of Object.keys(DEFAULT)) if (given.has(key)) state[key] = given.get(key);
      const board = document.getElementById(location.hash.slice(1));
      if (board && boards.includes(board)) state.dataset = board.dataset.dataset;
      if (!boards.some((board) => board.dataset.dataset === state.dataset)) state.dataset = fallback;
      if (!document.querySelector(`[data-sort="${CSS.escape(state.sort)}"]`)) state.sort = DEFAULT.sort;
      if (!["asc", "desc"].includes(state.dir)) state.dir = DEFAULT.dir;
    }

    function write() {
      const kept = new URLSearchParams();
      for (const [key, value] of Object.entries(state)) {
        if (value !== (key === "dataset" ? fallback : DEFAULT[key])) kept.set(key, value);
      }
      const hash = kept.toString();
      history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
    }

    function change(part) {
      Object.assign(state, part);
      write();
      show();
    }

    function cellOf(row, key) {
      const place = [...row.closest("table").querySelectorAll("thead [data-sort]")].findIndex((b) => b.dataset.sort === key);
      return row.children[place];
    }

    function sortRows(body) {
      const rows = [...body.querySelectorAll("tr.entry")];
      const sign = state.dir === "desc" ? -1 : 1;
      rows.forEach((row, index) => { if (!row.dataset.first) row.dataset.first = index + 1; });
      rows.sort((one, two) => {
        const a = cellOf(one, state.sort).dataset.value;
        const b = cellOf(two, state.sort).dataset.value;
        if (!a || !b) return (a ? 0 : 1) - (b ? 0 : 1) || one.dataset.first - two.dataset.first;
        const order = state.sort === "name" ? a.localeCompare(b) : Number(a) - Number(b);
        const further = Number(cellOf(one, state.sort).dataset.to || 0) - Number(cellOf(two, state.sort).dataset.to || 0);
        return sign * (order || further) || one.dataset.first - two.dataset.first;
      });
      rows.forEach((row) => body.append(row));
    }

    function matches(row) {
      const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
      const text = row.dataset.text.toLowerCase();
      return words.every((word) => text.includes(word))
        && (!state.family || row.dataset.family === state.family)
        && (state.unofficial === "1" || row.dataset.official === "1");
    }

    function show() {
      for (const board of boards) {
        const open = board.dataset.dataset === state.dataset;
        board.hidden = !open;
        let shown = 0;
        const rows = [...board.querySelectorAll("tr.entry")];
        for (const row of rows) { row.hidden = !matches(row); shown += row.hidden ? 0 : 1; }
        for (const body of board.querySelectorAll(".leader tbody")) {
          sortRows(body);
          body.hidden = ![...body.querySelectorAll("tr.entry")].some((row) => !row.hidden);
        }
        board.querySelector(".nothing").hidden = shown > 0;
        for (const button of board.querySelectorAll("[data-sort]")) {
          const sorted = button.dataset.sort === state.sort;
          const words = sorted ? (state.dir === "desc" ? "descending" : "ascending") : "none";
          button.closest("th").setAttribute("aria-sort", words);
        }
        if (open) controls.querySelector(".count").textContent = `${shown} of ${rows.length} entries`;
      }
      for (const tab of tabs.children) {
        const open = tab.dataset.dataset === state.dataset;
        tab.setAttribute("aria-selected", String(open));
        tab.tabIndex = open ? 0 : -1;
      }
      for (const name of ["q", "family", "sortby"]) {
        const field = controls.elements[name];
        const wanted = name === "sortby" ? `${state.sort} ${state.dir}` : state[name];
        if (field.value !== wanted) field.value = wanted;
      }
      controls.elements.unofficial.checked = state.unofficial === "1";
    }

    function makeTabs() {
      for (const board of boards) {
        const tab = document.createElement("button");
        tab.type = "button";
        tab.role = "tab";
        tab.id = `tab-${board.dataset.dataset}`;
        tab.dataset.dataset = board.dataset.dataset;
        tab.textContent = board.dataset.short;
        tab.title = board.querySelector("h2").textContent;
        tab.setAttribute("aria-controls", board.id);
        tab.addEventListener("click", () => change({ dataset: tab.dataset.dataset }));
        tabs.append(tab);
        board.setAttribute("role", "tabpanel");
      }
      tabs.hidden = boards.length < 2;
      tabs.addEventListener("keydown", (event) => {
        const all = [...tabs.children];
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
        next.focus();
        next.click();
      });
    }

    function makeChoices() {
      const families = new Set([...document.querySelectorAll("tr.entry")].map((row) => row.dataset.family));
      for (const family of [...families].sort()) controls.elements.family.append(new Option(family === "none" ? "no defense" : family, family));
      for (const button of boards[0].querySelectorAll("[data-sort]")) {
        const low = LOW_FIRST.has(button.dataset.sort);
        const label = button.firstChild.textContent;
        for (const dir of low ? ["asc", "desc"] : ["desc", "asc"]) {
          const words = button.dataset.sort === "name" ? (dir === "asc" ? "A to Z" : "Z to A") : (dir === "asc" ? "low first" : "high first");
          controls.elements.sortby.append(new Option(`${label}, ${words}`, `${button.dataset.sort} ${dir}`));
        }
      }
      document.getElementById("unofficial-switch").hidden = !document.querySelector('tr.entry[data-official="0"]');
    }

    /* A row under the pointer or with the focus lights up its point, and a point its row. */
    function pairUp() {
      const light = (board, key, on) => {
        for (const one of board.querySelectorAll("[data-entry]")) if (one.dataset.entry === key) one.classList.toggle("lit", on);
      };
      for (const board of boards) {
        for (const one of board.querySelectorAll("[data-entry]")) {
          for (const [event, on] of [["mouseenter", true], ["mouseleave", false], ["focusin", true], ["focusout", false]]) {
            one.addEventListener(event, () => light(board, one.dataset.entry, on));
          }
        }
      }
    }

    function listen() {
      for (const button of document.querySelectorAll("[data-sort]")) {
        button.addEventListener("click", () => {
          const key = button.dataset.sort;
          const first = LOW_FIRST.has(key) ? "asc" : "desc";
          const turned = state.dir === "asc" ? "desc" : "asc";
          change({ sort: key, dir: state.sort === key ? turned : first });
        });
      }
      controls.elements.q.addEventListener("input", (event) => change({ q: event.target.value }));
      controls.elements.family.addEventListener("change", (event) => change({ family: event.target.value }));
      controls.elements.unofficial.addEventListener("change", (event) => change({ unofficial: event.target.checked ? "1" : "0" }));
      controls.elements.sortby.addEventListener("change", (event) => {
        const [sort, dir] = event.target.value.split(" ");
        change({ sort, dir });
      });
      controls.addEventListener("submit", (event) => event.preventDefault());
      for (const button of document.querySelectorAll("[data-reset]")) {
        button.addEventListener("click", () => { change({ q: "", family: "", unofficial: "1" }); controls.elements.q.focus(); });
      }
      document.getElementById("csv").addEventListener("click", download);
      addEventListener("hashchange", () => { read(); show(); });
    }

    function download() {
      const board = boards.find((one) => !one.hidden);
      const quote = (text) => `"${String(text).replaceAll('"', '""')}"`;
      const heads = [...board.querySelectorAll("[data-sort]")].map((button) => button.dataset.sort);
      const wanted = heads.filter((head) => head !== "name");
      const names = wanted.flatMap((head) => head === "rank" ? ["rank", "rank_to"] : [head]);
      const lines = [["submission_title", "official", ...names].map(quote).join(",")];
      for (const row of board.querySelectorAll("tr.entry:not([hidden])")) {
        const values = wanted.flatMap((head) => {
          const cell = cellOf(row, head);
          return head === "rank" ? [cell.dataset.value, cell.dataset.to] : [cell.dataset.value];
        });
        lines.push([cellOf(row, "name").dataset.value, row.dataset.official === "1", ...values].map(quote).join(","));
      }
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
      link.download = `medrobustbench-${board.dataset.dataset}.csv`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    }

    controls.hidden = false;
    makeTabs();
    makeChoices();
    pairUp();
    listen();
    read();
    show();
  }

  themeButton();
  copyButtons();
  const controls = document.getElementById("controls");
  if (controls) leaderboard(controls);
})();
