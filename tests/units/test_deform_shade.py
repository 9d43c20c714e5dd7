"""The generator of fields and shading: losses by hand, branches apart, training that resumes and stops, and the attack that it makes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medrobust import registry
from medrobust.errors import CellError, WeightsError
from medrobust.fitting import identity
from medrobust.guard import Guarded
from medrobust.imaging.deformation import warp, warp_labels
from medrobust.randomness import CaseRandom
from medrobust.targets.segmentation import SegmentationTarget
from medrobust.testing.slices import Densities, SliceData
from medrobust.types import Attacked, Batch, Case
from medrobust_attacks.deformation.budget import DeformationBudget, perceptibility
from medrobust_attacks.deformation.deform_shade import DeformShade
from medrobust_attacks.deformation.lesson import Lesson, agreement, overlap
from medrobust_attacks.deformation.losses import AttackLoss, critic_loss
from medrobust_attacks.deformation.networks import CHANNELS, Critic, Generator, Made, resized
from medrobust_attacks.deformation.recipe import PARTS, PUBLISHED, DeformationTraining
from medrobust_attacks.deformation.training import Duel
from medrobust_attacks.perturbation.training import CHECKPOINT, HISTORY, Split

SIZE = 24
TINY = Generator((4, 6), latent=3, grid=4)
SMALL = DeformationTraining(TINY, Critic((4, 6)), steps=12, interval=5, batch=3, learning_rate=1e-2, validate=3)
FREE = DeformationBudget(p=1e6, displacement=1e6, folding=1.0, shading=1e6)
BOTH = tuple(CHANNELS)


def target(network: nn.Module | None = None) -> SegmentationTarget:
    return SegmentationTarget((network or Densities()).eval(), digest="0123456789ab")


def batch() -> Batch:
    data = SliceData(SIZE)
    return data.load(data.cases("test"))


def silent(step: int, steps: int, loss: float) -> None:
    pass


def fit(folder: Path, settings: DeformationTraining = SMALL, seed: int = 0, report: Callable[[int, int, float], None] = silent) -> dict[str, Tensor]:
    return dict(settings.fit(target(), SliceData(SIZE), seed, folder, report))


@cache
def trained(settings: DeformationTraining = SMALL) -> dict[str, Tensor]:
    with TemporaryDirectory() as folder:
        return fit(Path(folder), settings)


def attack(settings: DeformationTraining = SMALL, **options: Any) -> DeformShade:
    return DeformShade(settings, trained(settings), **options)


def lively(**options: Any) -> DeformShade:
    """A generator that was not trained but moves and shades a lot, differently at every draw."""
    network = replace(TINY, start=10.0).build(3, BOTH)
    return DeformShade(SMALL, dict(network.state_dict()), **options)


def streams(cases: Batch, seed: int = 0) -> CaseRandom:
    return CaseRandom.of([seed + 100 * int(case.case[5]) + int(case.case[-1]) for case in cases.cases])


def run(plugin: DeformShade, cases: Batch | None = None, budget: DeformationBudget = FREE, seed: int = 0) -> Attacked:
    cases = cases or batch()
    return plugin(Guarded(target()), cases, budget, streams(cases, seed))


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


# Networks


@pytest.mark.parametrize("grid", [1, 2, 4])
@pytest.mark.parametrize("size", [(24, 24), (13, 22), (1, 3)])
def test_a_generator_gives_a_field_and_shading_of_any_slice(size: tuple[int, int], grid: int) -> None:
    options = replace(TINY, grid=grid, start=1.0)
    network = options.build(0).eval()
    made = network(torch.randn(2, 1, *size), torch.randn(2, *options.noise_shape(*size)))
    assert made.field.shape == (2, 2, *size)
    assert made.shading.shape == (2, 1, *size)
    assert bool(made.field.any())
    assert bool(made.shading.any())


def test_last_layers_of_zero_move_and_shade_nothing() -> None:
    network = TINY.build(0).eval()
    made = network(torch.randn(2, 1, SIZE, SIZE), torch.randn(2, *TINY.noise_shape(SIZE, SIZE)))
    assert not bool(made.field.any())
    assert not bool(made.shading.any())
    still = DeformShade(SMALL, dict(network.state_dict()))
    assert torch.equal(run(still).image, batch().image)


def test_decoders_are_alike_and_share_no_weights() -> None:
    network = replace(TINY, start=1.0).build(0)
    field, shading = (network.decoder[part] for part in BOTH)
    shapes = [[tuple(parameter.shape) for parameter in decoder.parameters()][:-2] for decoder in (field, shading)]
    assert shapes[0] == shapes[1]
    assert not {id(parameter) for parameter in field.parameters()} & {id(parameter) for parameter in shading.parameters()}
    assert [type(layer) for layer in field.children()] == [type(layer) for layer in shading.children()]


def test_every_convolution_but_the_last_is_followed_by_batch_normalisation_and_with_a_penalty_the_critic_s_by_none() -> None:
    for network in (TINY.build(0).encoder, TINY.build(0).decoder["field"], Critic((4, 6)).build(0)):
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
        kinds = [type(layer) for layer in layers]
        assert nn.BatchNorm2d in kinds
        assert all(kinds[i + 1] is nn.BatchNorm2d for i, kind in enumerate(kinds[:-1]) if kind is nn.Conv2d)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in Critic((4, 6), penalty=10.0).build(0).modules())


def test_latents_are_drawn_around_their_mean_and_their_divergence_is_that_of_two_normals() -> None:
    options = replace(TINY, spread=0.5, start=1.0)
    network = options.build(0).eval().requires_grad_(False)
    clean, shape = torch.randn(1, 1, SIZE, SIZE), options.noise_shape(SIZE, SIZE)
    features = network.encoder(clean)
    both = []
    for part in BOTH:
        mean, log_variance = network.latent[part](features).chunk(2, 1)
        assert float(log_variance.mean()) == pytest.approx(2 * math.log(0.5), abs=0.5)
        one, other = torch.distributions.Normal(mean, (log_variance / 2).exp()), torch.distributions.Normal(0.0, 1.0)
        both.append(float(torch.distributions.kl_divergence(one, other).mean()))
    made = network(clean, torch.zeros(1, *shape))
    assert float(made.kl) == pytest.approx(sum(both), rel=1e-5)
    noise = torch.randn(1, *shape)
    drawn = network(clean, noise)
    for branch, (part, found) in enumerate((("field", drawn.field), ("shading", drawn.shading))):
        mean, log_variance = network.latent[part](features).chunk(2, 1)
        latent = torch.distributions.Normal(mean, log_variance.exp().sqrt())
        by_hand = network.decoder[part](latent.mean + latent.stddev * noise[:, branch])
        assert torch.allclose(found, resized(by_hand, [SIZE, SIZE]), atol=1e-5)
    draws = [network(clean, torch.randn(1, *shape)).field for _ in range(2)]
    assert not torch.allclose(draws[0], draws[1])
    assert torch.equal(made.field, network(clean, torch.zeros(1, *shape)).field)


@pytest.mark.parametrize("grid", [1, 2, 4, 8])
def test_a_decoder_gives_one_value_every_grid_pixels_and_what_lies_between_is_smooth(grid: int) -> None:
    network = Generator((4, 6, 6), latent=3, grid=grid).build(1)
    assert network.decoder["field"](torch.randn(2, 3, 5, 6)).shape == (2, 2, 40 // grid, 48 // grid)
    knot = torch.zeros(1, 1, 8, 8)
    knot[0, 0, 4, 4] = 1
    smooth = resized(knot, [8 * grid, 8 * grid])
    assert float(smooth.diff(dim=3).abs().max()) <= 1.5 / grid
    assert float(smooth.diff(n=2, dim=3).abs().max()) <= (6 / grid**2 if grid > 1 else 2), "no kink where one interval meets the next"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Generator(()), r"widths: found \[\]"),
        (lambda: Generator(latent=0), "latent: found 0"),
        (lambda: Generator((4, 6), grid=8), "grid: found 8, expected a power of two from 1 to 4"),
        (lambda: Generator(grid=3), "grid: found 3"),
        (lambda: Generator(spread=0.0), "spread: found 0.0"),
        (lambda: Generator(start=-1.0), "start: found -1.0"),
        (lambda: Critic((0,)), r"widths: found \[0\]"),
        (lambda: Critic(clip=0.0), "clip: found 0.0"),
        (lambda: Critic(penalty=-1.0), "penalty: found -1.0"),
        (lambda: AttackLoss(xi=-1.0), "xi: found -1.0"),
        (lambda: AttackLoss(entropy="median"), "entropy: found 'median', expected one of mask, slice, sum"),
        (lambda: AttackLoss(norms="max"), "norms: found 'max', expected one of mean, sum"),
        (lambda: DeformationTraining(steps=0), "steps: found 0"),
        (lambda: DeformationTraining(batch=1), "batch: found 1, expected at least 2"),
        (lambda: DeformationTraining(learning_rate=float("inf")), "learning_rate: found inf"),
        (lambda: DeformationTraining(parts="none"), "parts: found 'none', expected one of both, field, shading"),
        (lambda: DeformShade(use="none"), "use: found 'none'"),
        (lambda: DeformShade(replace(SMALL, parts="field"), use="shading"), "use: found 'shading' of a generator with the branch 'field' alone"),
        (lambda: DeformShade(samples=0), "samples: found 0"),
        (lambda: DeformShade(keep="best"), "keep: found 'best', expected one of first, worst"),
    ],
)
def test_impossible_settings_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_the_published_setting_can_be_built() -> None:
    loss = PUBLISHED.loss
    assert (PUBLISHED.learning_rate, loss.field, loss.shading, loss.adversarial, loss.kl) == (1e-4, 0.1, 0.01, 1, 0)
    assert PUBLISHED.generator.grid == 1
    PUBLISHED.generator.build(0)
    PUBLISHED.critic.build(0)


# Losses


def answers() -> tuple[Tensor, Tensor]:
    """S0 (2, 3, 2, 2), and log S_DV of another answer."""
    random = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 2, 2, generator=random).softmax(1), torch.randn(2, 3, 2, 2, generator=random).log_softmax(1)


@pytest.mark.parametrize("entropy", ["mask", "slice", "sum"])
def test_the_masked_cross_entropy_is_that_computed_by_hand(entropy: str) -> None:
    clean, logs = answers()
    found = AttackLoss(entropy=entropy).cross_entropy(clean, logs).tolist()
    for case in range(2):
        total = weight = 0.0
        for row in range(2):
            for column in range(2):
                before, after = clean[case, :, row, column].tolist(), logs[case, :, row, column].tolist()
                mask = before[1] + before[2]
                total += mask * -sum(p * log for p, log in zip(before, after, strict=True))
                weight += mask
        assert found[case] == pytest.approx({"mask": total / max(weight, 1), "slice": total / 4, "sum": total}[entropy], rel=1e-5)


def test_a_slice_without_an_organ_has_no_masked_cross_entropy_and_stays_finite() -> None:
    logs = torch.tensor([40.0, -40.0, -40.0]).log_softmax(0).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    clean = AttackLoss(hard=True).clean(logs)
    assert clean[:, 0].tolist() == [[[1, 1], [1, 1]]]
    assert AttackLoss().cross_entropy(clean, logs).tolist() == [0]


def test_the_answer_to_the_clean_slice_is_probabilities_or_with_the_switch_one_hot() -> None:
    _, logs = answers()
    assert torch.equal(AttackLoss().clean(logs), logs.exp())
    hard = AttackLoss(hard=True).clean(logs)
    assert torch.equal(hard, nn.functional.one_hot(logs.argmax(1), 3).movedim(-1, 1).float())


@pytest.mark.parametrize("norms", ["mean", "sum"])
def test_the_generator_s_terms_are_those_of_the_paper_weighted(norms: str) -> None:
    clean, logs = answers()
    made = Made(torch.full((2, 2, 2, 2), 3.0), torch.full((2, 1, 2, 2), 2.0), torch.tensor([5.0, 7.0]))
    loss = AttackLoss(xi=1.5, kl=0.5, norms=norms)
    terms = loss.terms(clean, logs, made, torch.tensor([0.25, -0.5]))
    pixels = 4 if norms == "sum" else 1
    assert terms["adversarial"].tolist() == [0.25, -0.5]
    assert terms["entropy"].tolist() == pytest.approx([(1.5 - value) ** 2 for value in loss.cross_entropy(clean, logs).tolist()], rel=1e-5)
    assert terms["field"].tolist() == pytest.approx([0.1 * 18 * pixels] * 2, rel=1e-6), "both components of the displacement, pixels squared"
    assert terms["shading"].tolist() == pytest.approx([0.01 * 4 * pixels] * 2, rel=1e-6)
    assert terms["kl"].tolist() == [2.5, 3.5]
    assert AttackLoss().terms(clean, logs, made, torch.zeros(2))["kl"].tolist() == [0, 0], "no divergence is in the paper's loss"


class Brightness(nn.Module):
    """A critic of known slope: gain times the mean of the slice."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, image: Tensor) -> Tensor:
        return self.gain * image.flatten(1).mean(1)


