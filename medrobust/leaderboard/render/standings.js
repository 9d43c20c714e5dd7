// One table of standings: sorted, filtered, cut to the columns and to the number of rows asked for.
const FEW = 50, MANY = 100; // of more than many rows a few are listed, until all are asked for
const FILTERS = ["find", "condition", "tier", "validity"];

class Standings {
  constructor(table, changed) {
    const section = table.closest("section");
    this.table = table;
    this.number = table.id.match(/^o(\d+)/)[1];
    this.changed = changed;
    this.tools = [...section.querySelectorAll(".tools")];
    this.one = (at) => section.querySelector(at);
    this.heads = [...table.tHead.rows[0].cells];
    this.keys = this.heads.map((head) => head.dataset.key);
    this.bodies = [...table.tBodies].map((body) => {
      const rows = [...body.rows];
      const group = rows[0].className === "group" ? rows.shift() : null;
      return { body, group, condition: body.dataset.condition, rows: rows.map((row, i) => ({ row, i, values: [] })) };
    });
    this.total = this.bodies.reduce((sum, { rows }) => sum + rows.length, 0);
    this.fields = Object.fromEntries([...section.querySelectorAll("[data-filter]")].map((field) => [field.dataset.filter, field]));
    this.boxes = [...section.querySelectorAll("[data-column]")];
    this.off = this.heads.filter((head) => "off" in head.dataset).map((head) => head.dataset.key);
    this.state = { sort: "", order: "", hidden: new Set(this.off), all: false };
    this.equip(section);
  }

