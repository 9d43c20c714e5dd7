"""Zoo models load as they were saved, or not at all, with one line that says why."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import nn

from medrobust.errors import MedrobustError, SpecError, WeightsError
from medrobust.targets import zoo
from medrobust.targets.unet import UNet
from medrobust.training.recipe import recipe

OPTIONS = {"channels": 4, "pools": 2}
FIELDS = {"task": "reconstruction", "architecture": "unet", "options": OPTIONS, "target": "recon-toy", "figures": {"nmse@4x": 0.5, "psnr@4x": 30}}


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return UNet(channels=4, pools=2).build()


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo package of a distribution of its own, holding the model `toy`."""
    package = tmp_path / f"toyzoo_{tmp_path.name.replace('-', '_')}"
    package.mkdir()
    (package / "__init__.py").touch()
    install(tmp_path, "toyzoo", f"[medrobust.zoo]\ntoy = {package.name}\n")
    monkeypatch.syspath_prepend(tmp_path)
    zoo.save(package / "toy", FIELDS, network())
    return package


def install(folder: Path, name: str, entry_points: str) -> None:
    information = folder / f"{name}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(entry_points)


def edit(shelf: Path, **fields: object) -> None:
    path = shelf / "toy" / "card.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **fields}))


def error(kind: type[MedrobustError] = WeightsError) -> str:
    with pytest.raises(kind) as caught:
        zoo.load("toy")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_model_loads_as_it_was_saved(shelf: Path) -> None:
    target = zoo.load("toy")
    assert "toy" in zoo.names()
    assert zoo.card("toy").target == "recon-toy"
    assert zoo.card("toy").digest == target.digest
    loaded = target.network  # type: ignore[attr-defined]
    assert not loaded.training
    for (name, found), saved in zip(loaded.named_parameters(), network().parameters(), strict=True):
        assert found.dtype == torch.float32, name
        assert not found.requires_grad, name
        assert torch.equal(found, saved.half().float()), name
    stored = load_file(shelf / "toy" / "weights.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}


def test_full_precision_is_kept_where_it_is_asked_for(shelf: Path) -> None:
    zoo.save(shelf / "toy", FIELDS, network(), half=False)
    for found, saved in zip(zoo.load("toy").network.parameters(), network().parameters(), strict=True):  # type: ignore[attr-defined]
        assert torch.equal(found, saved)


def test_saving_what_was_loaded_changes_nothing(shelf: Path) -> None:
    before = zoo.card("toy")
    assert zoo.save(shelf / "toy", FIELDS, zoo.load("toy").network) == before  # type: ignore[attr-defined]


def test_digest_tells_architectures_options_and_weights_apart(shelf: Path) -> None:
    state = zoo.load("toy").network.state_dict()  # type: ignore[attr-defined]
    digest = zoo.digest("unet", OPTIONS, state)
    assert digest == zoo.card("toy").digest
    assert digest == zoo.digest("unet", {"dropout": 0.0, "pools": 2, "channels": 4}, dict(reversed(state.items())))
    others = [
        zoo.digest("unet", {**OPTIONS, "dropout": 0.1}, state),
        zoo.digest("varnet", {}, state),
        zoo.digest("unet", OPTIONS, {name: tensor + 1e-6 for name, tensor in state.items()}),
        zoo.digest("unet", OPTIONS, {f"{name}.": tensor for name, tensor in state.items()}),
    ]
    assert len({digest, *others}) == 5


def test_fields_that_change_no_number_are_no_part_of_the_digest() -> None:
    small = {"hidden": [8], "patch": [2], "steps": 1}
    assert zoo.untrained("irim", small).digest == zoo.untrained("irim", {**small, "memory_free": False}).digest
    assert zoo.untrained("irim", small).digest != zoo.untrained("irim", {**small, "residual": False}).digest


def test_changed_weights_are_refused(shelf: Path) -> None:
    path = shelf / "toy" / "weights.safetensors"
    state = load_file(path)
    state["head.2.bias"] += 0.01
    save_file(state, path)
    assert f"expected {zoo.card('toy').digest}" in error()


def test_missing_weights_are_one_line(shelf: Path) -> None:
    (shelf / "toy" / "weights.safetensors").unlink()
    assert "no such file" in error()


@pytest.mark.parametrize("size", [0, 7, 100, -1])
def test_truncated_weights_are_one_line(shelf: Path, size: int) -> None:
    path = shelf / "toy" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    assert "expected a whole safetensors file" in error()


def test_weights_that_are_no_safetensors_are_one_line(shelf: Path) -> None:
    (shelf / "toy" / "weights.safetensors").write_bytes(b"\x80\x04 a pickle, perhaps" * 10)
    assert "expected a whole safetensors file" in error()


def test_weights_with_nan_are_refused(shelf: Path) -> None:
    path = shelf / "toy" / "weights.safetensors"
    state = load_file(path)
    state["head.2.bias"] *= float("nan")
    save_file(state, path)
    assert "'head.2.bias' holds NaN or infinity" in error()


def test_values_that_half_precision_cannot_hold_are_refused(tmp_path: Path) -> None:
    module = network()
    with torch.no_grad():
        next(module.parameters()).fill_(1e6)
    with pytest.raises(WeightsError, match="holds NaN or infinity as float16"):
        zoo.save(tmp_path / "toy", FIELDS, module)
    assert not (tmp_path / "toy" / "weights.safetensors").exists()
    zoo.save(tmp_path / "toy", FIELDS, module, half=False)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"options": {"channels": 8, "pools": 2}}, "expected (8, 1, 3, 3); are the options those of the training?"),
        ({"options": {"channels": 4, "pools": 3}}, "no tensor 'down.2.0.weight'"),
        ({"options": {"chanels": 4}}, "no field 'chanels'; did you mean channels?"),
        ({"architecture": "unett"}, "no 'unett'; did you mean unet"),
        ({"digets": "0"}, "digets: Extra inputs are not permitted"),
        ({"digest": "xyz"}, "digest: String should match pattern"),
        ({"target": 3}, "target: Input should be a valid string, found 3"),
        ({"task": "classification"}, "task 'classification', but unet is for 'reconstruction'"),
        ({"name": "other"}, "name: found 'other', expected the folder's, 'toy'"),
    ],
)
def test_cards_that_cannot_be_right_are_one_line(shelf: Path, fields: dict[str, object], message: str) -> None:
    edit(shelf, **fields)
    assert message in error(MedrobustError)


