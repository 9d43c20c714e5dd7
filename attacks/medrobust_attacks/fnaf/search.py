"""What every search for a feature shares: asking the target about candidates and keeping the worst one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from medrobust.guard import micro_batch
from medrobust.imaging.kspace import EPSILON, with_phase
from medrobust.imaging.masks import RandomMask
from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.fnaf.feature import REFERENCE_PIXELS, Feature, feature_loss


def redraw(batch: Batch, rng: CaseRandom) -> Tensor:
    """A fresh sampling mask for each case with the acquisition's nominal acceleration and centre, (n, 1, 1, W).

    Drawn from its own fastMRI seed below 999,999,999, as the released attack does.
    """
    acceleration, fraction = batch.context["nominal"].unbind(1)
    seeds = rng.integers(0, 999_999_999)
    width = batch.image.shape[-1]
    drawn = [RandomMask(float(a), float(f)).draw(width, int(s)) for a, f, s in zip(acceleration, fraction, seeds, strict=True)]
    return torch.stack(drawn).to(batch.image.device)


@dataclass(frozen=True)
class Query:
    """m candidates that share a pass.

    rows: the attacked images, (m, 1, H, W), each under its own mask.
    window: candidate (m, 1, 1), row (m, h, 1) and column (m, 1, w) of the pixels around each feature; nothing else enters the loss.
    region: of the loss, (m, 1, h, w) bool. scale: `input_scale` of each, (m, 1, 1, 1) twice. information: `information_loss` of each, (m,).
    """

    rows: Batch
    window: tuple[Tensor, Tensor, Tensor]
    region: Tensor
    scale: tuple[Tensor, Tensor]
    information: Tensor

    def seen(self, target: Target, image: Tensor) -> tuple[Tensor, Tensor]:
        """The windows of the target's answer to `image`, the candidates' own, and of `image`, (m, 1, h, w) each."""
        answer, asked = (maps[:, 0][self.window][:, None] for maps in (target(image, self.rows), image))
        return answer, asked


@dataclass
class Best:
    """The worst case found so far, and the loss of every query in order.

    A candidate whose information the measurement lost is none: its loss counts as 0, and it is never the worst case.

    batch: the clean slices. lines: their lines of k-space, (n, 1, H, W) complex. least: information that makes a candidate one.
    trace: loss and information of the queries, (n, queries) each, in pieces.
    """

    batch: Batch
    lines: Tensor
    least: float
    image: Tensor
    region: Tensor
    mask: Tensor
    start: Tensor
    loss: Tensor
    trace: dict[str, list[Tensor]]

    @classmethod
    def none(cls, batch: Batch, least: float) -> Best:
        """Before the first query."""
        lines = torch.fft.fft(with_phase(batch.image, batch.context["phase"]), norm="ortho")
        nothing = torch.full((len(batch),), -torch.inf, device=batch.image.device)
        empty = torch.zeros_like(batch.image, dtype=torch.bool)
        start = torch.zeros(len(batch), 2, dtype=torch.long)
        trace: dict[str, list[Tensor]] = {"loss": [], "information": []}
        return cls(batch, lines, least, batch.image, empty, batch.context["mask"], start, nothing, trace)

    def queries(self, feature: Feature, mask: Tensor) -> Iterator[Query]:
        """Candidates, features (n, trials) under masks (n, trials, 1, 1, W), case by case; whole images exist for one pass at a time."""
        n, trials = mask.shape[:2]
        passes = list(micro_batches(n, trials, micro_batch(mask.device)))
        feature, mask, device = feature.flatten(), mask.flatten(0, 1), mask.device
        corner, height, width = feature.window()
        region = feature.within(corner, height, width).region.to(device)
        band = feature.within(corner * torch.tensor([1, 0]), height, feature.width)
        rows = (corner[:, 0, None] + torch.arange(height)).to(device)[:, :, None]
        columns = (corner[:, 1, None] + torch.arange(width)).to(device)[:, None, :]
        shown = [measured(at(self.batch, own).with_context(mask=mask[part]), self.lines[own], band[part], rows[part, :, 0]) for part, own in passes]
        for (part, own), (mean, std, information) in zip(passes, shown, strict=True):
            clean = at(self.batch, own).with_context(mask=mask[part])
            image = feature[part].added_to(clean.image)
            each = torch.arange(len(clean), device=device)[:, None, None]
            yield Query(replace(clean, image=image, truth=image), (each, rows[part], columns[part]), region[part], (mean, std), information)

    def ask(self, target: Target, feature: Feature, mask: Tensor) -> Tensor:
        """Adversarial loss of every candidate, (n, trials), one forward pass each; all are taken in."""
        found = [(*query.seen(target, query.rows.image), query.region, *query.scale, query.information) for query in self.queries(feature, mask)]
        answer, asked, region, mean, std, information = (torch.cat(each) for each in zip(*found, strict=True))
        loss = feature_loss(answer, asked, region, (mean, std))
        return self.update(feature, mask, loss.view(mask.shape[:2]), information.view(mask.shape[:2]))

    def update(self, feature: Feature, mask: Tensor, loss: Tensor, information: Tensor) -> Tensor:
        """Take in candidates, their losses and information (n, trials); the first of equals is kept. Returns the losses that count."""
        kept = information >= self.least
        counted = torch.where(kept, loss, 0)
        self.trace["loss"].append(counted.cpu())
        self.trace["information"].append(information.cpu())
        highest, index = torch.where(kept, loss, -torch.inf).max(1)
        each = torch.arange(len(loss), device=loss.device)
        picked, better = feature[each.cpu(), index.cpu()], highest > self.loss
        new = {"image": picked.added_to(self.batch.image), "region": picked.region, "mask": mask[each, index], "start": picked.start}
        for name, tensor in new.items():
            old = getattr(self, name)
            taken = better.to(old.device).view(-1, *[1] * (old.ndim - 1))
            setattr(self, name, torch.where(taken, tensor.to(old.device), old))
        self.loss = torch.maximum(highest, self.loss)
        return counted

    def attacked(self) -> Attacked:
        """The result as an attack returns it: the feature is real, so the truth carries it."""
        trace = {name: torch.cat(pieces, 1) for name, pieces in self.trace.items()}
        return Attacked(self.image, self.image, self.region, {"mask": self.mask}, trace)


def micro_batches(n: int, trials: int, size: int) -> Iterator[tuple[slice, slice | list[int]]]:
    """Which of n * trials candidates share a pass, and the cases they belong to."""
    for first in range(0, n * trials, size):
        cases = [index // trials for index in range(first, min(first + size, n * trials))]
        yield slice(first, first + size), cases if len(cases) > 1 else slice(cases[0], cases[0] + 1)


def at(batch: Batch, cases: slice | list[int]) -> Batch:
    """Those cases of a batch; a slice gives views."""
    if isinstance(cases, list):
        return batch.select(cases)
    context = {name: tensor[cases] for name, tensor in batch.context.items()}
    return Batch(batch.image[cases], batch.truth[cases], batch.cases[cases], context)


def measured(clean: Batch, lines: Tensor, band: Feature, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What is measured of clean slices with features: `input_scale`, (m, 1, 1, 1) twice, and `information_loss`, (m,).

    Rows are measured by themselves: most are the clean slice's, whose lines of k-space are known, and those around the feature are measured anew.
    lines: (m, 1, H, W) complex. band: the features on the rows (m, h) around them.
    """
    mask, around = torch.fft.ifftshift(clean.context["mask"], dim=-1), (torch.arange(len(clean), device=rows.device)[:, None], 0, rows)
    image, phase = (maps[around][:, None] for maps in (clean.image, clean.context["phase"]))
    zero_filled = magnitude(lines * mask)
    changed = magnitude(torch.fft.fft(with_phase(band.added_to(image), phase), norm="ortho") * mask)
    _, std = scale(zero_filled)
    information = ((changed[:, 0] - zero_filled[around]) / std[:, 0]).square().flatten(1).sum(1) / REFERENCE_PIXELS
    zero_filled[around] = changed[:, 0]
    return *scale(zero_filled), information


def magnitude(lines: Tensor) -> Tensor:
    """Of images from their lines of k-space, both (m, 1, h, W)."""
    squares = torch.view_as_real(torch.fft.ifft(lines, norm="ortho")).square_()
    return (squares[..., 0] + squares[..., 1]).sqrt_()


def scale(image: Tensor) -> tuple[Tensor, Tensor]:
    """`standardise` in two sums, at a fraction of the time on a CPU, (m, 1, 1, 1) each."""
    flat = image.flatten(1)
    mean = flat.mean(1)
    variance = (torch.linalg.vecdot(flat, flat) - flat.shape[1] * mean.square()) / (flat.shape[1] - 1)
    return mean.view(-1, 1, 1, 1), variance.sqrt().view(-1, 1, 1, 1) + EPSILON
