"""How a face network becomes an ONNX file that OpenCV runs; hides the format's protobuf, so that no package is needed.

The few messages and field numbers are those of onnx.proto (https://github.com/onnx/onnx), IR version 8, operators of
set 13.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from copy import deepcopy as copied

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pipeline.errors import RecipeError
from pipeline.train.detector_net import LARGEST, FaceNet, cells

INPUT, OUTPUT = "picture", "boxes"
_FLOAT, _INT64 = 1, 7  # TensorProto.DataType
_KIND_INT, _KIND_STRING, _KIND_INTS = 2, 3, 7  # AttributeProto.AttributeType


def to_onnx(network: FaceNet, side: int, made: str) -> bytes:
    """Write a network down, for square pictures and with its boxes decoded.

    Args:
        network: Its running means are folded into its weights; it is not changed.
        side: Of the input in pixels, a multiple of 32: (1, 3, side, side), RGB, 0 to 1.
        made: How it was made, for people; kept in the file.

    Returns:
        A file whose output is (1, 5, cells): centre x, centre y, width, height in pixels of the input, score.
    """
    return _Writer(network, side).file(made)


class _Writer:
    """Goes through what a network computes and writes each step as a node."""

    def __init__(self, network: FaceNet, side: int) -> None:
        self.nodes: list[bytes] = []
        self.constants: list[bytes] = []
        self.side = side
        self.cells = sum(1 for _ in cells(side, side)[1])
        traced = fx.symbolic_trace(_folded(network))
        self.modules = dict(traced.named_modules())
        grids: list[str] = []
        for step in traced.graph.nodes:
            if step.op == "output":
                grids = [one.name for one in step.args[0]]
            elif step.op == "placeholder":
                self.input = step.name
            else:
                self._step(step)
        self._decode(grids)

    def _step(self, step: fx.Node) -> None:
        into = [one.name for one in step.all_input_nodes]
        layer = self.modules[str(step.target)] if step.op == "call_module" else None
        if isinstance(layer, nn.Conv2d):
            self._convolve(str(step.target), layer, into[0], step.name)
        elif isinstance(layer, nn.ReLU):
            self._node("Relu", into, step.name)
        elif step.target is operator.add:
            self._node("Add", into, step.name)
        elif step.target is functional.interpolate:
            scales = self._constant(f"{step.name}_scales", np.array([1, 1, 2, 2], np.float32))
            how = (_string("mode", "nearest"), _string("nearest_mode", "floor"))
            asymmetric = _string("coordinate_transformation_mode", "asymmetric")
            self._node("Resize", [into[0], "", scales], step.name, *how, asymmetric)
        else:
            raise TypeError(f"{step.target}: a network with such a step cannot be written as ONNX")

    def _convolve(self, name: str, layer: nn.Conv2d, into: str, out: str) -> None:
        weight = self._constant(f"{name}.weight", _array(layer.weight))
        pads = [int(one) for one in layer.padding] * 2
        attributes = {
            "kernel_shape": list(layer.kernel_size),
            "strides": list(layer.stride),
            "pads": pads,
            "dilations": [1, 1],
        }
        packed = [_ints(name, values) for name, values in attributes.items()]
        given = [into, weight, self._constant(f"{name}.bias", _array(layer.get_parameter("bias")))]
        self._node("Conv", given, out, *packed, _int("group", layer.groups))

    def _decode(self, grids: Sequence[str]) -> None:
        """Do what `detector_net.decoded` does."""
        shape = self._constant("grid_shape", np.array([1, 4, -1], np.int64))
        for grid in grids:
            self._node("Reshape", [grid, shape], f"{grid}_flat")
        self._node("Concat", [f"{grid}_flat" for grid in grids], "raw", _int("axis", 2))
        axis = self._constant("rows", np.array([1], np.int64))
        ends = [self._constant(f"row_{row}", np.array([row], np.int64)) for row in range(5)]
        for name, first, end in (("offset", 0, 2), ("log_side", 2, 3), ("logit", 3, 4)):
            self._node("Slice", ["raw", ends[first], ends[end], axis], name)
        middles, strides = (one.numpy().astype(np.float32) for one in cells(self.side, self.side))
        of_centre = self._constant("strides_xy", np.ascontiguousarray(np.stack([strides, strides])[None]))
        of_side = self._constant("strides", strides[None, None].copy())
        self._node("Mul", ["offset", of_centre], "moved")
        self._node("Add", ["moved", self._constant("middles", np.ascontiguousarray(middles.T[None]))], "centre")
        self._node("Clip", ["log_side", "", self._constant("largest", np.array(LARGEST, np.float32))], "log_real")
        self._node("Exp", ["log_real"], "in_strides")
        self._node("Mul", ["in_strides", of_side], "side")
        self._node("Sigmoid", ["logit"], "score")
        self._node("Concat", ["centre", "side", "side", "score"], OUTPUT, _int("axis", 1))

    def _node(self, kind: str, inputs: Sequence[str], output: str, *attributes: bytes) -> None:
        names = [INPUT if name == self.input else name for name in inputs]
        body = b"".join(_part(1, name) for name in names) + _part(2, output) + _part(3, output) + _part(4, kind)
        self.nodes.append(_part(1, body + b"".join(_part(5, one) for one in attributes)))

    def _constant(self, name: str, values: NDArray[np.float32] | NDArray[np.int64]) -> str:
        kind = _FLOAT if values.dtype == np.float32 else _INT64
        shape = b"".join(_part(1, size) for size in values.shape)
        little = values.astype(values.dtype.newbyteorder("<")).tobytes()
        self.constants.append(_part(5, shape + _part(2, kind) + _part(8, name) + _part(9, little)))
        return name

    def file(self, made: str) -> bytes:
        """Give the bytes of the whole model."""
        ends = [
            _part(11, _value(INPUT, 1, 3, self.side, self.side)),
            _part(12, _value(OUTPUT, 1, 5, self.cells)),
        ]
        graph = b"".join([*self.nodes, _part(2, "faces"), *self.constants, *ends])
        head = _part(1, 8) + _part(2, "kaoset") + _part(6, made)
        return head + _part(7, graph) + _part(8, _part(1, "") + _part(2, 13))


def _folded(network: FaceNet) -> FaceNet:
    """Give a copy in which each normalisation is part of the convolution before it."""
    copy = FaceNet(network.width, folded=True).eval()
    known = dict(network.named_modules())
    values: dict[str, torch.Tensor] = {}
    for name, layer in known.items():
        if isinstance(layer, nn.Conv2d):
            norm = known.get(name.removesuffix("conv") + "norm")
            if isinstance(norm, nn.BatchNorm2d):
                layer = fuse_conv_bn_eval(copied(layer).eval(), copied(norm).eval())  # noqa: PLW2901 - the same, whole
            values |= {f"{name}.{key}": value for key, value in layer.state_dict().items()}
    copy.load_state_dict(values)
    return copy


def restored(model: bytes, width: int) -> FaceNet:
    """Read a network back from what `to_onnx` made, to train it on; its normalisations stay folded.

    Raises:
        RecipeError: It is another network.
    """
    network = FaceNet(width, folded=True)
    wanted = network.state_dict()
    try:
        (graph,) = (body for number, body in _parts(model) if number == 7)
        found = dict(_weights(body) for number, body in _parts(graph) if number == 5)
        values = {
            name: torch.from_numpy(np.frombuffer(found[name], "<f4").reshape(tuple(usual.shape)).copy())
            for name, usual in wanted.items()
        }
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise RecipeError(
            f"no face network of width {width} that this command made; name another file, or say --from scratch"
        ) from error
    network.load_state_dict(values)
    return network


def _weights(tensor: bytes) -> tuple[str, bytes]:
    fields = dict(_parts(tensor))
    return fields[8].decode(), fields[9]


def _parts(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Read the fields of a message that have a length; numbers are passed over."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        length, at = _read_varint(message, at)
        if key & 7 == 2:
            yield key >> 3, message[at : at + length]
            at += length
        elif key & 7:
            raise ValueError(f"field {key >> 3} of kind {key & 7}")


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.detach().numpy().astype(np.float32))


def _varint(number: int) -> bytes:
    out = bytearray()
    number %= 1 << 64  # a negative one is written in two's complement
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _part(number: int, value: int | bytes | str) -> bytes:
    """Write one field of a message."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    body = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _int(name: str, value: int) -> bytes:
    return _part(1, name) + _part(3, value) + _part(20, _KIND_INT)


def _ints(name: str, values: Sequence[int]) -> bytes:
    return _part(1, name) + b"".join(_part(8, value) for value in values) + _part(20, _KIND_INTS)


def _string(name: str, value: str) -> bytes:
    return _part(1, name) + _part(4, value) + _part(20, _KIND_STRING)


def _value(name: str, *shape: int) -> bytes:
    sizes = b"".join(_part(1, _part(1, size)) for size in shape)
    return _part(1, name) + _part(2, _part(1, _part(1, _FLOAT) + _part(2, sizes)))