  equip(section) {
    this.buttons = this.heads.map((head, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.addEventListener("click", () => this.turn(i));
      return button;
    });
    this.press();
    for (const field of Object.values(this.fields)) field.addEventListener("input", () => this.update());
    for (const box of this.boxes)
      box.addEventListener("change", () => {
        this.state.hidden[box.checked ? "delete" : "add"](box.dataset.column);
        this.update();
      });
    const does = {
      reset: () => this.reset(),
      clear: () => this.clear(),
      all: () => { this.state.all = !this.state.all; this.update(); },
      copy: (button) => this.copy(button),
      link: () => this.give(location.href, "The link is copied.", "Copy the address of this page."),
    };
    for (const button of section.querySelectorAll("[data-do]")) button.addEventListener("click", () => does[button.dataset.do](button));
    const chooser = section.querySelector(".chooser");
    chooser.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !chooser.open) return;
      chooser.open = false;
      chooser.querySelector("summary").focus();
    });
    document.addEventListener("click", (event) => { if (!chooser.contains(event.target)) chooser.open = false; });
    for (const tools of this.tools) tools.hidden = false;
  }

  // the heads are buttons on a screen; on paper a browser leaves buttons out where it repeats heads
  press() {
    this.heads.forEach((head, i) => {
      this.buttons[i].append(...head.childNodes);
      head.append(this.buttons[i]);
    });
  }

  plain() {
    this.heads.forEach((head, i) => head.replaceChildren(...this.buttons[i].childNodes));
  }

  // first click: the best way round; second: the other; third: as measured
  turn(i) {
    const first = this.heads[i].dataset.first || "ascending", second = first === "ascending" ? "descending" : "ascending";
    const { sort, order } = this.state, same = sort === this.keys[i];
    this.state.order = !same ? first : order === first ? second : "";
    this.state.sort = this.state.order ? this.keys[i] : "";
    this.update();
  }

  reset() {
    this.load(new URLSearchParams());
    this.update();
    this.fields.find.focus();
  }

  clear() {
    for (const field of Object.values(this.fields)) field.value = "";
    this.update();
    this.fields.find.focus();
  }

  // a link to a row that is filtered away or not listed
  reveal(anchor) {
    const group = this.bodies.find(({ rows }) => rows.some(({ row }) => row.id === anchor));
    if (!group || document.getElementById(anchor)) return;
    const one = group.rows.find(({ row }) => row.id === anchor);
    if (!one.fits) for (const field of Object.values(this.fields)) field.value = "";
    this.draw();
    if (document.getElementById(anchor)) return;
    this.state.all = true;
    this.draw();
  }

  load(state) {
    const own = (name) => state.get(`${this.number}.${name}`) || "";
    for (const [name, field] of Object.entries(this.fields)) {
      field.value = own(name);
      if (field.value !== own(name)) field.value = "";
    }
    const [sort, order] = own("sort").split(".");
    const known = this.keys.includes(sort) && ["ascending", "descending"].includes(order);
    this.state = {
      sort: known ? sort : "",
      order: known ? order : "",
      hidden: new Set([...this.off.filter((key) => !own("show").split(".").includes(key)),
        ...own("hide").split(".").filter((key) => this.boxes.some((box) => box.dataset.column === key))]),
      all: own("rows") === "all",
    };
    this.draw();
  }

  save(state) {
    const put = (name, value) => (value ? state.set(`${this.number}.${name}`, value) : state.delete(`${this.number}.${name}`));
    for (const name of FILTERS) put(name, this.fields[name]?.value);
    put("sort", this.state.sort && `${this.state.sort}.${this.state.order}`);
    put("hide", this.keys.filter((key) => this.state.hidden.has(key) && !this.off.includes(key)).join("."));
    put("show", this.off.filter((key) => !this.state.hidden.has(key)).join("."));
    put("rows", this.state.all && "all");
  }

  update() {
    this.draw();
    this.changed(this);
  }

  draw() {
    this.order();
    this.filter();
    this.columns();
    this.fill();
  }

  order() {
    const column = this.keys.indexOf(this.state.sort);
    this.heads.forEach((head, i) => (i === column ? head.setAttribute("aria-sort", this.state.order) : head.removeAttribute("aria-sort")));
    this.table.classList.toggle("sorted", column > -1 && this.state.sort !== "tier");
    const way = this.state.order === "descending" ? -1 : 1;
    for (const { rows } of this.bodies) {
      if (column < 0) {
        rows.sort((a, b) => a.i - b.i);
        continue;
      }
      for (const one of rows) one.values[column] ??= this.value(one.row.cells[column], column);
      rows.sort((a, b) => {
        const x = a.values[column], y = b.values[column];
        if (x === y) return a.i - b.i;
        if (x === null || y === null) return x === null ? 1 : -1;
        return (x < y ? -way : way);
      });
    }
  }

  value(cell, column) {
    if (this.keys[column] === "entrant") return cell.textContent.toLowerCase();
    return cell.dataset.v === "" ? null : Number(cell.dataset.v.replace("inf", "Infinity"));
  }

  filter() {
    const { find, condition, tier, validity } = Object.fromEntries(FILTERS.map((name) => [name, this.fields[name]?.value || ""]));
    const words = find.toLowerCase().split(/\s+/).filter(Boolean);
    for (const group of this.bodies)
      for (const one of group.rows) {
        const { dataset } = one.row;
        one.name ??= `${one.row.cells[0].textContent} ${group.group?.textContent || ""}`.toLowerCase();
        one.fits = (!condition || condition === group.condition) && (!tier || tier === dataset.tier)
          && (!validity || (validity === "believed" ? dataset.validity !== "invalid" : validity === `=${dataset.validity}`))
          && words.every((word) => one.name.includes(word));
      }
  }

  columns() {
    this.keys.forEach((key, i) => this.table.classList.toggle(`without-${i + 1}`, this.state.hidden.has(key)));
    for (const box of this.boxes) box.checked = !this.state.hidden.has(box.dataset.column);
  }

  fill() {
    const all = this.bodies.map(({ rows }) => rows.filter((one) => one.fits));
    const fitting = all.reduce((sum, rows) => sum + rows.length, 0);
    let left = this.state.all || fitting <= MANY ? Infinity : FEW, shown = 0;
    for (const [i, { body, group }] of this.bodies.entries()) {
      const now = all[i].slice(0, left);
      shown += now.length;
      left -= now.length;
      now.forEach(({ row }, j) => row.classList.toggle("edge", j > 0 && row.dataset.tier !== now[j - 1].row.dataset.tier));
      body.replaceChildren(...(group ? [group] : []), ...now.map(({ row }) => row));
      body.hidden = !now.length;
    }
    this.count(fitting, shown);
  }

  count(fitting, shown) {
    const number = (value) => value.toLocaleString("en");
    const cut = shown < fitting ? `, the first ${number(shown)} of them listed` : "";
    this.one("[data-count]").textContent = `${number(fitting)} of ${number(this.total)} ${this.total === 1 ? "entry" : "entries"} shown${cut}`;
    this.one("[data-none]").hidden = fitting > 0;
    const more = this.one("[data-more]");
    more.hidden = fitting <= MANY;
    more.firstElementChild.textContent = this.state.all ? `List the first ${FEW} alone` : `List all ${number(fitting)}`;
  }

  // what is shown of the LaTeX table: its lines in the order of the rows, its columns as chosen
  shown(text) {
    const lines = text.split("\n"), begin = lines.indexOf("\\midrule") + 1, end = lines.lastIndexOf("\\bottomrule");
    const kept = [true, ...this.keys.filter((key) => key !== "cases").map((key) => !this.state.hidden.has(key))];
    const cut = (parts) => parts.filter((_, i) => kept[i]);
    const line = (said) => cut(said.slice(0, -3).split(" & ")).join(" & ") + " \\\\";
    const places = this.bodies.flatMap(({ rows }) => rows.filter((one) => one.fits)).map(({ row }) => Number(row.id.split("-")[1]));
    const order = new Map(this.bodies.flatMap(({ rows }) => [...rows].sort((a, b) => a.i - b.i)).map(({ row }, i) => [Number(row.id.split("-")[1]), i]));
    const layout = lines[begin - 4].replace(/\{([lr]+)\}$/, (_, all) => `{${cut([...all]).join("")}}`);
    return [...lines.slice(0, begin - 4), layout, lines[begin - 3], line(lines[begin - 2]), lines[begin - 1],
      ...places.map((place) => line(lines[begin + order.get(place)])), ...lines.slice(end)].join("\n");
  }

  copy(button) {
    const pre = document.getElementById(button.dataset.of);
    const text = "rows" in button.dataset ? this.shown(pre.textContent) : pre.textContent;
    this.give(text, "rows" in button.dataset ? "The entries shown are copied as LaTeX." : "The citation is copied.", "It is selected below: copy it from there.", pre);
  }

  async give(text, done, otherwise, pre) {
    const said = this.one("[data-said]");
    said.textContent = "";
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = done;
    } catch {
      if (pre) {
        pre.closest("details").open = true;
        getSelection().selectAllChildren(pre);
        pre.focus();
      }
      said.textContent = otherwise;
    }
  }
}
