"""MedMNIST files: what is read of them, what of them is refused in one line, and the shipped reader of a real one."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from medrobust import registry
from medrobust.data import medmnist_file
from medrobust.data.cache import content_digests
from medrobust.data.medmnist import MedMNIST
from medrobust.errors import DataError
from medrobust.targets import zoo
from medrobust.targets.image_classifiers import ResNet2D
from medrobust.targets.resnet import ResNet
from medrobust.training.recipe import recipe
from medrobust.types import Case

REAL = Path(os.environ.get("MEDROBUST_EXAMPLE_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "extras" / "pneumoniamnist.npz"
SIZES = {"train": 12, "val": 4, "test": 6}
SHAPES = {"grey": (28, 28), "colour": (28, 28, 3), "volume": (28, 28, 28), "large": (64, 64), "cube of three": (3, 3, 3)}
LOADED = {"grey": (1, 28, 28), "colour": (3, 28, 28), "volume": (1, 28, 28, 28), "large": (1, 64, 64), "cube of three": (1, 3, 3, 3)}
Arrays = dict[str, np.ndarray]
Change = Callable[[Arrays], object]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))


def arrays(shape: tuple[int, ...] = (8, 6), classes: int = 2) -> Arrays:
    """Random pixels, one class after the other, as the subset in use has them."""
    random = np.random.default_rng(0)
    found = {}
    for split, count in SIZES.items():
        found[f"{split}_images"] = random.integers(0, 256, (count, *shape), dtype=np.uint8)
        found[f"{split}_labels"] = np.sort(np.arange(count) % classes)[:, None].astype(np.uint8)
    return found


def written(path: Path, content: Arrays, *, compressed: bool = True) -> MedMNIST:
    (np.savez_compressed if compressed else np.savez)(path, **content)
    return MedMNIST(str(path))


@pytest.mark.parametrize("kind", list(SHAPES))
@pytest.mark.parametrize("compressed", [True, False])
def test_images_are_grey_values_by_255_and_channels_come_first(tmp_path: Path, kind: str, compressed: bool) -> None:
    content, loaded = arrays(SHAPES[kind]), LOADED[kind]
    data = written(tmp_path / "set.npz", content, compressed=compressed)
    for split, count in SIZES.items():
        cases = data.cases(split)
        assert len(cases) == count
        batch = data.load(cases)
        assert batch.image.shape == (count, *loaded)
        assert batch.image.dtype == torch.float32
        assert batch.truth.dtype == torch.int64
        for case, image, truth in zip(cases, batch.image, batch.truth, strict=True):
            row = int(case.case.partition("#")[2])
            stored = content[f"{split}_images"][row]
            expected = np.moveaxis(stored, -1, 0) if loaded[0] == 3 else stored[None]
            assert np.array_equal((image * 255).round().to(torch.uint8).numpy(), expected)
            assert int(truth) == content[f"{split}_labels"][row, 0]


def test_every_image_is_a_patient_of_its_own_and_no_split_shares_one(tmp_path: Path) -> None:
    data = written(tmp_path / "set.npz", arrays())
    cases = [case for split in SIZES for case in data.cases(split)]
    assert len({case.patient for case in cases}) == len(cases) == sum(SIZES.values())
    assert all(case.case == case.patient == case.group for case in cases)
    assert "each image a patient of its own" in data.label
    assert data.patients_of("val") == [case.patient for case in data.cases("val")]


def test_the_first_images_are_of_every_class_though_the_file_is_sorted(tmp_path: Path) -> None:
    data = written(tmp_path / "set.npz", arrays(classes=3))
    assert set(data.load(data.cases("train")[:8]).truth.tolist()) == {0, 1, 2}
    assert data.classes == 3


def test_the_digest_is_of_the_content_and_neither_of_its_place_nor_of_its_title(tmp_path: Path) -> None:
    one, again = written(tmp_path / "a.npz", arrays()), written(tmp_path / "b.npz", arrays())
    other = arrays()
    other["test_images"][0, 0, 0] ^= 1
    assert one.digest == again.digest == MedMNIST(again.file, title="named").digest != written(tmp_path / "c.npz", other).digest
    assert (one.label.split(",")[0], MedMNIST(one.file, title="named").label.split(",")[0]) == ("a", "named")


def test_only_the_images_that_are_asked_for_are_read_and_only_their_split_is_unpacked(tmp_path: Path) -> None:
    data = written(tmp_path / "set.npz", arrays())
    data.load(data.cases("test")[:1])
    assert [path.name for path in (tmp_path / "cache" / "medmnist").rglob("*.npy")] == ["test_images.npy"]
    assert isinstance(medmnist_file.images_of(tmp_path / "set.npz", "test"), np.memmap)


def test_what_was_unpacked_in_part_is_unpacked_again(tmp_path: Path) -> None:
    data = written(tmp_path / "set.npz", arrays())
    whole = data.load(data.cases("test")).image
    (unpacked,) = (tmp_path / "cache" / "medmnist").rglob("*.npy")
    unpacked.write_bytes(unpacked.read_bytes()[:-7])
    assert torch.equal(data.load(data.cases("test")).image, whole)


def test_a_file_that_was_replaced_gives_its_own_pixels(tmp_path: Path) -> None:
    written(tmp_path / "set.npz", arrays()).load([Case("test#000000", "", "")])
    other = {name: 255 - content if name.endswith("images") else content for name, content in arrays().items()}
    data = written(tmp_path / "set.npz", other)
    assert np.array_equal((data.load([Case("test#000002", "", "")]).image[0, 0] * 255).round().numpy(), other["test_images"][2])


def test_the_data_set_survives_pickle_without_its_pixels(tmp_path: Path) -> None:
    data = written(tmp_path / "set.npz", arrays((64, 64)))
    data.load(data.cases("train"))
    assert len(pickle.dumps(data)) < 4000
    assert pickle.loads(pickle.dumps(data)) == data  # noqa: S301 - our own


def without(name: str) -> Change:
    return lambda content: content.pop(name)


def put(name: str, value: Callable[[np.ndarray], np.ndarray]) -> Change:
    return lambda content: content.update({name: value(content[name])})


BAD: list[tuple[Change, str]] = [
    (without("val_images"), "found no array 'val_images' among test_images, .*, expected images and labels of train, val, test"),
    (put("test_images", lambda a: a.astype(np.float32)), "test_images: found float32, expected uint8"),
    (put("test_images", lambda a: a.reshape(6, -1)), r"test_images: found the shape \(6, 48\), expected \(n, h, w\)"),
    (put("test_images", lambda a: a[..., None, None]), r"test_images: found the shape \(6, 8, 6, 1, 1\), expected"),
    (put("val_images", lambda a: a[:, :7]), r"val_images: found images of \(7, 6\), expected \(8, 6\) as in train_images"),
    (put("val_images", lambda a: a[:3]), "val_labels: found 4 labels, expected one for each of 3 images"),
    (put("val_labels", lambda a: np.repeat(a, 14, 1)), "val_labels: found 14 labels an image, expected one: multi-label sets such as ChestMNIST"),
    (put("train_labels", lambda a: a.astype(np.float64)), "train_labels: found float64, expected whole numbers"),
    (put("train_labels", lambda a: a.astype(object)), "train_labels: found pickled Python objects, expected numbers; nothing is unpickled"),
    (put("train_labels", lambda a: a[:, :, None]), r"train_labels: found the shape \(12, 1, 1\), expected \(n, 1\) or \(n,\)"),
    (put("train_labels", lambda a: a[:, :0]), r"train_labels: found the shape \(12, 0\), expected \(n, 1\) or \(n,\)"),
    (put("test_labels", lambda a: a + 5), "test_labels: found the class 5, expected one of the training split's, 0 to 1"),
    (put("train_labels", lambda a: a.astype(np.int8) - 1), "train_labels: found the classes -1, 0, expected 0, 1, ... without a gap"),
    (put("train_labels", lambda a: a * 2), "train_labels: found the classes 0, 2, expected 0, 1, ... without a gap"),
    (put("train_labels", lambda a: a * 0), "train_labels: found the classes 0, expected 0, 1, ... without a gap, at least two"),
]


@pytest.mark.parametrize(("change", "line"), BAD, ids=[line[:44] for _, line in BAD])
def test_what_is_not_as_published_is_refused_in_one_line(tmp_path: Path, change: Change, line: str) -> None:
    content = arrays()
    change(content)
    data = written(tmp_path / "set.npz", content)
    with pytest.raises(DataError, match=line) as error:
        (data.digest, data.label, data.cases("test"))
    assert str(error.value).startswith(str(tmp_path / "set.npz"))
    assert "\n" not in str(error.value)


class Trap:
    """Leaves a trace where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (Path.touch, (Path("unpickled"),))  # type: ignore[return-value]


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = arrays()
    content["val_images"] = np.array([Trap()] * 4, dtype=object)
    data = written(tmp_path / "set.npz", content)
    with pytest.raises(DataError, match="val_images: found pickled Python objects"):
        data.cases("test")
    assert not Path("unpickled").exists()