def test_the_critic_lowers_what_it_gives_attacked_slices_less_what_it_gives_real_ones() -> None:
    real, attacked = torch.full((2, 1, 4, 4), 3.0), torch.full((2, 1, 4, 4), 1.0)
    critic, share = Brightness(2.0), torch.tensor([0.2, 0.9])
    plain = critic_loss(critic, real, attacked, 0.0, share)
    assert float(plain.detach()) == pytest.approx(2 * (1 - 3))
    (slope,) = torch.autograd.grad(plain, critic.gain)
    assert float(slope) < 0, "a step down raises the score of the real slices"
    steep = 2 / 16 * 4  # each of 16 pixels has slope 2 / 16
    penalised = critic_loss(critic, real, attacked, 10.0, share)
    assert float(penalised.detach()) == pytest.approx(-4 + 10 * (steep - 1) ** 2, rel=1e-5)
    (slope,) = torch.autograd.grad(penalised, critic.gain)
    assert float(slope) == pytest.approx(-2 + 10 * 2 * (steep - 1) / 4, rel=1e-4), "the penalty has a gradient in the critic"


def test_clipping_holds_every_convolution_and_no_normalisation_and_a_penalty_holds_neither() -> None:
    for critic, kept in ((Critic((4,), clip=0.02), True), (Critic((4,), penalty=10.0), False)):
        network = critic.build(0)
        critic.hold(network)
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
        parameters = [parameter.detach() for layer in layers for parameter in layer.parameters()]
        assert len(parameters) == 3 + (not kept), "the last layer and, without normalisation, the first have a bias"
        assert (max(float(parameter.abs().max()) for parameter in parameters) <= 0.02 + 1e-9) == kept
        assert all(bool((layer.weight == 1).all()) for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))


