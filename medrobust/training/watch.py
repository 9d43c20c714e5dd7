"""Looks at a network while it is trained: its figures on the validation split, the best weights, and checkpoints that are kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from medrobust.files import append_lines, read_lines, write_json, write_lines
from medrobust.targets import weights

CHOICES = ("loss", "auc", "dice")
HISTORY = "validation.jsonl"
KEPT = "kept"


@dataclass(frozen=True)
class Validation:
    """Which weights of a training become the model.

    every: steps between two looks at the validation split, the last step is always looked at; 0: no look, the last weights are the model.
    by: `loss` (lowest), or `auc` or `dice` (highest, of equal ones that of the lowest loss).
    """

    every: int = 0
    by: str = "loss"

    def __post_init__(self) -> None:
        if self.every < 0:
            msg = f"every: found {self.every}, expected at least 0"
            raise ValueError(msg)
        if self.by not in CHOICES:
            msg = f"by: found {self.by!r}, expected one of {', '.join(CHOICES)}"
            raise ValueError(msg)

    def worth(self, figures: Mapping[str, float]) -> tuple[float, float]:
        """What is highest for the best look."""
        return (0.0 if self.by == "loss" else figures.get(self.by, -math.inf), -figures["loss"])


@dataclass(frozen=True)
class Watch:
    """Looks at one training, and keeps what it saw in the training's folder.

    folder: `validation.jsonl` goes there, one line a look; `best-STEP.safetensors`, where one is chosen; and `kept/step-STEP.safetensors` with
    a `.json` of the same name that holds the step and its figures. Weights are float32, as `zoo.untrained` reads them.
    steps: of the whole training. validation: which weights are chosen. keep_every: steps between two checkpoints that are kept; 0 keeps none.
    measure: figures of the network as it is, `loss` among them.
    """

    folder: Path
    steps: int
    validation: Validation
    keep_every: int
    measure: Callable[[], Mapping[str, float]]

    def look(self, network: nn.Module, step: int) -> bool:
        """Look after so many steps, if that is due; whether it was. The network is left as it was."""
        chosen, kept = self._due(step, self.validation.every), self._due(step, self.keep_every)
        if not chosen and not kept:
            return False
        network.eval()
        seen = {"step": step, **{name: value for name, value in self.measure().items() if math.isfinite(value)}}
        network.train()
        if kept:
            weights.write(self.folder / KEPT / f"step-{step:06d}.safetensors", network.state_dict(), half=False)
            write_json(self.folder / KEPT / f"step-{step:06d}.json", seen)
        better = chosen and all(self.validation.worth(seen) > self.validation.worth(other) for other in self._candidates())
        if better:
            weights.write(self._best(step), network.state_dict(), half=False)
        append_lines(self.folder / HISTORY, [seen])
        if better:
            for path in self.folder.glob("best-*.safetensors"):
                if path != self._best(step):
                    path.unlink()
        return True

    def resume(self, network: nn.Module, step: int) -> None:
        """Forget the looks beyond `step`, from which training goes on, and make up for one that was interrupted."""
        self.folder.mkdir(parents=True, exist_ok=True)
        seen = [line for line in read_lines(self.folder / HISTORY) if line["step"] <= step]
        write_lines(self.folder / HISTORY, seen)
        if step and all(line["step"] != step for line in seen):
            self.look(network, step)

    def best(self) -> Mapping[str, float] | None:
        """Step and figures of the chosen look; None where none is chosen."""
        candidates = self._candidates()
        return max(candidates, key=self.validation.worth) if candidates else None

    def fill_best(self, network: nn.Module) -> None:
        """Give the network the chosen weights; the last ones stay where none are chosen."""
        best = self.best()
        if best is not None:
            path = self._best(int(best["step"]))
            weights.fill(network, weights.read(path), str(path))

    def _candidates(self) -> list[Mapping[str, float]]:
        return [line for line in read_lines(self.folder / HISTORY) if self._due(int(line["step"]), self.validation.every)]

    def _best(self, step: int) -> Path:
        return self.folder / f"best-{step:06d}.safetensors"

    def _due(self, step: int, every: int) -> bool:
        return every > 0 and (step % every == 0 or step == self.steps)
