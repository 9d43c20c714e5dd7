const tables = [...document.querySelectorAll("table.standings")].map((table) => new Standings(table, changed));
const most = Math.max(0, ...tables.map(({ keys }) => keys.length));
for (let i = 1; i <= most; i++) document.styleSheets[0].insertRule(`.without-${i} tr:not(.group) > :nth-child(${i}) { display: none; }`);

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
addEventListener("beforeprint", () => { for (const details of document.querySelectorAll("details.why")) details.open = true; });
load(location.hash.length > 1);
