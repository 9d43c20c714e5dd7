"""The attacked images of a cell as HDF5: differences from the clean ones, exact, with a digest a case; or its relevance maps.

While a cell runs, each batch is a file of its own under artifacts/parts, so that a killed process tears nothing;
`collect` joins them, compressed and in memory, into artifacts/attacked.h5 or artifacts/relevance.h5.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from medrobust.digests import digest
from medrobust.errors import StoreError
from medrobust.files import store_errors
from medrobust.hdf5 import in_memory, write
from medrobust.imaging.slices import changed, grey, outlined, seen, shown, upright
from medrobust.metrics.classification import probabilities
from medrobust.provenance import CHANGED
from medrobust.types import Attacked, Batch, Case, Explained

NAME = "attacked.h5"
OUTLINES = "lesion"
"""Where a batch of 2-D images has outlines, its context has them under this name."""


def save_attacked(folder: Path, batch: Batch, attacked: Attacked, said: tuple[Tensor, Tensor] | None = None) -> None:
    """Keep a batch of a cell's folder: image (float64 difference, exact for float32), region, truth and field where given, context.

    said: the target's answers to the clean and to the attacked images; with them a picture of each case is kept, as one is of each image whose
    lesions are outlined.
    """
    arrays = [_attacked_arrays(batch, attacked, index) for index in range(len(batch))]
    pictures: Sequence[Mapping[str, Tensor]] = ()
    if said and labelled(batch):
        truth = batch.truth if attacked.truth is None else attacked.truth
        pictures = shown(batch.image, attacked.image, batch.truth, truth, attacked.field, *said)
    elif OUTLINES in batch.context:
        pictures = outlined(batch.image, attacked.image, batch.context[OUTLINES])
    elif said:
        pictures = answered(batch, attacked, *said)
    for each, one in zip(arrays, pictures, strict=False):
        each |= {f"picture/{name}": plane.numpy() for name, plane in one.items()}
    _save(folder, batch, arrays)


def labelled(batch: Batch) -> bool:
    """Whether the truth is a label a pixel, as in segmentation."""
    return batch.truth.ndim == 4 and batch.truth.dtype == torch.int64


def answers_shown(batch: Batch) -> bool:
    """Whether what a target says of the clean images is part of their pictures."""
    return OUTLINES not in batch.context


def answered(batch: Batch, attacked: Attacked, before: Tensor, after: Tensor) -> Sequence[Mapping[str, Tensor]]:
    """Pictures of classified or reconstructed images, see `imaging.slices.changed`, with what the target made of them; none of other tasks.

    Classified: `said` (2, k) float32, probabilities before and after; `class` (), the true one. Reconstructed: `answered` and `answer` (H, W) uint8,
    the reconstructions before and after on the grey scale of `image`. `harm` (): how much the truth's probability fell, or the error's root mean
    square grew.
    """
    if batch.truth.ndim == 1:
        found = changed(batch.image, attacked.image)
        chances = torch.stack([probabilities(before), probabilities(after)], 1).cpu()
        for one, said, truth in zip(found, chances, batch.truth.cpu().long(), strict=True):
            one |= {"said": said.float(), "class": truth, "harm": (said[0, truth] - said[1, truth]).float()}
        return found
    if not batch.truth.is_floating_point() or before.shape != batch.truth.shape or batch.image.shape != before.shape:
        return ()
    found = changed(batch.image, attacked.image)
    owed = batch.truth if attacked.truth is None else attacked.truth
    errors = [(answer.double() - truth.double()).flatten(1).square().mean(1).sqrt().cpu() for answer, truth in ((before, batch.truth), (after, owed))]
    for index, one in enumerate(found):
        channel = batch.image[index, int(one["view"][0])]
        for name, answer in (("answered", before), ("answer", after)):
            one[name] = seen(grey(answer[index], channel.min(), channel.max()), one["view"], int(one["stride"])).cpu()
        one["harm"] = (errors[1][index] - errors[0][index]).float()
    return found


def save_explained(folder: Path, batch: Batch, explained: Explained) -> None:
    """Keep a batch's relevance maps (float32) and regions (as small an integer as holds them), and one slice to show of each."""
    arrays = [{"relevance": one.numpy(), **_picture(batch, index, one)} for index, one in enumerate(explained.relevance)]
    if explained.regions is not None:
        for each, regions in zip(arrays, explained.regions.numpy(), strict=True):
            each["regions"] = regions.astype(np.min_scalar_type(int(regions.max())))
    _save(folder, batch, arrays)


