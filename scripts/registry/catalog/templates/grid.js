// The grid of images: rows and thumbnails are loaded where it is scrolled to. The files of data are scripts, because a
// page that was opened from a folder may load those, and no JSON.
"use strict";

const grid = document.querySelector("[data-grid]");
if (grid) {
  const GAP = 8, FIRST_CODE = 35, MARGIN = 2, PAUSE = 80; // pixels; see shown_items.py; rows of cells; milliseconds
  const side = Number(grid.dataset.side), across = Number(grid.dataset.across), step = side + GAP;
  const form = grid.querySelector("form"), found = grid.querySelector("[data-found]");
  const scroller = grid.querySelector(".cells"), area = scroller.firstElementChild, dialog = grid.querySelector("dialog");

  // --- data ---
  const asked = new Map(), here = new Map(), arrived = new Map();
  window.registryCatalog = data => { here.set(data.at, data); arrived.get(data.at)?.(data); };
  const load = name => {
    if (!asked.has(name)) asked.set(name, new Promise((resolve, reject) => {
      const script = document.createElement("script");
      arrived.set(name, resolve);
      script.src = `${grid.dataset.grid}${name}.js`;
      script.onload = () => script.remove();
      script.onerror = () => { script.remove(); asked.delete(name); reject(new Error(name)); };
      document.head.append(script);
    }));
    return asked.get(name);
  };
  const failed = error => { found.textContent = `Could not be loaded: ${error.message}. Reload the page to try again.`; };

  const start = index => {
    const total = index.groups.reduce((sum, group) => sum + group[2], 0);
    let rows = new Uint32Array(0), active = 0, turn = 0, pause = 0;
    const cells = new Map(); // by their place among the rows that are shown

    // --- filters ---
    const choice = (name, values, column) => {
      if (values.length < 2) return null;
      const label = document.createElement("label"), select = document.createElement("select");
      select.append(new Option("all", ""), ...values.map((value, code) => new Option(value, column === undefined ? value : code)));
      if (column !== undefined) select.dataset.column = column;
      label.append(`${name} `, select);
      form.append(label);
      return select;
    };
    const split = choice("split", [...new Set(index.groups.map(group => group[0]))]);
    const label = choice("class", [...new Set(index.groups.map(group => group[1]))].sort());
    const columns = index.columns.map((one, number) => choice(one.column, one.values, number)).filter(Boolean);
    const choose = async () => {
      const mine = ++turn, chosen = columns.filter(one => one.value);
      const codes = (await Promise.all(chosen.map(one => load(`codes-${one.dataset.column}`)))).map(one => one.codes);
      if (mine !== turn) return;
      const wanted = chosen.map(one => Number(one.value) + FIRST_CODE), list = new Uint32Array(total);
      let number = 0, row = 0;
      for (const [split_of, label_of, count] of index.groups) {
        const end = row + count;
        if ((split?.value && split.value !== split_of) || (label?.value && label.value !== label_of)) row = end;
        for (; row < end; row++) if (codes.every((text, at) => text.charCodeAt(row) === wanted[at])) list[number++] = row;
      }
      rows = list.subarray(0, number);
      found.textContent = `${number.toLocaleString("en")} of ${total.toLocaleString("en")} images`;
      active = 0;
      scroller.scrollTop = 0;
      for (const cell of cells.values()) cell.remove();
      cells.clear();
      draw();
    };

    // --- cells ---
    const fit = () => Math.max(1, Math.floor((scroller.clientWidth - GAP) / step));
    const picture = (element, place, scale) => {
      const sheet = index.sheets[Math.floor(place / (across * across))], cell = place % (across * across);
      element.style.backgroundImage = `url("${grid.dataset.sheets}${sheet}.webp")`;
      element.style.backgroundSize = `${side * across * scale}px auto`;
      element.style.backgroundPosition = `${-(cell % across) * side * scale}px ${-Math.floor(cell / across) * side * scale}px`;
    };
    const group = row => {
      for (const one of index.groups) { if (row < one[2]) return one; row -= one[2]; }
      return ["", ""];
    };
    const read = row => {
      const part = here.get(`rows-${Math.floor(row / index.chunk)}`), at = row % index.chunk;
      return part && {uuid: part.uuid[at], place: part.place[at], part, at};
    };
    const paint = (cell, row) => {
      const one = read(row);
      if (!one) return false;
      const [split_of, label_of] = group(row);
      cell.setAttribute("aria-label", `${split_of} ${label_of} ${one.uuid ?? "erased"}`);
      cell.title = `${split_of}/${label_of}${one.uuid ? "" : ", erased"}`;
      if (one.place !== null) picture(cell, one.place, 1);
      cell.dataset.painted = "";
      return true;
    };
    const fetchMissing = () => {
      const chunks = new Set();
      for (const [at, cell] of cells) if (!("painted" in cell.dataset)) chunks.add(Math.floor(rows[at] / index.chunk));
      Promise.all([...chunks].map(chunk => load(`rows-${chunk}`))).then(() => {
        for (const [at, cell] of cells) if (!("painted" in cell.dataset)) paint(cell, rows[at]);
      }).catch(failed);
    };
    const draw = () => {
      const wide = fit(), top = Math.floor(scroller.scrollTop / step) - MARGIN;
      const bottom = Math.ceil((scroller.scrollTop + scroller.clientHeight) / step) + MARGIN;
      const from = Math.max(0, top * wide), to = Math.min(rows.length, bottom * wide);
      area.style.height = `${Math.ceil(rows.length / wide) * step}px`;
      for (const [at, cell] of cells) if (at < from || at >= to) { cell.remove(); cells.delete(at); }
      const inset = Math.max(0, Math.floor((area.clientWidth - wide * step + GAP) / 2));
      let missing = false;
      for (let at = from; at < to; at++) {
        let cell = cells.get(at);
        if (!cell) {
          cell = document.createElement("button");
          cell.type = "button";
          cell.className = "cell";
          cell.dataset.at = at;
          cell.style.width = cell.style.height = `${side}px`;
          cell.setAttribute("aria-label", "image");
          cells.set(at, cell);
          area.append(cell);
          missing = !paint(cell, rows[at]) || missing;
        }
        cell.tabIndex = at === active ? 0 : -1;
        cell.style.left = `${inset + (at % wide) * step}px`;
        cell.style.top = `${Math.floor(at / wide) * step}px`;
      }
      if (missing) {
        clearTimeout(pause);
        pause = setTimeout(fetchMissing, PAUSE); // not for what is only scrolled past
      }
    };
    const go = at => {
      active = Math.max(0, Math.min(rows.length - 1, at));
      const line = Math.floor(active / fit()) * step;
      if (line < scroller.scrollTop) scroller.scrollTop = line;
      if (line + step + GAP > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = line + step + GAP - scroller.clientHeight;
      draw();
      cells.get(active)?.focus({preventScroll: true});
    };

    // --- one image ---
    const open = async at => {
      const row = rows[at];
      await load(`rows-${Math.floor(row / index.chunk)}`);
      const one = read(row), [split_of, label_of] = group(row), large = dialog.querySelector(".large");
      const facts = [["UUID", one.uuid ?? "erased"], ["split", split_of], ["class", label_of]];
      for (const {column} of index.columns) facts.push([column, one.part[column]?.[one.at] ?? "–"]);
      large.style.backgroundImage = "";
      large.style.width = large.style.height = `${3 * side}px`;
      if (one.place !== null) picture(large, one.place, 3);
      dialog.querySelector("dl").replaceChildren(...facts.flatMap(([name, value]) => {
        const term = document.createElement("dt"), text = document.createElement("dd");
        term.textContent = name;
        text.textContent = value;
        return [term, text];
      }));
      dialog.showModal();
    };

    area.addEventListener("click", event => {
      const cell = event.target.closest(".cell");
      if (cell) { active = Number(cell.dataset.at); draw(); open(active).catch(failed); }
    });
    area.addEventListener("keydown", event => {
      const moves = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -fit(), ArrowDown: fit(), Home: -rows.length, End: rows.length};
      if (event.key in moves) { event.preventDefault(); go(active + moves[event.key]); }
    });
    form.addEventListener("input", () => choose().catch(failed));
    form.addEventListener("submit", event => event.preventDefault());
    scroller.addEventListener("scroll", () => requestAnimationFrame(draw));
    grid.hidden = false;
    new ResizeObserver(draw).observe(scroller);
    choose().catch(failed);
  };
  load("index").then(start).catch(error => { grid.hidden = false; failed(error); });
}
