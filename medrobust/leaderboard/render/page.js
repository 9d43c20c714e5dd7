const tables = [...document.querySelectorAll("table.standings")].map((table) => new Standings(table, changed));
function changed(table) {
  const state = new URLSearchParams();
  for (const one of tables) one.save(state);
  address.write(`o${table.number}`, state);
}

function load(scroll) {
  const { anchor, state } = address.read();
  for (const table of tables) {
    table.load(state);
    table.reveal(anchor);
  }
  if (scroll) address.go(anchor);
}

// A link to another place keeps the view; going back to an address with a view brings it back.
addEventListener("hashchange", () => {
  const { anchor, state } = address.read();
  if ([...state].length) return load(true);
  for (const table of tables) {
    table.reveal(anchor);
    table.save(state);
  }
  address.write(anchor, state);
  address.go(anchor);
});
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details.why, [id$=-trust] details")) details.open = true;
  for (const table of tables) table.plain();
});
addEventListener("afterprint", () => { for (const table of tables) table.press(); });
load(location.hash.length > 1);