# One step


PAPER = AttackLoss()


def lesson(loss: AttackLoss = PAPER, start: float = 1.0, parts: tuple[str, ...] = BOTH, updates: int = 1, size: int = 3) -> Lesson:
    victim = target()
    victim.network.requires_grad_(False)
    splits = [Split.of(victim, SliceData(SIZE), name) for name in ("train", "val")]
    return Lesson(loss, replace(TINY, start=start).build(0, parts), Critic((4, 6)).build(0), splits[0], splits[1], size, updates, 3, 0.0, 0)


@pytest.mark.parametrize("parts", list(PARTS.values()), ids=list(PARTS))
def test_gradients_reach_every_weight_of_the_generator_and_none_of_the_critic(parts: tuple[str, ...]) -> None:
    given = lesson(AttackLoss(kl=0.1), parts=parts)
    torch.stack(list(given.generate(0).values())).sum().backward()  # type: ignore[no-untyped-call]
    reached = {name: parameter.grad is not None and bool(parameter.grad.any()) for name, parameter in given.generator.named_parameters()}
    assert all(reached.values()), [name for name, there in reached.items() if not there]
    assert {part for part in BOTH if any(part in name for name in reached)} == set(parts)
    assert all(parameter.grad is None for parameter in given.critic.parameters())


