"""A track at a glance: who stands where, how certain that is, and what it rests on."""
