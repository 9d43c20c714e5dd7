"""CycleGAN: networks by hand, pools, augmentation, the order of updates, training that resumes and stops, and the attack that it makes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from medrobust.errors import CellError, WeightsError
from medrobust.fitting import identity
from medrobust.guard import NO_BOX, Guarded
from medrobust.randomness import CaseRandom, derive
from medrobust.resolve import resolve
from medrobust.targets.classification import ClassificationTarget
from medrobust.testing import Bench
from medrobust.testing.mammograms import MammogramData, MassReader
from medrobust.testing.training import has_a_recipe, resumes, trains_beside_the_target, trains_by_its_seed
from medrobust.types import Attacked, Batch, Case
from medrobust_attacks.cyclegan.augment import NOTHING, Augmentation
from medrobust_attacks.cyclegan.cyclegan import CycleGAN
from medrobust_attacks.cyclegan.discriminator import Discriminator
from medrobust_attacks.cyclegan.generator import Generator, clipped
from medrobust_attacks.cyclegan.lesson import CANCEROUS, HEALTHY, INJECT, MADE, REMOVE, Kinds, Lesson
from medrobust_attacks.cyclegan.pool import Pool
from medrobust_attacks.cyclegan.recipe import EXPERIMENT_1, EXPERIMENT_2, CycleTraining
from medrobust_attacks.cyclegan.training import BETAS, called
from medrobust_attacks.optimisers import part
from medrobust_attacks.perturbation.training import CHECKPOINT, HISTORY, shuffled

TINY = Generator(2, blocks=1)
JUDGE = Discriminator(2)
SMALL = CycleTraining(TINY, JUDGE, steps=6, constant=3, interval=4, pool=2, checkpoints=(3,), validate=2, learning_rate=1e-3)
ORIGINAL = Generator(64, padding="reflect", skip=False, slope=0.0, after_sum=False, affine=False)
CPU = torch.device("cpu")


def target() -> ClassificationTarget:
    return ClassificationTarget(MassReader().eval(), digest="0123456789ab")


def batch() -> Batch:
    data = MammogramData()
    return data.load(data.cases("test"))


def silent(step: int, steps: int, loss: float) -> None:
    pass


def fit(folder: Path, settings: CycleTraining = SMALL, seed: int = 0, report: Callable[[int, int, float], None] = silent) -> dict[str, Tensor]:
    return dict(settings.fit(Guarded(target(), NO_BOX), MammogramData(), seed, folder, report))


@cache
def trained(settings: CycleTraining = SMALL) -> dict[str, Tensor]:
    with TemporaryDirectory() as folder:
        return fit(Path(folder), settings)


def run(plugin: CycleGAN, cases: Batch | None = None) -> Attacked:
    cases = cases or batch()
    return plugin(Guarded(target(), NO_BOX), cases, None, CaseRandom.of(range(len(cases))))  # type: ignore[arg-type]


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


# Networks


def by_hand(n: int, blocks: int, affine: bool) -> int:
    """Weights of the generator; those before a normalisation have no bias, the last has one."""
    weights = 49 * n + 9 * 2 * n * n + 9 * 8 * n * n + blocks * 2 * 9 * 16 * n * n + 9 * 8 * n * n + 9 * 2 * n * n + 49 * n + 1
    return weights + affine * 2 * (n + 2 * n + 4 * n + blocks * 2 * 4 * n + 2 * n + n)


@pytest.mark.parametrize("upsampling", ["transposed", "nearest", "bilinear"])
@pytest.mark.parametrize(("n", "blocks", "affine"), [(2, 1, True), (4, 3, False), (32, 9, True), (64, 9, False)])
def test_a_generator_has_the_weights_counted_by_hand(n: int, blocks: int, affine: bool, upsampling: str) -> None:
    assert count(Generator(n, blocks, affine=affine, upsampling=upsampling).build(0)) == by_hand(n, blocks, affine)


def test_the_published_generator_has_its_published_size() -> None:
    # 11.378 million of three channels with biases: two outer layers have 49 n weights more a channel, and biases before a normalisation are void
    biases = 64 * (1 + 2 + 4 + 18 * 4 + 2 + 1)
    assert count(ORIGINAL.build(0)) + biases + 2 * 2 * 49 * 64 + 2 == 11_378_179


@pytest.mark.parametrize(("channels", "affine"), [(64, True), (64, False), (5, True)])
def test_a_discriminator_has_the_weights_counted_by_hand(channels: int, affine: bool) -> None:
    n = channels
    weights = 16 * (n + 2 * n * n + 8 * n * n + 32 * n * n + 8 * n) + n + 1
    assert count(Discriminator(n, affine=affine).build(0)) == weights + affine * 2 * (2 + 4 + 8) * n


@pytest.mark.parametrize(("pad", "size"), [(1, 30), (2, 35)])
@pytest.mark.parametrize("padding", ["zero", "reflect"])
def test_256_pixels_have_the_published_number_of_scores(padding: str, pad: int, size: int) -> None:
    assert Discriminator(2, pad=pad, padding=padding).build(0)(torch.rand(1, 1, 256, 256)).shape == (1, 1, size, size)


def test_a_score_is_of_70_pixels_each_way() -> None:
    network = Discriminator(2).build(0)
    for layer in network.modules():
        if isinstance(layer, nn.InstanceNorm2d):
            layer.forward = lambda features: features  # type: ignore[method-assign] # statistics are of the whole image
    image = torch.rand(1, 1, 256, 256, requires_grad=True)
    network(image)[0, 0, 17, 17].backward()
    assert image.grad is not None
    seen = image.grad[0, 0].nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [70, 70]


def test_a_discriminator_normalises_images_one_by_one() -> None:
    network = Discriminator(4).build(0).train()
    images = torch.rand(3, 1, 32, 32)
    torch.testing.assert_close(network(images)[1:2], network(images[1:2]))
    assert not [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    kinds = [type(layer) for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.InstanceNorm2d)]
    assert kinds == [nn.Conv2d, *[nn.Conv2d, nn.InstanceNorm2d] * 3, nn.Conv2d], "the first and the last have none"


def test_the_input_is_added_before_the_tanh() -> None:
    image = batch().image
    for skip, bound in ((True, "tanh"), (True, "clip"), (False, "tanh")):
        network = replace(TINY, skip=skip, bound=bound).build(0)
        nn.init.zeros_(network.decoder[-1].weight)
        nn.init.constant_(network.decoder[-1].bias, 0.25)
        whole = image + 0.25 if skip else torch.full_like(image, 0.25)
        torch.testing.assert_close(network(image), whole.tanh() if bound == "tanh" else whole.clamp(-1, 1))


def test_what_was_clipped_learns_to_come_back_and_no_further_out() -> None:
    whole = torch.tensor([-2.0, -2.0, 0.5, 0.5, 2.0, 2.0], requires_grad=True)
    weights = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    made = clipped(whole)
    torch.testing.assert_close(made, torch.tensor([-1.0, -1.0, 0.5, 0.5, 1.0, 1.0]))
    (made * weights).sum().backward()
    assert whole.grad is not None
    assert whole.grad.tolist() == [0, -1, 1, -1, 1, 0], "a step against it leads inside, or there is none"


@pytest.mark.parametrize("options", [{"padding": "reflect"}, {"upsampling": "nearest"}, {"upsampling": "bilinear"}, {"affine": False}])
def test_every_option_gives_an_image_in_range(options: dict[str, Any]) -> None:
    made = replace(TINY, **options).build(0)(10 * torch.randn(2, 1, 36, 44)).detach()
    assert made.shape == (2, 1, 36, 44)
    assert float(made.abs().max()) <= 1


def test_padding_is_what_it_says() -> None:
    networks = [replace(TINY, padding=padding).build(0) for padding in ("zero", "reflect")]
    modes = [{layer.padding_mode for layer in network.modules() if isinstance(layer, nn.Conv2d)} for network in networks]
    assert modes == [{"zeros"}, {"reflect"}]
    zero, reflect = (Discriminator(2, padding=padding).build(0)(torch.ones(1, 1, 32, 32)).detach() for padding in ("zero", "reflect"))
    assert float(reflect.std()) < 1e-6 < float(zero.std()), "a flat image has no edge when it is reflected"


def test_rectifiers_are_those_asked_for() -> None:
    plain, leaky = ORIGINAL.build(0), Generator(2).build(0)
    assert {layer.negative_slope for layer in plain.modules() if isinstance(layer, nn.LeakyReLU)} == {0.0}
    assert {layer.negative_slope for layer in leaky.modules() if isinstance(layer, nn.LeakyReLU)} == {0.2}
    features = torch.randn(1, 8, 4, 4)
    free = Generator(2, after_sum=False).build(0)
    assert float(leaky.blocks[0](features).detach().min()) >= 0 > float(free.blocks[0](features).detach().min())


@pytest.mark.parametrize("options", [TINY, JUDGE])
def test_spectral_normalisation_bounds_every_convolution(options: Generator | Discriminator) -> None:
    network = replace(options, spectral_norm=True).build(0)
    for _ in range(60):
        network(torch.rand(1, 1, 32, 32))
    network.eval()
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    for layer in convolutions:
        flat = (layer.weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else layer.weight).flatten(1).detach()
        assert float(torch.linalg.matrix_norm(flat, 2)) == pytest.approx(1, abs=0.05)
    assert len(convolutions) == (8 if isinstance(options, Generator) else 5)


def test_fresh_weights_are_narrow_normals_by_seed() -> None:
    network = Generator(32).build(3)
    weights = torch.cat([layer.weight.flatten() for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]).detach()
    scales = torch.cat([layer.weight for layer in network.modules() if isinstance(layer, nn.InstanceNorm2d)]).detach()
    assert float(weights.std()) == pytest.approx(0.02, rel=0.01)
    assert (float(scales.mean()), float(scales.std())) == (pytest.approx(1, abs=0.01), pytest.approx(0.02, rel=0.1))
    assert equal(dict(network.state_dict()), dict(Generator(32).build(3).state_dict()))
    assert not equal(dict(network.state_dict()), dict(Generator(32).build(4).state_dict()))


def test_sizes_that_do_not_fit_are_one_line() -> None:
    with pytest.raises(ValueError, match=r"^image: found 30x32 pixels, expected multiples of 4 along both axes$"):
        TINY.build(0)(torch.zeros(1, 1, 30, 32))
    with pytest.raises(ValueError, match=r"^image: found 28x32 pixels, expected at least 32 along both axes$"):
        JUDGE.build(0)(torch.zeros(1, 1, 28, 32))


@pytest.mark.parametrize(
    ("plugin", "option", "line"),
    [
        (Generator, {"channels": 0}, "channels: found 0, expected at least 1"),
        (Generator, {"blocks": 0}, "blocks: found 0, expected at least 1"),
        (Generator, {"padding": "same"}, "padding: found 'same', expected one of zero, reflect"),
        (Generator, {"upsampling": "cubic"}, "upsampling: found 'cubic', expected one of transposed, nearest, bilinear"),
        (Generator, {"bound": "none"}, "bound: found 'none', expected one of tanh, clip"),
        (Generator, {"slope": 1.0}, "slope: found 1.0, expected a number from 0 to below 1"),
        (Discriminator, {"channels": 0}, "channels: found 0, expected at least 1"),
        (Discriminator, {"pad": 3}, "pad: found 3, expected 1 or 2"),
        (Discriminator, {"padding": ""}, "padding: found '', expected one of zero, reflect"),
        (Augmentation, {"rotate": -1.0}, "rotate: found -1.0, expected degrees from 0 to below 180"),
        (Augmentation, {"scale": (1.1, 0.9)}, r"scale: found \[1.1, 0.9\], expected two factors above 0, the lesser first"),
        (Augmentation, {"contrast": (0.0, 0.9)}, r"contrast: found \[0.0, 0.9\], expected two factors above 0, the lesser first"),
        (CycleTraining, {"steps": 0}, "steps: found 0, expected at least 1"),
        (CycleTraining, {"constant": 2001}, "constant: found 2001, expected at most the 2000 steps there are"),
        (CycleTraining, {"learning_rate": math.nan}, "learning_rate: found nan, expected a number above 0"),
        (CycleTraining, {"identity": -0.5}, "identity: found -0.5, expected a weight of at least 0"),
        (CycleTraining, {"updates": "both"}, "updates: found 'both', expected one of separate, joint"),
        (CycleTraining, {"checkpoints": (5, 3000)}, r"checkpoints: found \[5, 3000\], expected steps from 1 to 2000"),
        (CycleGAN, {"direction": "swap"}, "direction: found 'swap', expected one of tamper, inject, remove"),
        (CycleGAN, {"step": 7}, "step: found 7, expected one that training.checkpoints keeps: 2000"),
    ],
)
def test_an_option_that_cannot_be_is_one_line(plugin: Any, option: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=f"^{line}$"):
        plugin(**option)


@pytest.mark.parametrize("settings", [EXPERIMENT_1, EXPERIMENT_2])
def test_published_configurations_can_be_built(settings: CycleTraining) -> None:
    with torch.no_grad():
        assert settings.generator.build(0)(torch.zeros(1, 1, 32, 40)).shape == (1, 1, 32, 40)
        assert settings.discriminator.build(0)(torch.zeros(1, 1, 64, 52)).shape == (1, 1, 11, 10)


def test_published_configurations_are_as_published() -> None:
    assert count(EXPERIMENT_1.generator.build(0)) == by_hand(32, 9, True)
    assert (EXPERIMENT_1.rate(INJECT, 0), EXPERIMENT_1.rate(CANCEROUS, 31_800), EXPERIMENT_1.rate(HEALTHY, 47_700)) == (2e-4, 2e-4, 1e-4)
    assert (EXPERIMENT_2.rate(INJECT, 375_000), EXPERIMENT_2.rate(CANCEROUS, 375_000)) == (1e-4, 0.5e-4)
    assert EXPERIMENT_2.kept[:2] == (5_000, 10_000)
    assert len(EXPERIMENT_2.kept) == 100
    assert (EXPERIMENT_1.augmentation, EXPERIMENT_2.augmentation) == (Augmentation(4.0, (0.98, 1.13), (0.8, 1.2)), NOTHING)


# Pools and augmentation


def test_a_pool_gives_back_everything_until_it_is_full_and_then_half() -> None:
    pool, random = Pool(50), torch.Generator().manual_seed(0)
    images = torch.arange(2050.0).view(-1, 1, 1, 1)
    assert torch.equal(pool(images[:50], random), images[:50])
    given = pool(images[50:], random)
    earlier = (given < images[50:]).flatten()
    assert 900 < int(earlier.sum()) < 1100
    assert len(set(given.flatten().tolist())) == 2000, "what was given back is kept no more, so nothing comes twice"
    assert len(pool.tensors()) == 50


def test_a_pool_of_nothing_gives_back_what_it_is_given() -> None:
    images = torch.rand(4, 1, 2, 2)
    assert torch.equal(Pool(0)(images, torch.Generator().manual_seed(0)), images)


def test_a_pool_remembers_its_places() -> None:
    pool, again = Pool(12), Pool(12)
    pool(torch.arange(12.0).view(-1, 1, 1, 1), torch.Generator())
    again.recall(dict(reversed(pool.tensors().items())))
    assert [float(image) for image in again.images] == list(range(12))


def test_augmentation_turns_and_scales_about_the_middle() -> None:
    y, x = torch.meshgrid(torch.arange(80.0), torch.arange(48.0), indexing="ij")

    def blob(row: float, column: float) -> Tensor:
        return (2 * torch.exp(-((y - row).square() + (x - column).square()) / 18) - 1)[None, None]

    def place(image: Tensor) -> tuple[float, float]:
        mass = (image[0, 0] + 1).double()
        return float((mass * y).sum() / mass.sum()), float((mass * x).sum() / mass.sum())

    middle = (39.5, 23.5)
    turned = Augmentation(10.0, (1.0, 1.0), (1.0, 1.0))
    for seed in range(4):
        angle = math.radians(10) * (2 * float(torch.rand(1, 4, generator=torch.Generator().manual_seed(seed))[0, 0]) - 1)
        row, column = place(turned(blob(59.5, 23.5), torch.Generator().manual_seed(seed)))
        assert math.hypot(row - middle[0], column - middle[1]) == pytest.approx(20, abs=0.1), "lengths stay, in an image that is no square"
        assert abs(math.atan2(column - middle[1], row - middle[0])) == pytest.approx(abs(angle), abs=0.01)
    larger = Augmentation(0.0, (1.2, 1.2), (1.0, 1.0))(blob(49.5, 33.5), torch.Generator())
    assert place(larger) == (pytest.approx(51.5, abs=0.1), pytest.approx(35.5, abs=0.1))


def test_contrast_leaves_air_alone_and_the_range_is_kept() -> None:
    image = batch().image
    for seed in range(4):
        brighter = Augmentation(0.0, (1.0, 1.0), (0.5, 2.0))(image, torch.Generator().manual_seed(seed))
        torch.testing.assert_close(brighter[image == -1], image[image == -1])
        gains = torch.rand(4, 4, generator=torch.Generator().manual_seed(seed))[:, 3] * 1.5 + 0.5
        torch.testing.assert_close(brighter, ((image + 1) * gains.view(-1, 1, 1, 1) - 1).clamp(-1, 1))
    assert float(Augmentation()(image, torch.Generator()).abs().max()) <= 1
    assert torch.equal(NOTHING(image, torch.Generator()), image)


# Steps


def lesson(joint: bool = False, **options: Any) -> Lesson:
    networks: dict[str, nn.Module] = {name: TINY.build(place) for place, name in enumerate(MADE)}
    networks |= {kind: JUDGE.build(5 + place) for place, kind in enumerate((CANCEROUS, HEALTHY))}
    kinds = Kinds.of(MammogramData(), "train", CPU)
    settings = {"batch": 1, "cycle": 10.0, "identity": 0.0, "validate": 2, "bfloat16": False, "seed": 7, **options}
    return Lesson(networks, {kind: Pool(3) for kind in networks if kind not in MADE}, kinds, kinds, NOTHING, joint, **settings)


def test_terms_are_those_of_the_paper() -> None:
    found = lesson(identity=0.5)
    turns = found.turns(0)
    first = next(turns)
    healthy, cancerous = (found.training.load(kind, [shuffled(2, 1, derive(7, kind), 0)[0][0]]) for kind in (HEALTHY, CANCEROUS))
    inject, remove, judge = (found.networks[name] for name in (INJECT, REMOVE, CANCEROUS))
    assert first.networks == (INJECT,)
    wanted = {
        "healthy cycle": 10 * l1_loss(remove(inject(healthy)), healthy),
        "cancerous cycle": 10 * l1_loss(inject(remove(cancerous)), cancerous),
        "inject adversarial": (judge(inject(healthy)) - 1).square().mean(),
        "inject identity": 5 * l1_loss(inject(cancerous), cancerous),
    }
    assert first.terms.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(first.terms[name], value)
    made = inject(healthy).detach()
    with torch.no_grad():
        inject.decoder[-1].bias.add_(0.3)
    second = next(turns)
    assert second.networks == (CANCEROUS,)
    half = ((judge(cancerous) - 1).square().mean() + judge(made).square().mean()) / 2
    torch.testing.assert_close(second.terms[CANCEROUS], half, msg="the discriminator is shown what was made before the generator's update")


@pytest.mark.parametrize(
    ("joint", "order"), [(False, [(INJECT,), (CANCEROUS,), (REMOVE,), (HEALTHY,)]), (True, [(INJECT, REMOVE), (CANCEROUS,), (HEALTHY,)])]
)
def test_networks_take_turns_in_the_published_order_and_gradients_reach_no_other(joint: bool, order: list[tuple[str, ...]]) -> None:
    found = lesson(joint)
    seen = []
    for turn in found.turns(0):
        seen.append(turn.networks)
        for network in found.networks.values():
            network.zero_grad(set_to_none=True)
        torch.stack(list(turn.terms.values())).sum().backward()
        moved = {name for name, network in found.networks.items() if any(one.grad is not None and one.grad.any() for one in network.parameters())}
        assert moved == set(turn.networks)
        assert (len(turn.terms) == 1) == (turn.networks[0] not in MADE)
        if turn.networks[0] in MADE:
            assert {"healthy cycle", "cancerous cycle"} < turn.terms.keys(), "both ways there and back, whichever generator is updated"
    assert seen == order


def test_the_removing_generator_is_updated_on_what_the_injecting_one_became() -> None:
    found = lesson()
    kept: dict[str, Tensor] = {}
    for turn in found.turns(0):
        if turn.networks == (INJECT,):
            kept = dict(turn.terms)
            with torch.no_grad():
                found.networks[INJECT].decoder[-1].bias.add_(0.5)
        if turn.networks == (REMOVE,):
            assert float((turn.terms["healthy cycle"] - kept["healthy cycle"]).detach().abs()) > 0.1


class Uneven:
    """Three healthy images to a cancerous one; nothing is paired."""

    task = "classification"
    digest = label = "uneven"

    def cases(self, split: str) -> list[Case]:
        return [Case(f"{split}{row}", str(row), str(row)) for row in range(8)]

    def load(self, cases: Any) -> Batch:
        rows = torch.tensor([int(case.case[-1]) for case in cases])
        image = (rows / 8).view(-1, 1, 1, 1).expand(-1, 1, 32, 32).contiguous()
        return Batch(image, (rows % 4 == 0).long(), tuple(cases))


def test_an_epoch_has_as_many_images_as_the_rarer_kind_and_reaches_all_of_the_commoner_in_time() -> None:
    kinds = Kinds.of(Uneven(), "train", CPU)  # type: ignore[arg-type]
    assert {kind: len(cases) for kind, cases in kinds.cases.items()} == {HEALTHY: 6, CANCEROUS: 2}
    found = replace(lesson(), training=kinds)
    drawn = {kind: [round(8 * float(found._draw(kind, step).mean())) for step in range(40)] for kind in kinds.cases}
    assert all(sorted(drawn[CANCEROUS][start : start + 2]) == [0, 4] for start in range(0, 40, 2))
    assert all(len(set(drawn[HEALTHY][start : start + 2])) == 2 for start in range(0, 40, 2))
    assert set(drawn[HEALTHY]) == {1, 2, 3, 5, 6, 7}
    pairs = set(zip(drawn[HEALTHY], drawn[CANCEROUS], strict=True))
    assert len(pairs) > 8, "either kind is shuffled by itself"


def test_a_split_without_one_of_the_kinds_is_one_line() -> None:
    data = MammogramData()
    healthy = type("Healthy", (), {"cases": lambda self, split: data.cases(split)[::2], "load": lambda self, cases: data.load(cases)})()
    with pytest.raises(ValueError, match=r"^training: found no cancerous case in split 'train', expected at least one$"):
        Kinds.of(healthy, "train", CPU)


# Training


def test_rates_are_constant_and_then_fall_in_a_straight_line() -> None:
    settings = replace(SMALL, steps=10, constant=6, learning_rate=1.0, discriminator_rate=0.5, checkpoints=())
    assert [settings.rate(INJECT, step) for step in range(10)] == pytest.approx([1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25])
    assert settings.rate(HEALTHY, 9) == pytest.approx(0.125)
    assert replace(settings, constant=10).rate(INJECT, 9) == 1


def test_weights_are_those_of_a_plain_loop(tmp_path: Path) -> None:
    settings = replace(SMALL, augmentation=NOTHING, steps=3, constant=1, checkpoints=(2,))
    found = fit(tmp_path, settings, seed=7)
    lessons = lesson()
    networks = {name: settings.generator.build(derive(7, "cyclegan", name)) for name in MADE}
    networks |= {kind: settings.discriminator.build(derive(7, "cyclegan", kind)) for kind in (HEALTHY, CANCEROUS)}
    pools = {kind: Pool(2) for kind in (HEALTHY, CANCEROUS)}
    lessons = replace(lessons, networks=networks, pools=pools)
    optimisers = {name: torch.optim.Adam(network.parameters(), lr=1e-3, betas=BETAS) for name, network in networks.items()}
    for name in (HEALTHY, CANCEROUS):
        optimisers[name].param_groups[0]["lr"] = 2e-4
    for step in range(3):
        if step == 2:
            for optimiser in optimisers.values():
                optimiser.param_groups[0]["lr"] /= 2
            kept = {name: tensor.clone() for name, tensor in networks[REMOVE].state_dict().items()}
        for turn in lessons.turns(step):
            optimiser = optimisers[turn.networks[0]]
            optimiser.zero_grad()
            torch.stack(list(turn.terms.values())).sum().backward()
            optimiser.step()
    assert equal(part(found, "step-000003.inject."), dict(networks[INJECT].state_dict()))
    assert equal(part(found, "step-000002.remove."), kept)
    assert {name.split(".")[0] for name in found} == {"step-000002", "step-000003"}


@pytest.mark.parametrize(
    "options", [{}, {"updates": "joint"}, {"generator": replace(TINY, spectral_norm=True), "discriminator": replace(JUDGE, spectral_norm=True)}]
)
def test_training_goes_on_from_its_checkpoint_to_the_last_bit(tmp_path: Path, options: dict[str, Any]) -> None:
    settings = replace(SMALL, **options)

    def stop(step: int, steps: int, loss: float) -> None:
        if step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, settings, report=stop)
    assert (tmp_path / CHECKPOINT).is_file()
    steps: list[int] = []
    after = fit(tmp_path, settings, report=lambda step, *_: steps.append(step))
    assert steps == [5, 6]
    assert equal(after, trained(settings))
    with TemporaryDirectory() as other:
        fit(Path(other), settings)
        assert (tmp_path / HISTORY).read_text() == (Path(other) / HISTORY).read_text()


def test_pools_come_back_with_the_checkpoint(tmp_path: Path) -> None:
    settings = replace(SMALL, pool=1, steps=10, constant=10, interval=8, checkpoints=())

    def stop(step: int, steps: int, loss: float) -> None:
        if step == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, settings, report=stop)
    assert equal(fit(tmp_path, settings), trained(settings))
    without = replace(settings, pool=0)
    assert not equal(trained(without), trained(settings)), "or the pool would not have mattered"


def test_a_training_that_diverges_stops_with_one_line_that_names_the_last_checkpoint(tmp_path: Path) -> None:
    wild = replace(SMALL, discriminator_rate=1e30, pool=0, interval=1)
    with pytest.raises(CellError, match=r"^training diverged: found \w+ (loss|slope) \S+ at step \d, expected .*; lower learning_rate, now "):
        fit(tmp_path / "wild", wild)
    impatient, first = replace(SMALL, explode=1e-3), r"^training diverged: found inject loss \S+ at step 1, expected less than 0.001 either way; "
    with pytest.raises(CellError, match=first + r"there is no checkpoint yet; lower learning_rate, now 0.001$"):
        fit(tmp_path / "early", impatient)
    assert not (tmp_path / "early" / CHECKPOINT).exists()

    def stop(step: int, steps: int, loss: float) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "late", report=stop)
    with pytest.raises(CellError, match=r"at step 5, expected .*; the last checkpoint is of step 4 in checkpoint.safetensors; lower "):
        fit(tmp_path / "late", impatient)


def test_training_keeps_the_promises_of_trained_plugins() -> None:
    plugin = CycleGAN(training=SMALL)
    bench = Bench.suited(plugin)
    assert [check(plugin, bench) for check in (trains_by_its_seed, resumes, trains_beside_the_target, has_a_recipe)] == [""] * 4


def test_bfloat16_trains_to_other_weights_that_are_close() -> None:
    half = trained(replace(SMALL, bfloat16=True))
    assert not equal(half, trained())
    for name, tensor in trained().items():
        assert float((half[name] - tensor).abs().max()) < 0.02


# Identity


def test_one_training_serves_all_directions_steps_and_targets() -> None:
    plugins = [CycleGAN(training=SMALL), CycleGAN("inject", 3, SMALL), CycleGAN("remove", training=replace(SMALL, interval=1, validate=1))]
    other = ClassificationTarget(MassReader().eval(), digest="ba9876543210")
    assert len({identity(plugin, one, "data", 0) for plugin in plugins for one in (target(), other)}) == 1
    others = [SMALL, replace(SMALL, checkpoints=(2,)), replace(SMALL, bfloat16=True), replace(SMALL, generator=replace(TINY, bound="clip"))]
    assert len({identity(CycleGAN(training=one), target(), "data", 0) for one in others}) == 4
    assert len({identity(plugins[0], target(), data, one) for data in ("data", "other") for one in (0, 1)}) == 4
    assert CycleGAN(training=replace(SMALL, checkpoints=(3, 6))).recipe == plugins[0].recipe, "the last step is kept anyhow"


# The attack


def test_healthy_images_are_injected_into_and_lesions_removed_by_the_truth() -> None:
    whole, injected, removed = (run(CycleGAN(direction, training=SMALL, weights=trained())).image for direction in ("tamper", "inject", "remove"))
    assert torch.equal(whole[[0, 2]], injected[[0, 2]])
    assert torch.equal(whole[[1, 3]], removed[[1, 3]])
    assert float((injected - removed).abs().amin((1, 2, 3)).max()) < float((injected - removed).abs().max())
    for does, made in ((INJECT, injected), (REMOVE, removed)):
        network = TINY.build(0)
        network.load_state_dict(part(trained(), f"{called(6)}.{does}."))
        torch.testing.assert_close(made, network(batch().image).detach())


def test_the_generators_of_a_kept_step_can_be_used() -> None:
    first, last, named = (run(CycleGAN("inject", step, SMALL, trained())).image for step in (3, None, 6))
    assert torch.equal(last, named)
    assert not torch.equal(first, last)


@pytest.mark.parametrize("rows", [[0], [3, 1, 0], [2, 2], [0, 1, 2, 3]])
def test_results_are_equal_to_the_last_bit_for_any_batch(rows: list[int]) -> None:
    plugin = CycleGAN(training=SMALL, weights=trained())
    assert torch.equal(run(plugin, batch().select(rows)).image, run(plugin).image[rows])


def test_nothing_but_the_image_is_changed_and_it_stays_in_range() -> None:
    attacked = run(CycleGAN(training=SMALL, weights=trained()))
    assert attacked.truth is None
    assert attacked.field is None
    assert attacked.image.shape == batch().image.shape
    assert float(attacked.image.abs().max()) <= 1


def test_weights_that_are_missing_or_do_not_fit_are_one_line() -> None:
    with pytest.raises(ValueError, match=r"^cyclegan: found no weights, expected those that `fit` gives$"):
        run(CycleGAN(training=SMALL))
    with pytest.raises(WeightsError, match=r"^step-000006.inject: 'encoder.0.weight' is"):
        run(CycleGAN(training=replace(SMALL, generator=replace(TINY, channels=3)), weights=trained()))


@pytest.mark.parametrize(("name", "published"), [("mammo-experiment-1", EXPERIMENT_1), ("mammo-experiment-2", EXPERIMENT_2)])
def test_the_specs_of_the_published_experiments_have_their_settings(name: str, published: CycleTraining) -> None:
    (condition,) = resolve(name).conditions
    trainings = [attack.plugin.training for attack in condition.attacks if isinstance(attack.plugin, CycleGAN)]
    assert len(trainings) >= 3
    for training in trainings:
        assert replace(training, checkpoints=published.checkpoints) == published
        assert set(training.kept) == {attack.plugin.step for attack in condition.attacks if isinstance(attack.plugin, CycleGAN)}
