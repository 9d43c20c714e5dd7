"""Rows to tables to files: a leaderboard is a pure function of what was measured."""

from medrobust.leaderboard.build import build
from medrobust.leaderboard.sources import commit

__all__ = ["build", "commit"]