def _picture(batch: Batch, index: int, relevance: Tensor) -> dict[str, np.ndarray]:
    """The slice across the last axis where the tumour is largest, else the middle one: image (c, H, W), truth (H, W), relevance (H, W)."""
    image, space = batch.image[index].cpu(), relevance.shape
    truth = batch.context["tumour"][index, 0].cpu() if "tumour" in batch.context else torch.zeros(space, dtype=torch.bool)
    if len(space) == 3:
        at = int(truth.sum((0, 1)).argmax()) if bool(truth.any()) else space[2] // 2
        image, truth, relevance = image[..., at], truth[..., at], relevance[..., at]
    channels = torch.stack([_bytes(channel) for channel in image])
    named = {"image": channels, "truth": truth, "relevance": _bytes(relevance)}
    return {f"picture/{name}": upright(tensor).numpy() for name, tensor in named.items()}


def _bytes(plane: Tensor) -> Tensor:
    """From its own lowest value to its own highest as 0 to 255."""
    low, high = plane.min(), plane.max()
    return ((plane - low) / (high - low).clamp_min(1e-12) * 255).round().to(torch.uint8)


def load_explained(path: Path, case: str) -> dict[str, np.ndarray]:
    """`relevance` and, where there are, `regions` of a case of a relevance.h5, each (*space); StoreError where it is not there or damaged."""
    name = key(Case(case, "", ""))
    with store_errors(path), h5py.File(path, "r") as file:
        if name not in file or _digest(file[name]) != file[name].attrs["digest"]:
            msg = f"{path}: found no whole map of case '{case}'; expected every case of its cell"
            raise StoreError(msg)
        return _arrays(file[name])


def _save(folder: Path, batch: Batch, arrays: Sequence[dict[str, np.ndarray]]) -> None:
    with in_memory() as file:
        for index, case in enumerate(batch.cases):
            _write_case(file.create_group(key(case)), case, batch.image[index].cpu(), arrays[index])
        write(folder / "artifacts" / "parts" / f"{digest([case.case for case in batch.cases])}.h5", file)


def key(case: Case) -> str:
    """The name of a case's group: its own name, with the one character that HDF5 reserves spelt out."""
    return case.case.replace("/", "%2F")


def _attacked_arrays(batch: Batch, attacked: Attacked, index: int) -> dict[str, np.ndarray]:
    clean, image = batch.image[index].cpu(), attacked.image[index].cpu()
    arrays = {"difference": (image.double() - clean.double()).numpy()}
    if not torch.equal(restored(clean, arrays["difference"]), image):
        arrays = {"image": image.numpy()}
    if attacked.truth is not None:
        truth = attacked.truth[index].cpu()
        same = truth.dtype == image.dtype and torch.equal(truth, image)
        arrays["truth"] = np.zeros(0) if same else truth.numpy()
    if attacked.region is not None:
        arrays["region"] = attacked.region[index].cpu().numpy()
    if attacked.field is not None:
        arrays["field"] = attacked.field[index].cpu().numpy()
    return arrays | {f"context/{name}": tensor[index].cpu().numpy() for name, tensor in attacked.context.items()}


