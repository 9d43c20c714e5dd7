"""The promises that every attack keeps."""

from __future__ import annotations

import pytest
from medrobust_rician import RicianSearch

from medrobust.testing import Promise, attack_promises


@pytest.mark.parametrize("promise", attack_promises(), ids=str)
def test_keeps(promise: Promise) -> None:
    promise(RicianSearch())
