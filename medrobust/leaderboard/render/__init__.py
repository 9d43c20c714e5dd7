"""One renderer a file format; each is a pure function of a page."""
