"""Which of torch's operations a change can be followed through, and as what kind of step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from medrobust.targets.local.steps import Affine, Elementwise, Everything, Operation, Triple, average, convolution, maximum

aten = torch.ops.aten

Depends = Callable[[Tensor], bool]
Inputs = list[Tensor]
Read = tuple[Operation, Inputs]


class NotLocalError(ValueError):
    """A network through which a change cannot be followed; the message is one line that says why."""


class Place(NamedTuple):
    """Where, among the arguments of a call, its input of this number belongs."""

    number: int


def step_of(func: Any, args: Sequence[Any], kwargs: dict[str, Any], depends: Depends) -> Read:
    """The step that the call `func(*args, **kwargs)` is, and the tensors it is done to; it holds whatever else it needs.

    depends: whether a tensor depends on the image. Raises NotLocalError where a change cannot be followed through the call.
    """
    if func in BUILDERS:
        operation, inputs = BUILDERS[func](*args, **kwargs)
        if sum(map(depends, tensors([args, kwargs]))) > sum(map(depends, inputs)):
            msg = f"{func} has weights that depend on the image"
            raise NotLocalError(msg)
        return operation, inputs
    if torch.Tag.pointwise in func.tags:
        return _elementwise(func, args, kwargs, depends)
    msg = f"{func} is not known to keep a change where it is"
    raise NotLocalError(msg)


def tensors(value: Any) -> list[Tensor]:
    """Every tensor among nested arguments."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return tensors(list(value.values()))
    return [tensor for item in value for tensor in tensors(item)] if isinstance(value, list | tuple) else []