def test_a_step_of_the_generator_from_the_identity_moves_it() -> None:
    given = lesson(start=0.0)
    torch.stack(list(given.generate(0).values())).sum().backward()  # type: ignore[no-untyped-call]
    for part in BOTH:
        last = given.generator.decoder[part].get_parameter(f"{len(list(given.generator.decoder[part].children())) - 1}.weight")
        assert last.grad is not None
        assert bool(last.grad.any())


def test_the_critic_s_gradients_are_its_own() -> None:
    given = lesson()
    losses = list(given.criticise(0))
    assert len(losses) == 1
    losses[0].backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in given.critic.parameters())
    assert all(parameter.grad is None for parameter in given.generator.parameters())


def test_the_terms_of_a_step_are_those_of_its_slices_attacked_as_equation_one_says() -> None:
    given = lesson()
    given.generator.eval()
    given.critic.eval()
    terms = given.generate(4)
    cases, random = given._draw(4, 1)
    clean = (cases.image - cases.context["mean"].view(-1, 1, 1, 1)) / cases.context["std"].view(-1, 1, 1, 1)
    with torch.no_grad():
        made = given.generator(clean, torch.randn(3, *TINY.noise_shape(SIZE, SIZE), generator=random))
    attacked = warp(cases.image, made.field) + made.shading * cases.context["std"].view(-1, 1, 1, 1)
    logs = given.training.target(attacked, cases)
    entropy = given.loss.cross_entropy(given.training.target(cases.image, cases).exp(), logs)
    assert float(terms["entropy"].detach()) == pytest.approx(float((2 - entropy).square().mean()), rel=1e-3)
    assert float(terms["field"].detach()) == pytest.approx(0.1 * float(made.field.square().sum(1).mean()), rel=1e-5)
    with torch.no_grad():
        gap = given.critic(clean) - given.critic(warp(clean, made.field) + made.shading)
    assert float(gap.abs().mean()) > 1e-3
    assert float(terms["adversarial"].detach()) == pytest.approx(float(gap.mean()), rel=1e-3), "lower where the attacked slices score higher"


