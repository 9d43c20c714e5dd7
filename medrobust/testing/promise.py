"""A promise: a number, a sentence, and a check that says what it found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from medrobust.testing.bench import Bench


class BrokenPromise(AssertionError):  # noqa: N818 - named as it is read: a broken promise
    """A plugin does not keep a promise; the message says which, and what was found."""


@dataclass(frozen=True)
class Promise:
    """What every plugin of a kind keeps.

    number: stable for ever, such as `A3`; a promise that is withdrawn leaves its number unused.
    sentence: what the plugin does, such as `keeps shape, dtype and device`.
    check: (plugin, bench) -> what was found, empty where the promise is kept.
    task: whose bench a plugin that names no task is checked on.
    """

    number: str
    sentence: str
    check: Callable[[Any, Bench], str]
    task: str = "reconstruction"

    def __call__(self, plugin: object, bench: Bench | None = None) -> None:
        """Check `plugin` on `bench`, the default one of its task where None; raises BrokenPromise, or whatever the plugin itself raises."""
        found = self.check(plugin, bench or Bench.suited(plugin, self.task))
        if found:
            msg = f"{self.number} {type(plugin).__name__} {self.sentence}: {found}"
            raise BrokenPromise(msg)

    def __str__(self) -> str:
        return f"{self.number}-{self.sentence.split(':')[0].replace(',', '').replace(' ', '-')}"
