"""A plugin that cannot be imported."""

raise RuntimeError("needs a library that is not here")
