// The three views (start, reading, finish) and what keys and buttons do in them.
const study = JSON.parse(document.getElementById("study-data").textContent);
const answers = new Answers(study);
const $ = (id) => document.getElementById(id);
const views = ["start", "reading", "finish"];
const NAMES = { malignancy: "cancer", tampering: "modification" };
let clock = null;
let linked = true;
let typed = { text: "", at: 0, input: null };

const panels = ["A", "B"].map((letter) => ({ letter, box: $(`panel-${letter}`), viewer: new Viewer($(`viewer-${letter}`), peers) }));
const item = () => study.items[answers.state.at];
const shown = () => panels.slice(0, item().images.length);

function peers(viewer) {
  const all = shown().map((panel) => panel.viewer);
  return linked ? all : [viewer];
}

function say(text) { $("status").textContent = text; }

function open(view) {
  tick();
  for (const name of views) $(name).hidden = name !== view;
  document.body.dataset.view = view;
  clock = view === "reading" && !document.hidden ? performance.now() : null;
}

// Add what has passed to the item's time; hidden tabs do not count.
function tick() {
  if (clock === null) return;
  const now = performance.now(), name = item().item;
  answers.state.times[name] = (answers.state.times[name] || 0) + now - clock;
  clock = now;
}

function save() {
  tick();
  $("lost").hidden = answers.save();
}

function go(index) {
  open("reading");
  tick();
  answers.state.at = index;
  const { item: name, images } = item(), total = study.items.length;
  document.body.dataset.images = images.length;
  panels[1].box.hidden = images.length < 2;
  $("link").hidden = images.length < 2;
  panels.forEach(({ letter, viewer }, i) => {
    if (!images[i]) return;
    viewer.show(images[i]);
    for (const scale of SCALES) {
      const value = answers.value(images[i].image, scale);
      paint($(`${letter}-${scale}`), value);
    }
  });
  $("place").textContent = `Item ${index + 1} of ${total}`;
  $("kind").textContent = images.length > 1 ? "two images: rate each on its own" : "one image";
  $("previous").disabled = index === 0;
  progress();
  say("");
  $("place").focus({ preventScroll: true });
  window.scrollTo(0, 0);
  save();
  document.body.dataset.item = name;
}

function progress() {
  const total = study.items.length, done = total - answers.left().length;
  $("progress").max = total;
  $("progress").value = done;
  $("rated").textContent = `${done} of ${total} rated`;
  $("next").textContent = answers.state.at === total - 1 ? "Finish" : "Next";
}

function paint(input, value) {
  input.value = value === null ? 50 : value;
  input.classList.toggle("unrated", value === null);
  input.setAttribute("aria-valuetext", value === null ? "not rated yet" : String(value));
  input.style.setProperty("--at", `${value === null ? 50 : value}%`);
  document.querySelector(`output[for="${input.id}"]`).textContent = value === null ? "not rated" : String(value);
}

function rate(input, value) {
  const [letter, scale] = input.id.split("-");
  const image = item().images["AB".indexOf(letter)].image;
  answers.rate(image, scale, value);
  paint(input, value);
  progress();
  say("");
  save();
}

const sliders = () => shown().flatMap(({ letter }) => SCALES.map((scale) => $(`${letter}-${scale}`)));
const unrated = () => sliders().filter((input) => input.classList.contains("unrated"));

function next() {
  const [missing] = unrated();
  if (missing) {
    const [letter, scale] = missing.id.split("-");
    say(`Please rate ${NAMES[scale]}${item().images.length > 1 ? ` in image ${letter}` : ""} first.`);
    missing.focus();
    return;
  }
  if (answers.state.at < study.items.length - 1) go(answers.state.at + 1);
  else finish();
}

function finish() {
  save();
  open("finish");
  const left = answers.left();
  $("outcome").textContent = left.length
    ? `${left.length} of ${study.items.length} items are not rated yet.`
    : `All ${study.items.length} items are rated. Save your answers and send the file back to whoever gave you this study.`;
  $("left").replaceChildren(...left.map((one) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `Item ${Number(one.item)}`;
    button.addEventListener("click", () => go(study.items.indexOf(one)));
    const line = document.createElement("li");
    line.append(button);
    return line;
  }));
  $("saved").textContent = answers.state.exported ? "Saved before; nothing has changed since." : "";
  $("outcome").focus();
}

function download(kind) {
  save();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([answers[kind]()], { type: kind === "json" ? "application/json" : "text/csv" }));
  link.download = answers.file(kind);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  answers.state.exported = true;
  save();
  const text = `Saved as ${link.download}`;
  $("saved").textContent = text;
  say(text);
}

// Two figures typed within a second are one number; one alone stands for tens.
function digit(input, key) {
  const now = performance.now();
  const going = typed.input === input && now - typed.at < 1000 && typed.text.length < 3;
  const text = (going ? typed.text : "") + key;
  const value = text.length === 1 ? 10 * Number(text) : Number(text);
  typed = { text, at: now, input };
  if (value <= 100) rate(input, value);
}

const ACTIONS = {
  "+": () => panels[active()].viewer.zoomAt(1.25),
  "=": () => panels[active()].viewer.zoomAt(1.25),
  "-": () => panels[active()].viewer.zoomAt(0.8),
  f: () => panels[active()].viewer.change((view) => ({ ...view, zoom: 1, x: 0.5, y: 0.5 })),
  r: () => panels[active()].viewer.reset(),
  i: () => panels[active()].viewer.invert(),
  w: () => drag(panels[0].viewer.drag === "move" ? "window" : "move"),
  l: () => link(!linked),
  n: next,
  p: () => { if (answers.state.at) go(answers.state.at - 1); },
  "?": () => ask("help", "help-close"),
};