def test_every_update_has_slices_and_draws_of_its_own_and_an_epoch_shows_each_once() -> None:
    given = lesson(size=2)
    seen = [given._draw(step, update) for step in range(4) for update in range(2)]
    names = [tuple(case.case for case in drawn.cases) for drawn, _ in seen]
    for epoch in range(4):
        assert len({name for pair in names[2 * epoch : 2 * epoch + 2] for name in pair}) == 4
    assert len({tuple(torch.rand(3, generator=random).tolist()) for _, random in seen}) == 8
    assert names == [tuple(case.case for case in given._draw(step, update)[0].cases) for step in range(4) for update in range(2)]


def test_a_weight_of_zero_leaves_the_critic_out(tmp_path: Path) -> None:
    assert list(lesson(updates=0).criticise(0)) == []
    assert float(lesson(AttackLoss(adversarial=0.0), updates=0).generate(0)["adversarial"].detach()) == 0
    fit(tmp_path, replace(SMALL, loss=AttackLoss(adversarial=0.0)))
    history = json.loads((tmp_path / HISTORY).read_text())
    assert "critic" not in history[-1]["training"]


# Figures


def test_the_agreement_is_the_mean_dice_of_the_organs_that_were_there() -> None:
    before, after = torch.tensor([0, 1, 1, 1, 2, 2]), torch.tensor([1, 1, 1, 0, 3, 2])
    found = agreement(overlap(before, after, 4)[None])
    assert found == [pytest.approx((2 * 2 / 6 + 2 * 1 / 3) / 2)]
    assert agreement(overlap(before * 0, after, 4)[None]) == [1.0]


def test_the_figures_of_a_training_are_written_and_finite(tmp_path: Path) -> None:
    fit(tmp_path)
    history = json.loads((tmp_path / HISTORY).read_text())
    assert [figures["step"] for figures in history] == [5, 10, 12]
    for figures in history:
        assert {"critic", "loss", "adversarial", "entropy", "field", "shading", "kl"} <= set(figures["training"])
        assert {"p", "cross-entropy", "agreement", "agreement with the moved", "displacement", "folding"} <= set(figures["validation"])
        assert all(math.isfinite(value) for table in ("training", "validation") for value in figures[table].values())


def test_validation_figures_of_a_generator_that_does_nothing() -> None:
    given = lesson(start=0.0)
    given.generator.eval()
    figures = given.assess()
    assert figures["p"] == 0
    assert figures["displacement"] == 0
    assert figures["agreement"] == 1
    assert figures["agreement with the moved"] == 1
    chosen = batch().select([0, 1, 2])
    logs = target()(chosen.image, chosen).detach()
    assert figures["cross-entropy"] == pytest.approx(float(PAPER.cross_entropy(logs.exp(), logs).mean()), rel=1e-5)


def test_validation_asks_for_slices_spread_over_the_split() -> None:
    given = replace(lesson(size=2), validate=2)
    assert [[case.case for case in cases] for cases in given._validation()] == [["slice0#000", "slice1#000"]]
    assert [len(cases) for cases in replace(given, validate=99)._validation()] == [2, 2]


# Training


def test_training_brings_the_cross_entropy_towards_xi(tmp_path: Path) -> None:
    settings = replace(SMALL, steps=60, interval=20, learning_rate=3e-3, loss=AttackLoss(xi=1.0))
    reports: list[tuple[int, int]] = []
    fit(tmp_path, settings, report=lambda step, steps, loss: reports.append((step, steps)))
    assert reports == [(step, 60) for step in range(1, 61)]
    history = json.loads((tmp_path / HISTORY).read_text())
    assert history[-1]["training"]["entropy"] < 0.5 * history[0]["training"]["entropy"]
    assert history[-1]["validation"]["p"] > 0


