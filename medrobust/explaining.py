"""The explainer of a cell at work: trained where it is trainable, asked again under other seeds and shuffled weights."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from medrobust.cell import Cell
from medrobust.digests import digest
from medrobust.errors import CellError
from medrobust.fitting import Report, fitted
from medrobust.guard import Guarded, unguarded
from medrobust.outcomes import check_explained
from medrobust.randomness import CaseRandom, derive
from medrobust.types import Again, Batch, Case, Data, Explained, Explainer, Target


@dataclass(frozen=True, eq=False)
class Explaining:
    """One explainer on one target.

    guarded: the target as the explainer may see it. data: what it is trained on, None where it is not.
    """

    explainer: Explainer
    guarded: Guarded
    cell: Cell
    data: Data | None
    report: Report
    ready: dict[tuple[int, bool], tuple[Explainer, Guarded]] = field(default_factory=dict)

    def __call__(self, batch: Batch) -> Explained:
        """What the explainer says, checked."""
        explainer, guarded = self._ready(0, False)
        return self._explain(explainer, guarded, batch, streams(self.cell.seed, batch.cases))

    def again(self, batch: Batch) -> Again:
        """Explains the same batch anew, once for each way; the passes it takes are not counted as the explainer's."""

        @functools.cache
        def explain(*, seed: int = 0, randomised: bool = False) -> Explained:
            explainer, guarded = self._ready(seed, randomised)
            own = streams(self.cell.seed, batch.cases) if seed == 0 else streams(derive(self.cell.seed, "again", seed), batch.cases)
            return self._explain(explainer, guarded, batch, own)

        return explain

    def _ready(self, seed: int, randomised: bool) -> tuple[Explainer, Guarded]:
        """The explainer, trained where it must be, and its target; made once."""
        key = (seed, randomised)
        if key not in self.ready:
            guarded = self.guarded
            if key != (0, False):
                target = unguarded(guarded)
                guarded = guarded.around(shuffled(target, seed) if randomised else target)
            own = self.cell.seed if seed == 0 else derive(self.cell.seed, "again", seed)
            self.ready[key] = fitted(self.explainer, unguarded(guarded), self.data, own, self.report), guarded
        return self.ready[key]

    def _explain(self, explainer: Explainer, guarded: Guarded, batch: Batch, rng: CaseRandom) -> Explained:
        with torch.set_grad_enabled(guarded.white_box):
            return check_explained(batch, explainer(guarded, batch, rng))


def streams(seed: int, cases: Sequence[Case]) -> CaseRandom:
    """One stream a case."""
    return CaseRandom.of([derive(seed, case.case) for case in cases])


def shuffled(target: Target, seed: int) -> Target:
    """The target with the values of every weight tensor shuffled within it: nothing learned is left, every layer's scale is.

    Source: model-parameter randomisation, Adebayo et al. 2018, with permuted instead of redrawn weights. Statistics of normalisation layers stay.
    """
    network = getattr(target, "network", None)
    if not isinstance(network, torch.nn.Module):
        msg = f"randomised: found a target of type {type(target).__name__}, expected one that holds a network"
        raise CellError(msg)
    generator = torch.Generator().manual_seed(derive(seed, "shuffled", target.digest))
    other = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in other.parameters():
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    made: Target = replace(target, network=other, digest=digest([target.digest, "shuffled", seed]))  # type: ignore[type-var]
    return made
