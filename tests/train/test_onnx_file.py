"""A network in a file is the network: OpenCV computes what PyTorch does, and it can be read back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from pipeline.errors import RecipeError
from pipeline.train.detector_net import FaceNet, cells, decoded, flat
from pipeline.train.onnx_file import restored, to_onnx

SIDE = 128  # pixels


@pytest.fixture
def network() -> FaceNet:
    """One whose normalisations have seen something, and whose answers differ from cell to cell."""
    torch.manual_seed(3)
    network = FaceNet(4)
    for _ in range(5):
        network(torch.rand(2, 3, SIDE, SIDE))
    for head in network.heads:
        torch.nn.init.normal_(next(iter(reversed(list(head.parameters())))), std=1.0)
    return network.eval()


@torch.inference_mode()
def test_opencv_computes_what_pytorch_does(network: FaceNet) -> None:
    """Boxes in pixels and scores, of every cell."""
    picture = torch.rand(1, 3, SIDE, SIDE)

    net = cv2.dnn.readNetFromONNX(np.frombuffer(to_onnx(network, SIDE, "by a test"), np.uint8))
    net.setInput(picture.numpy())
    found = net.forward()

    raw = flat(network(picture))
    squares = decoded(raw, *cells(SIDE, SIDE))
    wanted = torch.cat([squares, squares[:, 2:], torch.sigmoid(raw[:, 3:])], dim=1).numpy()
    assert found.shape == (1, 5, 16 * 16 + 8 * 8 + 4 * 4)
    assert np.ptp(wanted[0, 4]) > 0.01
    assert np.abs(found - wanted).max() < 1e-3


def test_it_can_be_read_back(network: FaceNet) -> None:
    """Written again it is the same file."""
    file = to_onnx(network, SIDE, "by a test")

    assert to_onnx(restored(file, 4), SIDE, "by a test") == file
    assert b"by a test" in file


def test_another_network_is_refused(network: FaceNet) -> None:
    """One of another width, one cut short, and what is no model at all."""
    file = to_onnx(network, SIDE, "")

    for other, width in ((file, 8), (file[: len(file) // 2], 4), (b"nothing", 4), (b"", 4)):
        with pytest.raises(RecipeError, match="no face network of width"):
            restored(other, width)