@pytest.mark.parametrize("settings", [SMALL, replace(SMALL, critic=Critic((4, 6), penalty=10.0), critic_updates=2)], ids=["clip", "penalty"])
@pytest.mark.parametrize("stop", [7, 11])
def test_an_interrupted_training_ends_as_an_undisturbed_one_to_the_last_bit(tmp_path: Path, settings: DeformationTraining, stop: int) -> None:
    def interrupt(step: int, steps: int, loss: float) -> None:
        if step == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "broken", settings, report=interrupt)
    done: list[int] = []
    whole, resumed = fit(tmp_path / "whole", settings), fit(tmp_path / "broken", settings, report=lambda step, *_: done.append(step))
    assert done[0] == stop - stop % 5 + 1, "it goes on from the last checkpoint"
    assert equal(whole, resumed)
    for name in (HISTORY, CHECKPOINT):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes()


def test_the_seed_alone_determines_the_weights_and_no_global_generator_is_moved(tmp_path: Path) -> None:
    victim = target()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = dict(SMALL.fit(victim, SliceData(SIZE), 0, tmp_path / "one", silent))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert equal(one, fit(tmp_path / "two"))
    assert not equal(one, fit(tmp_path / "three", seed=1))


def test_weights_are_the_generator_s_and_small() -> None:
    assert set(trained()) == set(TINY.build(0).state_dict())
    default = DeformationTraining().generator.build(0).state_dict()
    assert sum(tensor.numel() for tensor in default.values()) * 2 < 500_000, "bytes in half precision"


def duel(folder: Path, criticise: Callable[[int], Any], generate: Callable[[int], Any], **options: Any) -> Duel:
    generator, critic = nn.Linear(1, 1), nn.Linear(1, 1)
    fields: dict[str, Any] = {"steps": 6, "interval": 2, "learning_rate": 0.5, "explode": 100.0, **options}
    return Duel(
        generator, critic, lambda _: None, lambda step: criticise(step)(critic), lambda step: generate(step)(generator), dict,
        folder=folder, report=silent, **fields,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        (math.nan, "critic loss nan at step 4, expected less than 100 either way"),
        (math.inf, "critic loss inf at step 4, expected less than 100 either way"),
        (-1e3, "critic loss -1000 at step 4, expected less than 100 either way"),
    ],
)
def test_a_critic_that_explodes_stops_the_training_with_one_line(tmp_path: Path, bad: float, found: str) -> None:
    def criticise(step: int) -> Callable[[nn.Linear], Any]:
        return lambda critic: [0 * critic.weight.sum() + (bad if step == 3 else 1.0)]

    def generate(step: int) -> Callable[[nn.Linear], Any]:
        return lambda generator: {"term": generator.weight.sum()}

    line = f"^training diverged: found {found}; the last checkpoint is of step 2 in {CHECKPOINT}; lower learning_rate, now 0.5$"
    with pytest.raises(CellError, match=line):
        duel(tmp_path, criticise, generate).run()
    assert [figures["step"] for figures in json.loads((tmp_path / HISTORY).read_text())] == [2]


def test_a_generator_that_is_not_finite_in_loss_or_slope_stops_the_training_before_its_weights_are_touched(tmp_path: Path) -> None:
    def generate(step: int) -> Callable[[nn.Linear], Any]:
        return lambda generator: {"term": generator.weight.sum() * (math.nan if step == 0 else 1)}

    with pytest.raises(CellError, match="found generator loss nan at step 1, expected a finite number; there is no checkpoint yet"):
        duel(tmp_path / "loss", lambda _: lambda critic: [], generate).run()

    def steep(step: int) -> Callable[[nn.Linear], Any]:
        return lambda generator: {"term": (generator.weight.sum() * (0.0 if step == 3 else 1.0)).abs().sqrt()}

    steeper = duel(tmp_path / "slope", lambda _: lambda critic: [], steep, learning_rate=1e-3)
    with pytest.raises(CellError, match=r"found generator slope (nan|inf) at step 4.*step 2"):
        steeper.run()
    assert all(bool(parameter.isfinite().all()) for parameter in steeper.generator.parameters())


def test_a_diverging_training_says_so_and_goes_on_from_its_checkpoint_with_another_rate(tmp_path: Path) -> None:
    wild = replace(SMALL, learning_rate=1e4)
    with pytest.raises(CellError, match="training diverged") as raised:
        fit(tmp_path / "wild", replace(wild, critic=Critic((4, 6), penalty=10.0), steps=400, interval=400))
    assert "\n" not in str(raised.value)
    fit(tmp_path / "calm", replace(SMALL, steps=10))
    done: list[int] = []
    fit(tmp_path / "calm", replace(SMALL, learning_rate=1e-4), report=lambda step, *_: done.append(step))
    assert done == [11, 12]


