"""APGD step by step against the published algorithm in numpy, Square's moves against the published code, and both against ART on what it can do."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.evasion import AutoProjectedGradientDescent, SquareAttack
from art.estimators.classification import PyTorchClassifier
from numpy.typing import NDArray
from torch import Tensor, nn

from medrobust.budgets import Norm
from medrobust.guard import Guarded
from medrobust.randomness import CaseRandom, derive
from medrobust.targets.classification import ClassificationTarget
from medrobust.types import Attack, Attacked, Batch, Case
from medrobust_attacks.norm_bounded.answer import Answer
from medrobust_attacks.norm_bounded.apgd import APGD
from medrobust_attacks.norm_bounded.ascent import checkpoints
from medrobust_attacks.norm_bounded.autoattack import AutoAttack
from medrobust_attacks.norm_bounded.objectives import logit_ratio, margin, toward
from medrobust_attacks.norm_bounded.square import Square
from medrobust_attacks.norm_bounded.squares import bump, bumps, share

Array = NDArray[np.float64]


def batch_of(image: Tensor, truth: Tensor) -> Batch:
    return Batch(image, truth, tuple(Case(f"case{i}", f"patient{i}", f"case{i}") for i in range(len(image))))


def streams(batch: Batch, seed: int = 0) -> CaseRandom:
    return CaseRandom.of([derive(seed, case.case) for case in batch.cases])


# --- Auto-PGD, algorithm 1 of Croce & Hein 2020 ---


@dataclass(frozen=True, eq=False)
class Waves:
    """A loss with many hills, in double precision: sum of sines of linear maps less a bowl; what was asked is kept."""

    mix: Tensor
    bowl: float
    asked: list[Tensor] = field(default_factory=list)
    task: str = "reconstruction"
    digest: str = "0123456789ab"

    def __call__(self, image: Tensor, batch: Batch) -> Tensor:
        raise NotImplementedError

    def loss(self, image: Tensor, batch: Batch) -> Tensor:
        self.asked.append(image.detach().clone())
        flat = image.flatten(1)
        return (flat @ self.mix).sin().sum(1) - self.bowl * flat.square().sum(1)

    def to(self, device: torch.device | str) -> Waves:
        return self


def published_apgd(value: Callable[[Array], float], slope: Callable[[Array], Array], start: Array, project: Callable[[Array], Array],
                   radius: float, norm: str, steps: int) -> tuple[list[Array], list[float]]:  # fmt: skip
    """Iterates and step sizes of one case, line by line as in algorithm 1; marks are given exactly by `marks_of`."""
    marks = marks_of(steps)

    def along(point: Array) -> Array:
        found = slope(point)
        return np.sign(found) if norm == "linf" else found / np.linalg.norm(found)

    eta, sizes = 2 * radius, [2 * radius]
    points = [start, project(start + eta * along(start))]
    values = [value(points[0]), value(points[1])]
    best = max(values)
    summit = points[int(values[1] > values[0])]
    asked, rises = list(points), [values[1] > values[0]]
    eta_before, best_before, mark_before = eta, values[0], 0
    for k in range(1, steps):
        ahead = project(points[k] + eta * along(points[k]))
        point = project(points[k] + 0.75 * (ahead - points[k]) + 0.25 * (points[k] - points[k - 1]))
        asked.append(point)
        found = value(point)
        rises.append(found > values[k])
        if found > best:
            best, summit = found, point
        if k in marks:
            few = sum(rises[mark_before:k]) < 0.75 * (k - mark_before)
            stuck = eta_before == eta and best_before == best
            eta_before, best_before, mark_before = eta, best, k
            if few or stuck:
                eta, point, found = eta / 2, summit, best
        points.append(point)
        values.append(found)
        sizes.append(eta)
    return asked, sizes


def marks_of(steps: int) -> list[int]:
    """Section 3.3, in exact fractions."""
    places = [Fraction(0), Fraction(22, 100)]
    while (place := places[-1] + max(places[-1] - places[-2] - Fraction(3, 100), Fraction(6, 100))) <= 1:
        places.append(place)
    return [math.ceil(place * steps) for place in places]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "budget",
    [Norm("linf", 0.3), Norm("l2", 0.8), Norm("linf", 0.3, -0.5, 0.5), Norm("l2", 0.8, -0.5, 0.5), Norm("linf", "40 %")],
    ids=lambda budget: f"{budget.norm} {budget.epsilon} {budget.low}",
)
def test_apgd_is_the_published_algorithm(budget: Norm, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    shape = [(1, 4, 3), (2, 9), (1, 2, 3, 2), (3, 2, 2)][seed]
    clean = torch.rand(3, *shape, generator=random, dtype=torch.float64) - 0.5
    pixels = clean[0].numel()
    target = Waves(1.2 * torch.randn(pixels, 5, generator=random, dtype=torch.float64), 0.5)
    steps = 60
    batch = batch_of(clean, clean)
    attacked = APGD(steps)(target, batch, budget, streams(batch, seed))
    asked = torch.stack(target.asked, 1).numpy()
    halvings = 0
    for row in range(3):

        def project(point: Array, row: int = row) -> Array:
            return budget.project(torch.from_numpy(point)[None], clean[[row]])[0].numpy()

        def value(point: Array) -> float:
            flat = point.reshape(-1)
            return float(np.sin(flat @ target.mix.numpy()).sum() - target.bowl * (flat**2).sum())

        def slope(point: Array) -> Array:
            flat = point.reshape(-1)
            mix = target.mix.numpy()
            return (mix @ np.cos(flat @ mix) - 2 * target.bowl * flat).reshape(point.shape)

        radius = float(budget.radius(clean)[row])
        wanted, sizes = published_apgd(value, slope, asked[row, 0], project, radius, budget.norm, steps)
        assert np.allclose(asked[row], np.stack(wanted), rtol=0, atol=1e-6)
        halvings += len(set(sizes)) - 1
        assert value(attacked.image[row].numpy()) == pytest.approx(max(map(value, wanted)))
    assert halvings > 3


def test_the_step_size_is_judged_where_the_paper_says() -> None:
    assert checkpoints(100) == (0, 22, 41, 57, 70, 80, 87, 93, 99)
    for steps in range(1, 1001):
        assert list(checkpoints(steps)) == marks_of(steps)


@pytest.mark.parametrize("steps", [20, 50, 100, 1000])
def test_the_step_size_is_judged_where_art_judges_it(steps: int) -> None:
    """But for one step, where ART's sums in floating point lie above the whole number that they should be."""
    places: list[float] = [0, 0.22]
    while (place := places[-1] + max(places[-1] - places[-2] - 0.03, 0.06)) <= 1:
        places.append(place)
    theirs = [math.ceil(place * steps) for place in places]
    assert all(0 <= other - one <= 1 for one, other in zip(checkpoints(steps), theirs, strict=False))
    assert len(checkpoints(steps)) - len(theirs) in (0, 1)


