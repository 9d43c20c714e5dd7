"""Building blocks of networks that more than one line describes."""