def test_a_card_that_is_not_yaml_is_one_line(shelf: Path) -> None:
    (shelf / "toy" / "card.yaml").write_text("name: [")
    assert "expected YAML" in error()


def test_an_unknown_model_has_near_names(shelf: Path) -> None:
    with pytest.raises(SpecError, match="zoo: no 'tooy'; did you mean toy"):
        zoo.load("tooy")


@pytest.mark.usefixtures("shelf")
def test_a_broken_zoo_package_hides_no_other(tmp_path: Path) -> None:
    install(tmp_path, "broken", "[medrobust.zoo]\nabroken = no_such_package\n")
    assert "toy" in zoo.names()
    assert zoo.load("toy").task == "reconstruction"
    assert "mammo-resnet-mias" in zoo.recipes()
    assert recipe("mammo-resnet-mias").target == "mammo-resnet-mias"
    with pytest.raises(SpecError, match=r"no 'zzz'.*'abroken' of broken cannot be imported"):
        zoo.load("zzz")


def test_an_architecture_takes_weights_from_a_file(shelf: Path) -> None:
    target = zoo.untrained("unet", OPTIONS, shelf / "toy" / "weights.safetensors")
    assert target.digest == zoo.card("toy").digest
    with pytest.raises(WeightsError, match=r"none\.safetensors: No such file"):
        zoo.untrained("unet", OPTIONS, shelf / "none.safetensors")


def test_weights_that_a_recipe_makes_are_asked_for_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"weights\.safetensors: no such file; `medrobust train mammo-resnet-mias` makes it$"):
        zoo.untrained("unet", OPTIONS, tmp_path / "models" / "mammo-resnet-mias" / "weights.safetensors")


def test_an_architecture_without_weights_is_the_same_at_every_call() -> None:
    state = torch.random.get_rng_state()
    first = zoo.untrained("unet", OPTIONS)
    torch.rand(3)
    assert zoo.untrained("unet", OPTIONS).digest == first.digest
    assert zoo.untrained("zero-filled", {}).digest != zoo.untrained("l1-wavelet", {}).digest
    torch.random.set_rng_state(state)
    again = torch.rand(1)
    torch.random.set_rng_state(state)
    zoo.untrained("unet", OPTIONS)
    assert torch.equal(torch.rand(1), again)


def test_names_and_cards_need_no_torch(shelf: Path) -> None:
    code = "import sys; from medrobust.targets import zoo; assert 'toy' in zoo.names(); zoo.card('toy'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(shelf.parent)})
