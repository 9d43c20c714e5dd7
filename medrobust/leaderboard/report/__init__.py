"""One model's report: what it is, how it fails, how sure we are, what was not tested."""
