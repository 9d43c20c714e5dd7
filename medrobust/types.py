"""The nouns of the harness: frozen data, and protocols that a plugin satisfies by shape alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypedDict, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor

    from medrobust.randomness import CaseRandom


@dataclass(frozen=True)
class Case:
    """One unit of evaluation: a slice, a volume or an image.

    case: unique name inside its data set, such as `file1000001.h5#012`.
    patient: whom it belongs to; splits and bootstrap intervals are by patient.
    group: what volume-level metrics are computed over; cases of one group are consecutive.
    """

    case: str
    patient: str
    group: str


@dataclass(frozen=True)
class Batch:
    """n cases of one data set.

    image: what an attack may change, (n, c, *space), in the data's declared intensity units.
    truth: what a prediction is scored against; for reconstruction the image itself, (n, c, *space); for segmentation labels, (n, 1, H, W) int64,
        0 for background.
    cases: the n cases, in order.
    context: further tensors of the acquisition, batch first. Reconstruction: `phase` (n, 1, H, W) in radians,
        `mask` (n, 1, 1, W) bool, True where a column of k-space is sampled, `maximum` (n,) of the volume,
        `nominal` (n, 2) acceleration and centre fraction from which masks are drawn,
        `boxes` (n, k, 4) lesion boxes as row, column, height, width in pixels, NaN where there is none.
        Segmentation: `mean` and `std` (n,) of the subject's volume in HU, `spacing` (n, 2) mm of a step along rows and columns.
    """

    image: Tensor
    truth: Tensor
    cases: tuple[Case, ...]
    context: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.cases)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        context = {name: tensor.to(device) for name, tensor in self.context.items()}
        return Batch(self.image.to(device), self.truth.to(device), self.cases, context)

    def with_context(self, **tensors: Tensor) -> Batch:
        """The same images under another acquisition, such as `mask=...`."""
        return replace(self, context={**self.context, **tensors})

    def select(self, indices: Sequence[int]) -> Batch:
        """The cases at `indices`, in that order; an index may stand more than once."""
        rows = list(indices)
        context = {name: tensor[rows] for name, tensor in self.context.items()}
        return Batch(self.image[rows], self.truth[rows], tuple(self.cases[i] for i in rows), context)


@dataclass(frozen=True)
class Attacked:
    """What an attack returns: images, never a success flag.

    image: (n, c, *space), like `Batch.image`.
    truth: the new truth where anatomy was moved or added, like `Batch.truth`; None where it is unchanged.
    region: (n, 1, *space) bool, where anatomy was added; None where it was not.
    context: entries of `Batch.context` under which the image was found, such as the sampling mask.
    trace: (n, queries) per quantity, such as `loss`, in the order in which the target was asked; NaN beyond the last query of a case that was left
        alone before the others.
    field: where anatomy moved, (n, d, *space) float32 displacement in pixels, one channel an axis in the order of the axes: what is at x was at
        x + field(x); `truth` then moved alike. None where nothing moved.
    """

    image: Tensor
    truth: Tensor | None = None
    region: Tensor | None = None
    context: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    trace: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    field: Tensor | None = None


@dataclass(frozen=True)
class Explained:
    """What an explainer returns: where the target looks.

    relevance: (n, *space) float32, finite; higher is more relevant. Its scale is the explainer's own: ranks alone are compared.
    regions: (n, *space) int64, the superpixel a voxel belongs to, labels 0, 1, ... in each case; relevance is constant within one.
        None for a map of voxels.
    """

    relevance: Tensor
    regions: Tensor | None = None


class Again(Protocol):
    """The same batch explained anew by the same explainer."""

    def __call__(self, *, seed: int = 0, randomised: bool = False) -> Explained:
        """seed: 0 is the cell's own, others give other draws, and another fit where the explainer is trained.

        randomised: explain the target with every weight tensor shuffled within itself, as model-randomisation checks do.
        """
        ...


@dataclass(frozen=True)
class Outcome:
    """What a metric sees: the clean batch, what the attack or explainer made of it, and what the target made of that.

    prediction: the target's answer to `attacked.image` under the attacked context, (n, c, *space).
    explained: what the explainer said; None where there is none.
    target: the target, outputs alone, for metrics that ask it more, such as deletion curves; these passes are nobody's cost.
    again: explains the batch anew; None where there is no explainer. trained: doing so trains the explainer anew.
    """

    batch: Batch
    attacked: Attacked
    prediction: Tensor
    explained: Explained | None = None
    target: Target | None = None
    again: Again | None = None
    trained: bool = False

    @property
    def truth(self) -> Tensor:
        """The truth the prediction owes, (n, c, *space): the attacked one where the attack changed it."""
        return self.batch.truth if self.attacked.truth is None else self.attacked.truth

    @property
    def attacked_batch(self) -> Batch:
        """The batch as the target saw it: attacked image, truth and context."""
        return Batch(self.attacked.image, self.truth, self.batch.cases, {**self.batch.context, **self.attacked.context})


class Row(TypedDict):
    """One case x metric value, the same in jsonl, parquet and committed leaderboards."""

    track: str
    data: str
    split: str
    patient: str
    case: str
    target: str
    defense: str
    attack: str
    condition: str
    seed: int
    metric: str
    label: str
    value: float
    unit: str


class Data(Protocol):
    """A data set: a frozen dataclass whose fields are its whole configuration.

    One whose intensities have a unit, such as `HU`, says so in an attribute `intensity_unit`; budgets that name a unit are held to it.
    """

    task: ClassVar[str]

    @property
    def digest(self) -> str:
        """Identity of the content, 12 hexadecimal digits; no path, order or device enters it."""
        ...

    @property
    def label(self) -> str:
        """How results on it are labelled, such as `phantom: MNI152 head, 320x320`."""
        ...

    def cases(self, split: str) -> Sequence[Case]:
        """All cases of a split, cases of one group consecutive; makes embedded data on first use."""
        ...

    def load(self, cases: Sequence[Case]) -> Batch:
        """The named cases, on the CPU; reads those cases alone."""
        ...


@runtime_checkable
class Target(Protocol):
    """A model under test, seen through its task: image in, prediction out, with gradients wherever it has them."""

    @property
    def task(self) -> str:
        """Such as `reconstruction`."""
        ...

    @property
    def digest(self) -> str:
        """Identity of architecture, options and weights, 12 hexadecimal digits."""
        ...

    def __call__(self, image: Tensor, batch: Batch) -> Tensor:
        """Prediction for `image` (n, c, *space), acquired as `batch.context` says.

        For reconstruction: measure `image` with `phase` and `mask`, reconstruct, (n, 1, H, W) in the units of `image`.
        """
        ...

    def loss(self, image: Tensor, batch: Batch) -> Tensor:
        """What a generic attack raises, (n,)."""
        ...

    def to(self, device: torch.device | str) -> Target:
        """The same target on another device."""
        ...


class Budget(Protocol):
    """What an attack may change, in physical units: a frozen dataclass."""

    def audit(self, batch: Batch, attacked: Attacked) -> tuple[str, ...]:
        """One entry a case: empty where the budget was kept, else what was found and what was allowed."""
        ...


class Attack(Protocol):
    """A frozen dataclass that makes a target fail.

    threat: `white-box` (may ask for gradients), `black-box` (outputs alone; the harness turns gradients off) or `no-box` (the target is never asked,
        neither in a training nor after: what is made serves every target).
    """

    threat: ClassVar[str]

    def __call__(self, target: Target, batch: Batch, budget: Budget, rng: CaseRandom) -> Attacked:
        """Attack every case of the batch; all randomness from `rng`, which holds one stream a case."""
        ...


class Explainer(Protocol):
    """A frozen dataclass that says where a target looks.

    threat: `white-box` (gradients, and the network itself as `target.network`) or `black-box` (outputs alone).
    """

    threat: ClassVar[str]

    def __call__(self, target: Target, batch: Batch, rng: CaseRandom) -> Explained:
        """Explain the target's answer to every case of the batch; all randomness from `rng`, which holds one stream a case."""
        ...