def test_a_file_that_is_none_or_no_archive_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found no such file, expected an npz file of MedMNIST"):
        MedMNIST(str(tmp_path / "none.npz")).cases("test")
    for name, content in {"text": b"not an archive", "empty": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name}: found no npz archive that can be read"):
            _ = MedMNIST(str(tmp_path / name)).digest


def test_an_array_that_is_no_array_or_damaged_is_one_line(tmp_path: Path) -> None:
    content = arrays((40, 40))
    for name in ("header", "pixels"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for key, values in content.items():
                stream = io.BytesIO()
                np.save(stream, values)
                archive.writestr(f"{key}.npy", b"nonsense" if name == "header" and key == "val_labels" else stream.getvalue())
    with pytest.raises(DataError, match="val_labels: found an array that cannot be read"):
        MedMNIST(str(tmp_path / "header")).cases("test")
    whole = (tmp_path / "pixels").read_bytes()
    middle = whole.index(b"test_images.npy") + 2000
    (tmp_path / "pixels").write_bytes(whole[:middle] + b"damaged!" + whole[middle + 8 :])
    data = MedMNIST(str(tmp_path / "pixels"))
    with pytest.raises(DataError, match="test_images: found an array that cannot be read"):
        data.load(data.cases("test"))
    assert not list((tmp_path / "cache" / "medmnist").rglob("*.npy"))


def test_an_unknown_split_or_image_and_an_empty_split_are_one_line(tmp_path: Path) -> None:
    content = arrays()
    content |= {"test_images": content["test_images"][:0], "test_labels": content["test_labels"][:0]}
    data = written(tmp_path / "set.npz", content)
    with pytest.raises(DataError, match="found no split 'TEST', expected one of train, val, test"):
        data.cases("TEST")
    with pytest.raises(DataError, match="test: found no image, expected some"):
        data.cases("test")
    for name in ("val#000004", "test", "all#000000", "val#-1"):
        with pytest.raises(DataError, match=f"found no image '{name}', expected one such as test#000000"):
            data.load([Case(name, name, name)])


def test_colours_and_volumes_have_a_classifier(tmp_path: Path) -> None:
    colours, volumes = (written(tmp_path / f"{name}.npz", arrays(SHAPES[name], 4)) for name in ("colour", "volume"))
    flat = ResNet2D(10, (4, 4, 8, 8), stem=3, classes=4, channels=3).build().eval()
    deep = ResNet(10, (4, 4, 8, 8), stem=3, channels=1, classes=4).build().eval()
    assert flat(colours.load(colours.cases("val")).image).shape == deep(volumes.load(volumes.cases("val")).image).shape == (4, 4)


def test_the_number_of_channels_is_told_by_the_weights_and_changes_no_shipped_digest() -> None:
    options = {"depth": 10, "widths": [4, 4, 8, 8]}
    grey, said, colour = (zoo.untrained("resnet-2d", {**options, **more}).digest for more in ({}, {"channels": 1}, {"channels": 3}))
    assert grey == said != colour


def test_the_loader_is_registered_and_the_file_is_all_that_it_needs(tmp_path: Path) -> None:
    assert registry.build("data", "medmnist", {"file": written(tmp_path / "set.npz", arrays()).file}, "data").cases("val")


def real() -> MedMNIST:
    if not REAL.exists():
        pytest.skip(f"needs the subset of PneumoniaMNIST in {REAL}")
    return MedMNIST(str(REAL), title="a subset of PneumoniaMNIST")


def test_the_real_subset_is_read() -> None:
    data = real()
    assert [len(data.cases(split)) for split in SIZES] == [2428, 270, 468]
    batch = data.load(data.cases("test")[:64])
    assert batch.image.shape == (64, 1, 28, 28)
    assert 0 <= float(batch.image.min()) < 0.1 < 0.8 < float(batch.image.max()) <= 1
    assert 20 < int(batch.truth.sum()) < 44


@pytest.mark.parametrize("name", ["pneumonia-resnet", "pneumonia-resnet-madry"])
def test_the_shipped_reader_reads_the_real_test_split_as_its_card_says(name: str) -> None:
    data, card = real(), zoo.card(name)
    assert card.training["data_digest"] == data.digest == content_digests([REAL])[REAL][:12]
    batch = data.load(data.cases("test"))
    with torch.inference_mode():
        right = (zoo.load(name)(batch.image, batch)[:, 0] > 0.5) == batch.truth.bool()
    assert float(right.double().mean()) == pytest.approx(card.figures["accuracy@test"], abs=0.005)


@pytest.mark.parametrize("name", ["pneumonia-resnet", "pneumonia-resnet-madry"])
def test_the_card_is_of_the_recipe_and_names_source_and_licence(name: str) -> None:
    card, made = zoo.card(name), recipe(name)
    assert (card.options, card.defense, card.training["start"]) == (made.options, made.defense, made.start)
    assert card.training["objective"] == json.loads(made.objective.model_dump_json())
    schedule = vars(made.build_schedule())
    assert card.training["schedule"] == {field: schedule[field] for field in card.training["schedule"]}
    assert card.intensity == MedMNIST.intensity
    assert "CC BY 4.0" in card.training["note"]
    assert "doi:10.1038/s41597-022-01721-8" in card.training["note"]