def test_the_target_must_not_be_in_training_mode_and_is_left_alone(tmp_path: Path) -> None:
    victim = target()
    flags = [parameter.requires_grad for parameter in victim.network.parameters()]
    before = {name: tensor.clone() for name, tensor in victim.network.state_dict().items()}
    with torch.no_grad():
        SMALL.fit(victim, SliceData(SIZE), 0, tmp_path / "one", silent)
    assert equal(before, dict(victim.network.state_dict()))
    assert all(parameter.grad is None for parameter in victim.network.parameters())
    assert [parameter.requires_grad for parameter in victim.network.parameters()] == flags
    victim.network.train()
    with pytest.raises(ValueError, match="found a target in training mode"):
        SMALL.fit(victim, SliceData(SIZE), 0, tmp_path / "two", silent)


# The attack


def test_it_is_registered() -> None:
    assert registry.load("attacks", "deform-shade") is DeformShade


def test_the_attacked_slice_is_the_warped_one_with_shading_and_the_truth_moves_along() -> None:
    clean, attacked = batch(), run(lively())
    assert attacked.field is not None
    assert attacked.truth is not None
    assert attacked.field.dtype == torch.float32
    assert torch.equal(attacked.truth, warp_labels(clean.truth, attacked.field))
    shading = attacked.image - warp(clean.image, attacked.field)
    assert float(attacked.field.abs().max()) > 0.5
    assert float(shading.abs().max()) > 20
    assert FREE.audit(clean, attacked) == ("",) * 4


def test_field_and_shading_are_those_of_the_network_in_pixels_and_standard_deviations() -> None:
    clean, plugin = batch(), lively()
    network = plugin.training.restore(plugin.weights)
    noise = streams(clean).normal(*TINY.noise_shape(SIZE, SIZE))
    made = network((clean.image - 0) / 120, noise)
    attacked = run(plugin)
    assert attacked.field is not None
    assert torch.allclose(attacked.field, made.field, atol=1e-4)
    assert torch.allclose(attacked.image, warp(clean.image, made.field) + 120 * made.shading, atol=0.05)


@pytest.mark.parametrize("how", ["retrained", "switched off"])
def test_a_branch_that_is_not_in_use_is_exactly_zero(how: str) -> None:
    clean = batch()
    plugins = {
        part: attack(replace(SMALL, parts=part, steps=40)) if how == "retrained" else lively(use=part)
        for part in BOTH
    }  # fmt: skip
    moved = run(plugins["field"])
    assert moved.field is not None
    assert bool(moved.field.any())
    assert torch.equal(moved.image, warp(clean.image, moved.field)), "no shading at all"
    shaded = run(plugins["shading"])
    assert shaded.field is None
    assert shaded.truth is None
    assert not torch.equal(shaded.image, clean.image)


def test_switching_a_branch_off_changes_nothing_of_the_other() -> None:
    joint, moved, shaded = run(lively()), run(lively(use="field")), run(lively(use="shading"))
    assert joint.field is not None
    assert moved.field is not None
    assert torch.equal(joint.field, moved.field)
    assert torch.allclose(joint.image - moved.image, shaded.image - batch().image, atol=1e-3)


def test_a_budget_is_kept_by_one_factor() -> None:
    clean, budget = batch(), DeformationBudget(p=0.05, displacement=4.0, folding=0.0, shading=30.0)
    free, held = run(lively()), run(lively(), budget=budget)
    assert all(budget.audit(clean, free)), "the generator leaves it by itself"
    assert budget.audit(clean, held) == ("",) * 4
    assert held.field is not None
    assert free.field is not None
    factors = (held.field / free.field).flatten(1)
    assert torch.allclose(factors, factors[:, :1].expand_as(factors), rtol=1e-3)


@pytest.mark.parametrize("use", ["both", "field", "shading"])
def test_an_attack_that_spends_its_budget_comes_to_p_unless_another_limit_binds(use: str) -> None:
    clean = batch()
    shy = DeformShade(SMALL, dict(replace(TINY, start=1.0).build(3, BOTH).state_dict()), use=use)
    small = perceptibility(run(shy).image, clean)
    budget = DeformationBudget(p=2 * float(small.max()), displacement=1e6, folding=1.0, shading=1e6)
    spent = run(replace(shy, spend=True), budget=budget)
    assert torch.allclose(perceptibility(spent.image, clean), torch.full_like(small, budget.p), rtol=1e-3)
    assert budget.audit(clean, spent) == ("",) * 4
    tight = replace(budget, displacement=0.01, shading=0.01)
    held = run(replace(shy, spend=True), budget=tight)
    assert tight.audit(clean, held) == ("",) * 4
    assert bool((perceptibility(held.image, clean) < small).all())