@runtime_checkable
class Trainable(Protocol):
    """An attack or explainer that is trained against its target before it is used.

    weights: what was trained, tensors by name; empty before. A field with `compare=False`: configuration, target, data and seed are its identity, and
        of a no-box attack configuration, data and seed.
    """

    weights: Mapping[str, Tensor]

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What the training depends on besides target, data and seed, as plain data with a name of its own; equal recipes share their weights."""
        ...

    def fit(self, target: Target, data: Data, seed: int, folder: Path, report: Callable[[int, int, float], None]) -> Mapping[str, Tensor]:
        """The trained weights; the target is frozen and left alone, and answers nothing to a no-box attack.

        data: its `train` and `val` splits. folder: checkpoints; the same call continues from them.
        report: called now and then with the steps done, the steps in all and the loss.
        """
        ...


class Defense(Protocol):
    """A frozen dataclass that turns a target into a harder one."""

    def __call__(self, target: Target, data: Data, rng: torch.Generator) -> Target:
        """A new target; the one passed in is left alone."""
        ...


class Metric(Protocol):
    """One value a case (`per = "case"`) or a group (`per = "group"`, the outcome then holds one whole group).

    worst: the value a missing or failed case is given.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    worst: ClassVar[float]
    per: ClassVar[str]

    @property
    def higher_is_better(self) -> bool | None:
        """None where neither direction is better."""
        ...

    def __call__(self, outcome: Outcome) -> Tensor | Mapping[str, Tensor]:
        """(n,) for cases, (1,) for a group; several labelled values (an organ, a query count) as a mapping label -> values.

        NaN where the value is not defined for a case (no lesion box, no region): no row is written.
        """
        ...
