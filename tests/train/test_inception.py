"""The Inception network takes the file of pytorch-fid and no other; its weights are no part of kaoset."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from discs import discs

from pipeline.errors import UsageError
from pipeline.train import inception
from pipeline.train.inception import Inception, load
from pipeline.train.metrics import Reference

# As they are named in github.com/mseitzer/pytorch-fid and github.com/pytorch/vision.
SAMPLE = {
    "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
    "Conv2d_1a_3x3.bn.running_var": (32,),
    "Conv2d_3b_1x1.conv.weight": (80, 64, 1, 1),
    "Conv2d_4a_3x3.conv.weight": (192, 80, 3, 3),
    "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
    "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1),
    "Mixed_5d.branch3x3dbl_3.conv.weight": (96, 96, 3, 3),
    "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
    "Mixed_6b.branch7x7_2.conv.weight": (128, 128, 1, 7),
    "Mixed_6c.branch7x7dbl_4.conv.weight": (160, 160, 7, 1),
    "Mixed_6e.branch7x7dbl_5.conv.weight": (192, 192, 1, 7),
    "Mixed_7a.branch7x7x3_3.conv.weight": (192, 192, 7, 1),
    "Mixed_7a.branch3x3_2.bn.bias": (320,),
    "Mixed_7b.branch3x3_2a.conv.weight": (384, 384, 1, 3),
    "Mixed_7b.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
    "Mixed_7c.branch3x3dbl_1.conv.weight": (448, 2048, 1, 1),
    "Mixed_7c.branch_pool.conv.weight": (192, 2048, 1, 1),
    "fc.weight": (1008, 2048),
    "fc.bias": (1008,),
}


@pytest.fixture(scope="module")
def network() -> Inception:
    """Weights of chance that keep the size of what passes; PyTorch's own would let it fade to nothing."""
    chance, network = torch.Generator().manual_seed(0), Inception().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=chance)
    return network


@pytest.fixture
def file(tmp_path: Path, network: Inception, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file as pytorch-fid's, of weights of chance, with the auxiliary classifier and without batch counts."""
    weights = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    path = tmp_path / inception.FILE
    torch.save({**weights, "AuxLogits.fc.weight": torch.zeros(1008, 768)}, path)
    monkeypatch.setattr(inception, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest()[:8])
    return path


def test_names_and_shapes_are_those_of_the_file(network: Inception) -> None:
    """Otherwise the file could not be loaded."""
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}

    assert {name: shapes.get(name) for name in SAMPLE} == SAMPLE


def test_there_are_as_many_weights_as_in_torchvision(network: Inception) -> None:
    """27,161,264 in torchvision, less 3,326,696 of the auxiliary classifier, and 8 classes more of 2,049 each.

    94 convolutions have each a kernel and five values of normalisation, the last layer has two.
    """
    assert sum(weights.numel() for weights in network.parameters()) == 27_161_264 - 3_326_696 + 8 * 2049
    assert len(network.state_dict()) == 94 * 6 + 2


def test_pictures_of_any_size_become_2048_values(network: Inception) -> None:
    """One row for each; none negative, since they are means of rectified values."""
    with torch.no_grad():
        features = network(torch.from_numpy(discs(2, side=24)))

    assert (features.shape, features.dtype) == ((2, 2048), torch.float32)
    assert (features >= 0).all()


def test_a_mean_leaves_out_what_lies_beyond_the_edge() -> None:
    """As in TensorFlow: a flat picture stays flat; torchvision's own would darken its edges."""
    flat = torch.ones(1, 1, 4, 4)

    torch.testing.assert_close(inception._mean_around(flat), flat)


def test_the_last_pooling_alone_is_a_maximum(network: Inception) -> None:
    """Mixed_7b takes means, Mixed_7c the largest: so was the graph that FID was defined with."""
    spike = torch.zeros(1, 1, 3, 3)
    spike[..., 1, 1] = 9

    assert network.Mixed_7b.pool(spike)[0, 0, 1, 1] == 1
    assert network.Mixed_7c.pool(spike)[0, 0, 1, 1] == 9


def test_the_weights_come_from_the_file(file: Path, network: Inception) -> None:
    """What was saved looks the same when loaded; the auxiliary classifier is passed over."""
    pictures = torch.from_numpy(discs(2))

    loaded = load(file)

    with torch.no_grad():
        torch.testing.assert_close(loaded(pictures), network(pictures))
    assert not any(weights.requires_grad for weights in loaded.parameters())


def test_another_file_is_refused(tmp_path: Path) -> None:
    """Weights of another training give numbers that compare with nobody's; what to do is said."""
    path = tmp_path / inception.FILE
    path.write_bytes(b"something else")

    with pytest.raises(UsageError) as refusal:
        load(path)

    assert str(refusal.value) == (
        f"{path}: its SHA-256 begins with f41f3fa6, not with 6726825d; get pt_inception-2015-12-05-6726825d.pth from "
        "https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights by hand and name it,"
        " or name no Inception file"
    )


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """Nothing is downloaded in its place."""
    with pytest.raises(UsageError, match=r"cannot be read \(No such file or directory\); get pt_inception"):
        load(tmp_path / inception.FILE)


def test_the_standard_fid_is_given_where_there_is_the_file(file: Path) -> None:
    """The training pictures themselves have 0, others more."""
    train = discs(4)
    reference = Reference(train, train[:0], inception=file)

    same, other = reference.measure(train).fid, reference.measure(255 - train).fid

    assert same is not None
    assert other is not None
    assert same < 1e-3 * other