def _write_case(group: h5py.Group, case: Case, clean: Tensor, arrays: dict[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        compressed = {"compression": "gzip", "shuffle": True} if array.size > 1 else {}
        group.create_dataset(name, data=array, **compressed)
    group.attrs["case"] = case.case
    group.attrs["clean"] = _sha(clean.numpy())
    group.attrs["digest"] = _digest(group)


def restored(clean: Tensor, difference: np.ndarray) -> Tensor:
    """clean + difference, rounded to the type of `clean`."""
    return (clean.double() + torch.from_numpy(difference)).to(clean.dtype)


def _sha(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _arrays(group: h5py.Group) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    group.visititems(lambda name, item: found.__setitem__(name, item[()]) if isinstance(item, h5py.Dataset) else None)
    return found


def _digest(group: h5py.Group) -> str:
    return digest({name: [str(array.dtype), list(array.shape), _sha(array)] for name, array in _arrays(group).items()})


def collect(joined: Path, cases: Sequence[Case]) -> str:
    """Join artifacts/parts into the file `joined` beside them; returns the digest over all cases, in the order of their names.

    What was joined before is kept: a process killed right after that has left no parts.
    """
    parts = joined.parent / "parts"
    digests: dict[str, str] = {}
    with in_memory() as file:
        for path in [*sorted(parts.glob("*.h5")), *([joined] if joined.exists() else [])]:
            with store_errors(path), h5py.File(path, "r") as part:
                for name in part:
                    if name not in digests:
                        part.copy(name, file)
                        digests[name] = str(part[name].attrs["digest"])
        missing = [case.case for case in cases if key(case) not in digests]
        if missing:
            msg = f"{parts}: found no images of {len(missing)} cases ({missing[0]}, ...), expected {len(cases)}"
            raise StoreError(msg)
        total = digest([digests[name] for name in sorted(digests)])
        file.attrs["digest"] = total
        if joined.name == NAME:
            file.attrs["statement"] = CHANGED
        write(joined, file)
    shutil.rmtree(parts, ignore_errors=True)
    return total


def load_attacked(folder: Path, batch: Batch) -> Attacked:
    """The stored attack of the batch's cases, on the batch's device; each case's digest is checked.

    Raises StoreError where the file is missing or damaged, or where the clean images are not those that were attacked.
    """
    path = folder / "artifacts" / NAME
    if not path.is_file():
        msg = f"{path}: missing; expected the stored images of this cell"
        raise StoreError(msg)
    with store_errors(path), h5py.File(path, "r") as file:
        entries = [_read_case(file, path, case, batch.image[index].cpu()) for index, case in enumerate(batch.cases)]

    def stacked(name: str) -> Tensor | None:
        return torch.stack([entry[name] for entry in entries]).to(batch.image.device) if name in entries[0] else None

    image = stacked("image")
    assert image is not None  # noqa: S101 - every entry has one
    context = {name.removeprefix("context/"): stacked(name) for name in entries[0] if name.startswith("context/")}
    present = {name: tensor for name, tensor in context.items() if tensor is not None}
    return Attacked(image, stacked("truth"), stacked("region"), present, field=stacked("field"))


def _read_case(file: h5py.File, path: Path, case: Case, clean: Tensor) -> dict[str, Tensor]:
    if key(case) not in file:
        msg = f"{path}: found no case '{case.case}'; expected every case of its cell"
        raise StoreError(msg)
    group = file[key(case)]
    if _digest(group) != group.attrs["digest"]:
        msg = f"{path}: case '{case.case}' does not have the digest it was written with; delete the cell's folder and run again"
        raise StoreError(msg)
    if _sha(clean.numpy()) != group.attrs["clean"]:
        msg = f"{path}: case '{case.case}' was attacked on other image data; expected the same bits on this machine"
        raise StoreError(msg)
    arrays = _arrays(group)
    difference = arrays.pop("difference", None)
    entry = {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}
    if difference is not None:
        entry["image"] = restored(clean, difference)
    if "truth" in entry and not entry["truth"].numel():
        entry["truth"] = entry["image"]
    return entry


def stored_digest(path: Path) -> str:
    """The digest over all cases, recomputed from the arrays of an attacked.h5 or relevance.h5, in the order of its names."""
    with store_errors(path), h5py.File(path, "r") as file:
        return digest([_digest(file[name]) for name in sorted(file)])
