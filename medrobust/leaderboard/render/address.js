// The state of the page lives behind a question mark in the fragment: #o1?1.sort=worst.descending&1.find=unet
const address = {
  read() {
    const [anchor, state] = location.hash.slice(1).split(/\?(.*)/s);
    return { anchor, state: new URLSearchParams(state || "") };
  },
  write(anchor, state) {
    const said = state.toString();
    const hash = anchor || said ? `#${anchor}${said ? `?${said}` : ""}` : "";
    if (hash !== location.hash) history.replaceState(null, "", location.pathname + location.search + hash);
  },
  go(anchor) {
    const place = anchor && document.getElementById(anchor);
    // The browser may have been there first and the reader gone on from it: nobody is called back.
    if (!place || (place !== document.activeElement && place.contains(document.activeElement))) return;
    for (let e = place; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
    if (place.tabIndex < 0) place.tabIndex = -1;
    place.focus({ preventScroll: true });
    place.scrollIntoView({ behavior: "instant" });
  },
};