# --- objectives ---


def test_objectives_are_those_of_the_paper() -> None:
    random = np.random.default_rng(0)
    for classes in (2, 3, 4, 10):
        logits, truth = 5 * random.normal(size=(40, classes)), random.integers(0, classes, 40)
        wrong = (truth + random.integers(1, classes, 40)) % classes
        answer = Answer(torch.zeros(40), torch.from_numpy(logits))
        rows = torch.arange(40)
        found = [each(answer, torch.from_numpy(truth), rows).numpy() for each in (margin, logit_ratio)]
        found.append(toward(torch.from_numpy(wrong))(answer, torch.from_numpy(truth), rows).numpy() if classes > 2 else np.zeros(40))
        for row, (z, y, t) in enumerate(zip(logits, truth, wrong, strict=True)):
            above = max(np.delete(z, y)) - z[y]
            top = np.sort(z)[::-1]
            assert found[0][row] == pytest.approx(above)
            assert found[1][row] == pytest.approx(above if classes == 2 else above / (top[0] - top[2]))
            if classes == 3:
                assert found[2][row] == pytest.approx((z[t] - z[y]) / (top[0] - top[2]))
            if classes > 3:
                assert found[2][row] == pytest.approx((z[t] - z[y]) / (top[0] - (top[2] + top[3]) / 2))