def test_draws_are_the_case_s_own_and_neither_batch_nor_order_changes_a_bit() -> None:
    whole = run(lively(samples=2, keep="worst"))
    for rows in ([2, 0, 3, 1], [1], [3, 3]):
        part = run(lively(samples=2, keep="worst"), batch().select(rows))
        assert torch.equal(whole.image[rows], part.image)
        assert whole.field is not None
        assert part.field is not None
        assert torch.equal(whole.field[rows], part.field)
        assert torch.equal(whole.trace["loss"][rows], part.trace["loss"])
    assert not torch.equal(whole.image, run(lively(samples=2, keep="worst"), seed=7).image)


def loss(attacked: Attacked) -> Tensor:
    clean = batch()
    truth = clean.truth if attacked.truth is None else attacked.truth
    return target().loss(attacked.image, Batch(attacked.image, truth, clean.cases, clean.context))


def test_the_worst_of_several_draws_is_never_better_for_the_target_than_the_first() -> None:
    first, worst = run(lively()), run(lively(samples=6, keep="worst"))
    assert bool((loss(worst) >= loss(first) - 1e-6).all())
    assert bool((loss(worst) > loss(first) + 1e-4).any())
    assert worst.trace["loss"].shape == (4, 6)
    assert torch.allclose(worst.trace["loss"].amax(1), loss(worst), rtol=1e-5)
    assert torch.allclose(worst.trace["loss"][:, 0], loss(first), rtol=1e-5)
    assert FREE.audit(batch(), worst) == ("",) * 4


@pytest.mark.parametrize(("options", "asked"), [({}, 0), ({"samples": 5}, 0), ({"keep": "worst"}, 1), ({"keep": "worst", "samples": 5}, 5)])
def test_the_target_is_asked_only_to_choose(options: dict[str, Any], asked: int) -> None:
    guarded, clean = Guarded(target()), batch()
    plugin = lively(**options)
    attacked = plugin(guarded, clean, FREE, streams(clean))
    assert guarded.passes.forward == 4 * asked == 4 * plugin.queries
    assert guarded.passes.gradient == plugin.gradients == 0
    assert attacked.trace.get("loss", torch.empty(4, 0)).shape == (4, asked)


def test_identity_is_what_trains_the_weights_and_not_how_they_are_used() -> None:
    same: list[Any] = [DeformShade(SMALL), DeformShade(SMALL, use="field"), DeformShade(SMALL, samples=4, keep="worst"), attack()]
    others = [replace(SMALL, parts="field"), replace(SMALL, loss=AttackLoss(xi=1.0)), replace(SMALL, steps=13), replace(SMALL, learning_rate=1e-3)]
    assert len({identity(plugin, target(), "data", 0) for plugin in same}) == 1
    plugins: list[Any] = [DeformShade(training) for training in (SMALL, *others)]
    assert len({identity(plugin, target(), "data", 0) for plugin in plugins}) == 5
    assert attack() == DeformShade(SMALL), "weights are no part of a configuration"


def test_weights_that_are_missing_or_of_another_recipe_are_one_line() -> None:
    with pytest.raises(ValueError, match="deform-shade: found no weights, expected those that `fit` gives"):
        run(DeformShade(SMALL))
    with pytest.raises(WeightsError, match=r"no tensor 'latent\.shading"):
        run(DeformShade(SMALL, trained(replace(SMALL, parts="field"))))


def test_slices_of_another_size_and_spacing_are_attacked_too() -> None:
    cases = tuple(Case(f"slice{i}#00{i}", "p", "p") for i in range(2))
    image = torch.from_numpy(np.random.default_rng(0).normal(0, 100, (2, 1, 19, 30)).astype(np.float32))
    context = {"mean": torch.zeros(2), "std": torch.full((2,), 120.0), "spacing": torch.ones(2, 2)}
    odd = Batch(image, torch.zeros(2, 1, 19, 30, dtype=torch.int64), cases, context)
    attacked = lively()(target(), odd, DeformationBudget(), CaseRandom.of([1, 2]))
    assert attacked.image.shape == (2, 1, 19, 30)
    assert DeformationBudget().audit(odd, attacked) == ("", "")
