"""The control of every norm-bounded attack: noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from medrobust.budgets import Norm
from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.norm_bounded.ball import noise
from medrobust_attacks.norm_bounded.search import Search, perturbed


@dataclass(frozen=True)
class RandomNoise:
    """Noise of the whole budget: uniform in the box for L-infinity, uniform on the sphere for L2.

    Source: this project; Carlini et al. 2019, arXiv:1902.06705, section 4.3, ask for it. An attack that does no more than noise of equal norm has
    shown nothing. Of the draws of one case the first few are the same whatever `draws`.

    draws: noises tried a case, at least 1, one forward pass each.
    keep: `best` returns what harmed most, the clean image where nothing did, for one forward pass more; `last` returns the last draw as it came.
    control: the tables show it as what attacks are compared with; False as an attack.
    """

    threat: ClassVar[str] = "black-box"
    gradients: ClassVar[int] = 0
    draws: int = 10
    keep: Literal["best", "last"] = "best"
    control: bool = True

    def __post_init__(self) -> None:
        if self.draws < 1:
            msg = f"draws: found {self.draws}, expected 1 or more"
            raise ValueError(msg)
        if self.keep not in ("best", "last"):
            msg = f"keep: found {self.keep!r}, expected 'best' or 'last'"
            raise ValueError(msg)

    @property
    def queries(self) -> int:
        """Forward passes a case."""
        return self.draws + (self.keep == "best")

    def __call__(self, target: Target, batch: Batch, budget: Norm, rng: CaseRandom) -> Attacked:
        """Attack every case of the batch; cases share the passes."""
        search = Search(target, batch)
        if self.keep == "best":
            search.ask(batch.image)
        for _ in range(self.draws):
            drawn = noise(budget, batch.image, rng)
            search.ask(drawn)
        found = search.attacked(self.queries)
        return found if self.keep == "best" else perturbed(target, drawn, found.trace)
