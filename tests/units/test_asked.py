from __future__ import annotations

from medrobust.leaderboard.asked import CASES, THREATS, WORDS
from medrobust.leaderboard.overview.headlines import HEADLINES


def test_every_track_that_has_standings_says_what_it_asks_of_what_and_in_which_words() -> None:
    assert set(THREATS) == set(CASES) == set(WORDS) == set(HEADLINES)