let last = 0;
// The image that keys and buttons mean: the one that had the focus last.
function active() { return Math.min(last, shown().length - 1); }

function drag(mode) {
  for (const { viewer, box } of panels) { viewer.drag = mode; box.dataset.drag = mode; }
  $("drag").setAttribute("aria-pressed", String(mode === "window"));
}

function link(on) {
  linked = on;
  $("link").setAttribute("aria-pressed", String(on));
}

const STEP = 40;
const ARROWS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

function onKey(event) {
  if ($("reading").hidden || $("help").open || event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target, slider = target.matches("input[type=range]");
  if (target.matches("input:not([type=range]), select, textarea")) return;
  if (slider && /^[0-9]$/.test(event.key)) {
    digit(target, event.key);
  } else if (slider && event.key === "Enter") {
    const [missing] = unrated();
    if (missing) missing.focus(); else next();
  } else if (slider && target.classList.contains("unrated") && /^(Arrow|Page|Home|End)/.test(event.key)) {
    setTimeout(() => rate(target, Number(target.value)));
    return;
  } else if (target.classList.contains("viewer") && ARROWS[event.key]) {
    const [x, y] = ARROWS[event.key], { viewer } = panels[active()];
    if (event.shiftKey) viewer.adjust(8 * x, -6 * y); else viewer.move(STEP * x, STEP * y);
  } else if ($("toolbar").contains(target) && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
    rove(target, event.key === "ArrowRight" ? 1 : -1);
  } else if (ACTIONS[event.key.toLowerCase()] && $("keys").checked) {
    ACTIONS[event.key.toLowerCase()]();
  } else {
    return;
  }
  event.preventDefault();
}

// One tab stop for the whole toolbar; arrow keys go from button to button.
function rove(from, step) {
  const buttons = [...$("toolbar").querySelectorAll("button")].filter((one) => !one.hidden);
  const to = buttons[(buttons.indexOf(from) + step + buttons.length) % buttons.length];
  for (const one of buttons) one.tabIndex = one === to ? 0 : -1;
  to.focus();
}

// A dialog whose first answer is the harmless one.
function ask(dialog, harmless) {
  $(dialog).showModal();
  $(harmless).focus();
}

function theme(name) {
  document.documentElement.dataset.theme = name;
  try { localStorage.setItem("medrobust-study-theme", name); } catch (error) { /* shown, not kept */ }
}

function begin(event) {
  event.preventDefault();
  const form = new FormData($("form"));
  const reader = answers.reader(Object.fromEntries(form));
  if (!reader.name) {
    $("name").setCustomValidity("Please enter a name or a code.");
    $("name").reportValidity();
    return;
  }
  answers.state.reader = reader;
  go(answers.state.at);
}

function welcome() {
  const { reader, at } = answers.state;
  $("resume").hidden = !reader;
  $("form").hidden = Boolean(reader);
  if (reader) $("who").textContent = `${reader.name}: ${study.items.length - answers.left().length} of ${study.items.length} items are rated, item ${at + 1} is next.`;
  open("start");
}

function forget() {
  answers.erase();
  $("erase-sure").close();
  $("form").reset();
  welcome();
  $("name").focus();
}

function start() {
  for (const { letter, viewer, box } of panels) {
    box.addEventListener("focusin", () => { last = "AB".indexOf(letter); });
    box.addEventListener("pointerdown", () => { last = "AB".indexOf(letter); });
    box.dataset.drag = viewer.drag;
    for (const scale of SCALES) {
      const input = $(`${letter}-${scale}`);
      input.addEventListener("input", () => rate(input, Number(input.value)));
      input.addEventListener("click", () => rate(input, Number(input.value)));
    }
  }
  const clicks = {
    "zoom-in": ACTIONS["+"], "zoom-out": ACTIONS["-"], fit: ACTIONS.f, drag: ACTIONS.w, invert: ACTIONS.i, reset: ACTIONS.r, link: ACTIONS.l,
    help_: ACTIONS["?"], previous: ACTIONS.p, next, copy: () => download("json"), json: () => download("json"), csv: () => download("csv"),
    continue: () => (answers.left().length ? go(answers.state.at) : finish()), back: () => go(answers.state.at), "help-close": () => $("help").close(),
    erase: () => ask("erase-sure", "erase-no"), another: () => ask("erase-sure", "erase-no"), "erase-yes": forget, "erase-no": () => $("erase-sure").close(),
  };
  for (const [id, act] of Object.entries(clicks)) $(id).addEventListener("click", act);
  for (const button of document.querySelectorAll(".theme")) button.addEventListener("click", () => theme(dark() ? "light" : "dark"));
  $("form").addEventListener("submit", begin);
  $("name").addEventListener("input", () => $("name").setCustomValidity(""));
  document.addEventListener("keydown", onKey);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { save(); clock = null; } else if (!$("reading").hidden) clock = performance.now();
  });
  window.addEventListener("pagehide", () => { if (answers.state.reader) save(); });
  window.addEventListener("storage", (event) => { if (event.key === answers.place) $("twice").hidden = false; });
  try { const kept = localStorage.getItem("medrobust-study-theme"); if (kept === "dark" || kept === "light") theme(kept); } catch (error) { /* the system's */ }
  $("start").dataset.script = "on";
  welcome();
}

function dark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : !$("reading").hidden || matchMedia("(prefers-color-scheme: dark)").matches;
}

start();
