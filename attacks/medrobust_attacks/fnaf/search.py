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
from medrobust_attacks.fnaf.feature import Feature, feature_loss


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
    region: of the loss, (m, 1, h, w) bool. scale: `input_scale` of each, (m, 1, 1, 1) twice.
    """

    rows: Batch
    window: tuple[Tensor, Tensor, Tensor]
    region: Tensor
    scale: tuple[Tensor, Tensor]

    def seen(self, target: Target, image: Tensor) -> tuple[Tensor, Tensor]:
        """The windows of the target's answer to `image`, the candidates' own, and of `image`, (m, 1, h, w) each."""
        answer, asked = (maps[:, 0][self.window][:, None] for maps in (target(image, self.rows), image))
        return answer, asked


@dataclass
class Best:
    """The worst case found so far, and the loss of every query in order.

    batch: the clean slices. lines: their lines of k-space, (n, 1, H, W) complex.
    """

    batch: Batch
    lines: Tensor
    image: Tensor
    region: Tensor
    mask: Tensor
    start: Tensor
    loss: Tensor
    trace: list[Tensor]

    @classmethod
    def none(cls, batch: Batch) -> Best:
        """Before the first query."""
        lines = torch.fft.fft(with_phase(batch.image, batch.context["phase"]), norm="ortho")
        nothing = torch.full((len(batch),), -torch.inf, device=batch.image.device)
        empty = torch.zeros_like(batch.image, dtype=torch.bool)
        start = torch.zeros(len(batch), 2, dtype=torch.long)
        return cls(batch, lines, batch.image, empty, batch.context["mask"], start, nothing, [])

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
        means, stds = [], []
        for part, own in passes:
            mean, std = input_scales(at(self.batch, own).with_context(mask=mask[part]), self.lines[own], band[part], rows[part, :, 0])
            means.append(mean)
            stds.append(std)
        mean, std = torch.cat(means), torch.cat(stds)
        for part, own in passes:
            clean = at(self.batch, own).with_context(mask=mask[part])
            image = feature[part].added_to(clean.image)
            each = torch.arange(len(clean), device=device)[:, None, None]
            yield Query(replace(clean, image=image, truth=image), (each, rows[part], columns[part]), region[part], (mean[part], std[part]))

    def ask(self, target: Target, feature: Feature, mask: Tensor) -> Tensor:
        """Adversarial loss of every candidate, (n, trials), one forward pass each; all are taken in."""
        found = [(*query.seen(target, query.rows.image), query.region, *query.scale) for query in self.queries(feature, mask)]
        answer, asked, region, mean, std = (torch.cat(each) for each in zip(*found, strict=True))
        loss = feature_loss(answer, asked, region, (mean, std)).view(mask.shape[:2])
        self.update(feature, mask, loss)
        return loss

    def update(self, feature: Feature, mask: Tensor, loss: Tensor) -> None:
        """Take in candidates and their losses (n, trials); the first of equals is kept."""
        self.trace.append(loss.cpu())
        highest, index = loss.max(1)
        each = torch.arange(len(loss), device=loss.device)
        picked, better = feature[each.cpu(), index.cpu()], highest > self.loss
        new = {"image": picked.added_to(self.batch.image), "region": picked.region, "mask": mask[each, index], "start": picked.start}
        for name, tensor in new.items():
            old = getattr(self, name)
            taken = better.to(old.device).view(-1, *[1] * (old.ndim - 1))
            setattr(self, name, torch.where(taken, tensor.to(old.device), old))
        self.loss = torch.maximum(highest, self.loss)

    def attacked(self) -> Attacked:
        """The result as an attack returns it: the feature is real, so the truth carries it."""
        return Attacked(self.image, self.image, self.region, {"mask": self.mask}, {"loss": torch.cat(self.trace, 1)})


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


def input_scales(clean: Batch, lines: Tensor, band: Feature, rows: Tensor) -> tuple[Tensor, Tensor]:
    """`input_scale` of clean slices with features, (m, 1, 1, 1) each.

    Rows are measured by themselves: most are the clean slice's, whose lines of k-space are known, and those around the feature are measured anew.
    lines: (m, 1, H, W) complex. band: the features on the rows (m, h) around them.
    """
    mask, around = torch.fft.ifftshift(clean.context["mask"], dim=-1), (torch.arange(len(clean), device=rows.device)[:, None], 0, rows)
    image, phase = (maps[around][:, None] for maps in (clean.image, clean.context["phase"]))
    sampled = lines * mask
    sampled[around] = (torch.fft.fft(with_phase(band.added_to(image), phase), norm="ortho") * mask)[:, 0]
    squares = torch.view_as_real(torch.fft.ifft(sampled, norm="ortho")).square_()
    power = squares[..., 0] + squares[..., 1]
    count, total = power[0].numel(), power.flatten(1).sum(1)
    mean = power.sqrt_().flatten(1).mean(1)
    variance = (total - count * mean.square()) / (count - 1)
    return mean.view(-1, 1, 1, 1), variance.sqrt().view(-1, 1, 1, 1) + EPSILON