def test_the_ratio_of_logits_does_not_change_with_their_scale() -> None:
    logits = torch.randn(20, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    truth, rows = torch.zeros(20, dtype=torch.int64), torch.arange(20)
    one, other = (logit_ratio(Answer(torch.zeros(20), scale * logits + 3), truth, rows) for scale in (1, 1000))
    assert torch.allclose(one, other, rtol=1e-9)


# --- Square, algorithms 1 to 3 of Andriushchenko et al. 2020 ---


@pytest.mark.parametrize("queries", [10, 100, 777, 5000, 10000])
def test_windows_shrink_as_arts_do(queries: int) -> None:
    theirs = SquareAttack(classifier(3)[1], max_iter=queries, p_init=0.8, verbose=False)
    for done in range(queries):
        assert share(0.8, done, queries) == theirs._get_percentage_of_elements(done)


def test_windows_shrink_as_published() -> None:
    """`p_selection` of the published code, at its own 10,000 queries."""
    limits, parts = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000), (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
    for done in range(10000):
        assert share(0.05, done, 10000) == 0.05 / parts[bisect.bisect_left(limits, done)]


def published_bump(x: int, y: int) -> Array:
    """`pseudo_gaussian_pert_rectangles` of the published code."""
    delta = np.zeros([x, y])
    x_c, y_c = x // 2 + 1, y // 2 + 1
    corner = [x_c - 1, y_c - 1]
    for counter in range(max(x_c, y_c)):
        rows = slice(max(corner[0], 0), min(corner[0] + (2 * counter + 1), x))
        delta[rows, max(0, corner[1]) : min(corner[1] + (2 * counter + 1), y)] += 1.0 / (counter + 1) ** 2
        corner[0] -= 1
        corner[1] -= 1
    return delta / np.sqrt(np.sum(delta**2))


@pytest.mark.parametrize(("x", "y"), [(1, 1), (1, 3), (2, 5), (3, 7), (4, 4), (7, 13), (12, 5)])
def test_bumps_are_those_of_the_published_code(x: int, y: int) -> None:
    assert np.allclose(bump((x, y)).numpy(), published_bump(x, y), atol=1e-6)


@pytest.mark.parametrize("s", [3, 5, 8, 11])
def test_pairs_of_bumps_are_those_of_the_published_code(s: int) -> None:
    """`meta_pseudo_gaussian_pert`."""
    delta = np.zeros([s, s])
    delta[: s // 2] = published_bump(s // 2, s)
    delta[s // 2 :] = -published_bump(s - s // 2, s)
    delta /= np.sqrt(np.sum(delta**2))
    assert np.allclose(bumps((s, s), 0)[0, 0].numpy(), delta, atol=1e-6)
    assert np.allclose(bumps((s, s), 1)[0, 0].numpy(), delta.T, atol=1e-6)


# --- ART, on what it can do ---

CASES, SIZE = 100, 8
EPSILON = 0.06


class Small(nn.Module):
    """Images (n, 1, 8, 8) to logits (n, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        convolutions = (nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2), nn.ReLU())
        self.layers = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(72, classes))

    def forward(self, image: Tensor) -> Tensor:
        said: Tensor = self.layers(image)
        return said


@cache
def classifier(classes: int) -> tuple[ClassificationTarget, Any, Batch]:
    """A network trained on bars at `classes` places, ART's view of it, and cases it was not trained on."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(classes)
        network = Small(classes)
        image, truth = bars(600, classes)
        optimiser = torch.optim.Adam(network.parameters(), 1e-2)
        for _ in range(60):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(image), truth).backward()
            optimiser.step()
        image, truth = bars(CASES, classes)
    network.eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    theirs = PyTorchClassifier(network, nn.CrossEntropyLoss(), (1, SIZE, SIZE), classes, clip_values=(0.0, 1.0), device_type="cpu")
    return ClassificationTarget(network, "0123456789ab"), theirs, batch_of(image, truth)


def bars(n: int, classes: int) -> tuple[Tensor, Tensor]:
    """Noise with a faint bar whose column says the class."""
    truth = torch.randint(0, classes, (n,))
    image = 0.35 + 0.15 * torch.rand(n, 1, SIZE, SIZE)
    for row, label in enumerate(truth.tolist()):
        image[row, 0, :, 2 * label : 2 * label + 1] += 0.25 * torch.rand(1)
    return image.clamp(0, 1), truth


def robust(target: ClassificationTarget, image: Tensor, batch: Batch) -> Tensor:
    with torch.no_grad():
        return target(image, batch).argmax(1) == batch.truth


def ours(attack: Attack, classes: int, budget: Norm, seed: int = 0) -> tuple[Attacked, Tensor]:
    """What our attack makes, and which cases stand."""
    target, _, batch = classifier(classes)
    attacked = attack(Guarded(target, attack.threat, CASES), batch, budget, streams(batch, seed))
    assert set(budget.audit(batch, attacked)) == {""}
    return attacked, robust(target, attacked.image, batch)


def arts(attack: Any, classes: int, seed: int = 0) -> Tensor:
    target, _, batch = classifier(classes)
    state = np.random.get_state()  # noqa: NPY002 - ART draws from the global generator
    try:
        np.random.seed(seed)  # noqa: NPY002
        image = attack.generate(batch.image.numpy(), batch.truth.numpy())
    finally:
        np.random.set_state(state)  # noqa: NPY002
    return robust(target, torch.from_numpy(image), batch)


LINF = Norm("linf", EPSILON, 0.0, 1.0)
L2 = Norm("l2", 0.3, 0.0, 1.0)


@pytest.mark.parametrize(("budget", "norm"), [(LINF, np.inf), (L2, 2)], ids=["linf", "l2"])
@pytest.mark.parametrize(("objective", "theirs"), [("loss", "cross_entropy"), ("dlr", "difference_logits_ratio")])
def test_apgd_leaves_about_as_few_standing_as_arts(objective: Any, theirs: str, budget: Norm, norm: float) -> None:
    """Within what another random start changes: four cases."""
    size = float(budget.epsilon)
    attack = AutoProjectedGradientDescent(
        classifier(3)[1], norm=norm, eps=size, eps_step=2 * size, max_iter=30, nb_random_init=1, loss_type=theirs, batch_size=CASES, verbose=False
    )
    standing = arts(attack, 3).double().mean()
    _, found = ours(APGD(30, objective=objective), 3, budget)
    assert 0.05 < float(standing) < 0.9
    assert float(found.double().mean()) <= float(standing) + 0.04


def test_square_leaves_about_as_few_standing_as_arts() -> None:
    """Over two seeds each; noise leaves 0.94 of the cases standing, both about 0.63."""
    attack = SquareAttack(classifier(2)[1], norm=np.inf, eps=EPSILON, max_iter=80, p_init=0.8, batch_size=CASES, verbose=False)
    standing = np.mean([float(arts(attack, 2, seed).double().mean()) for seed in (0, 1)])
    found = np.mean([float(ours(Square(queries=82), 2, LINF, seed)[1].double().mean()) for seed in (0, 1)])
    assert 0.5 < standing < 0.75
    assert found <= standing + 0.05


@pytest.mark.parametrize(("classes", "budget"), [(2, LINF), (3, L2), (4, LINF)], ids=["2 linf", "3 l2", "4 linf"])
def test_autoattack_leaves_no_case_that_one_of_its_parts_breaks(classes: int, budget: Norm) -> None:
    """Within what other random starts change: a case or two."""
    _, whole = ours(AutoAttack(steps=15, square=60), classes, budget)
    parts = [ours(attack, classes, budget)[1] for attack in (APGD(15), APGD(15, objective="dlr"), Square(queries=60))]
    together = torch.stack(parts).all(0)
    assert float(whole.double().mean()) <= float(together.double().mean()) + 0.02
    assert float(whole.double().mean()) <= min(float(part.double().mean()) for part in parts)
    clean = robust(classifier(classes)[0], classifier(classes)[2].image, classifier(classes)[2])
    assert bool((whole <= clean).all())