def _elementwise(func: Any, args: Sequence[Any], kwargs: dict[str, Any], depends: Depends) -> Read:
    """A pointwise call. Its inputs are what depends on the image and what differs from place to place; scalars and values of channels are held."""
    space = next(tensor.shape[2:] for tensor in tensors([args, kwargs]) if depends(tensor))
    inputs: Inputs = []

    def placed(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if value.ndim >= 2 and value.shape[2:] == space and (depends(value) or math.prod(space) > 1):
            inputs.append(value)
            return Place(len(inputs) - 1)
        axes = range(len(space) + 2 - value.ndim, len(space) + 2)
        if depends(value) or axes.start < 0 or any(length > 1 and axis != 1 for axis, length in zip(axes, value.shape, strict=True)):
            msg = f"{func} joins activations of different spaces"
            raise NotLocalError(msg)
        return value

    if any(map(depends, tensors(kwargs))):
        msg = f"{func} takes an activation by name"
        raise NotLocalError(msg)
    return Elementwise(_call(_out_of_place(func), [placed(value) for value in args], kwargs)), inputs


def _call(func: Any, template: Sequence[Any], kwargs: dict[str, Any]) -> Callable[..., Tensor]:
    """The call with its inputs left open."""
    if isinstance(template[0], Place) and not any(isinstance(item, Place) for item in template[1:]):
        rest = template[1:]
        return lambda x: func(x, *rest, **kwargs)
    return lambda *inputs: func(*(inputs[item.number] if isinstance(item, Place) else item for item in template), **kwargs)


def _out_of_place(func: Any) -> Any:
    """The same operation that leaves its input alone."""
    if not func._schema.is_mutable:
        return func
    packet = getattr(aten, func._overloadpacket.__name__.removesuffix("_"), None)
    if not func._overloadpacket.__name__.endswith("_") or packet is None:
        msg = f"{func} changes an activation in place"
        raise NotLocalError(msg)
    return getattr(packet, func._overloadname)


def _convolution(
    x: Tensor, weight: Tensor, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool, output_padding: Any, groups: int
) -> Read:
    if transposed or any(output_padding) or x.ndim != 5:
        msg = "a transposed convolution, or one that is not in three dimensions"
        raise NotLocalError(msg)
    return convolution(weight, bias, triple(stride), triple(padding), triple(dilation), groups), [x]


def _mkldnn_convolution(x: Tensor, weight: Tensor, bias: Any, padding: Any, stride: Any, dilation: Any, groups: int) -> Read:
    return _convolution(x, weight, bias, stride, padding, dilation, transposed=False, output_padding=(), groups=groups)


def _max_pool(x: Tensor, kernel: Any, stride: Any = (), padding: Any = (0,), dilation: Any = (1,), ceil_mode: bool = False) -> Read:
    return maximum(triple(kernel), triple(stride or kernel), triple(padding), triple(dilation), ceil_mode), [x]


def _avg_pool(x: Tensor, kernel: Any, stride: Any = (), padding: Any = (0,), ceil_mode: bool = False, *rest: Any) -> Read:
    if any(padding) or ceil_mode or rest:
        msg = "average pooling whose windows are not all whole"
        raise NotLocalError(msg)
    return average(triple(kernel), triple(stride or kernel)), [x]


def _batch_norm(x: Tensor, weight: Any, bias: Any, mean: Any, variance: Any, *rest: Any) -> Read:
    """In evaluation an affine map; `rest` is (training, momentum, epsilon), or without the first where the operation says so itself."""
    if mean is None or (len(rest) == 3 and rest[0]):
        msg = "normalisation by statistics of the volume itself, such as instance normalisation or batch normalisation in training"
        raise NotLocalError(msg)
    scale = (variance + rest[-1]).rsqrt() * (1 if weight is None else weight)
    shift = -mean * scale + (0 if bias is None else bias)
    return Elementwise(Affine(scale, shift)), [x]


def _concatenation(inputs: Sequence[Tensor], axis: int = 0) -> Read:
    if axis % inputs[0].ndim != 1 or len({tensor.shape[2:] for tensor in inputs}) > 1:
        msg = f"a concatenation along axis {axis}, expected channels"
        raise NotLocalError(msg)
    return Elementwise(lambda *parts: torch.cat(parts, 1)), list(inputs)


def _reduction(func: Any) -> Callable[..., Read]:
    def build(x: Tensor, axes: Any = None, keepdim: bool = False, **options: Any) -> Read:
        if not axes or any(axis % x.ndim == 0 for axis in axes):
            msg = f"{func} over axes {axes}, which hold the batch"
            raise NotLocalError(msg)
        return Everything(lambda whole: func(whole, axes, keepdim, **options)), [x]

    return build


def _adaptive(pooling: Callable[..., Any]) -> Callable[..., Read]:
    def build(x: Tensor, size: Any) -> Read:
        return Everything(lambda whole: first(pooling(whole, size))), [x]

    return build


def _view(x: Tensor, shape: Sequence[int]) -> Read:
    rest = list(shape[1:])
    if x.shape[0] != 1 or x.reshape(list(shape)).shape[0] != 1:
        msg = f"a view of shape {list(shape)}, which mixes the batch with other axes"
        raise NotLocalError(msg)
    return Everything(lambda whole: whole.reshape(len(whole), *rest)), [x]


def _linear(x: Tensor, weight: Tensor, bias: Any = None) -> Read:
    return Everything(lambda whole: torch.nn.functional.linear(whole, weight, bias)), [x]


def _addmm(bias: Tensor, x: Tensor, weight: Tensor, **options: Any) -> Read:
    return Everything(lambda whole: torch.addmm(bias, whole, weight, **options)), [x]


def _mm(x: Tensor, weight: Tensor) -> Read:
    return Everything(lambda whole: whole @ weight), [x]


def first(value: Any) -> Tensor:
    """The tensor that an operation is about, of the several it may return."""
    out: Tensor = value[0] if isinstance(value, list | tuple) else value
    return out


def triple(value: Sequence[int]) -> Triple:
    """One number an axis; torch leaves repetitions out."""
    a, b, c = tuple(value) * 3 if len(value) == 1 else tuple(value)
    return a, b, c


BUILDERS: dict[Any, Callable[..., Read]] = {
    aten.convolution.default: _convolution,
    aten.mkldnn_convolution.default: _mkldnn_convolution,
    aten.max_pool3d_with_indices.default: _max_pool,
    aten.avg_pool3d.default: _avg_pool,
    aten.native_batch_norm.default: _batch_norm,
    aten.cudnn_batch_norm.default: _batch_norm,
    aten._native_batch_norm_legit_no_training.default: _batch_norm,
    aten.cat.default: _concatenation,
    aten.mean.dim: _reduction(aten.mean.dim),
    aten.sum.dim_IntList: _reduction(aten.sum.dim_IntList),
    aten.amax.default: _reduction(aten.amax.default),
    aten._adaptive_avg_pool3d.default: _adaptive(aten._adaptive_avg_pool3d.default),
    aten.adaptive_max_pool3d.default: _adaptive(aten.adaptive_max_pool3d.default),
    aten.view.default: _view,
    aten._unsafe_view.default: _view,
    aten.linear.default: _linear,
    aten.addmm.default: _addmm,
    aten.mm.default: _mm,
}
