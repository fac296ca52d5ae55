"""Hides the form in which OpenCV reads a cascade."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

import cv2
import numpy as np

from pipeline.train.patterns import CODES, WINDOW, Stage, features


def to_xml(stages: Sequence[Stage], made: str) -> str:
    """Write a cascade as `cv2.CascadeClassifier` reads it.

    Args:
        stages: At least one.
        made: How it was made; stands at the top, in a comment.
    """
    used = sorted({stump.feature for stage in stages for stump in stage.stumps})
    place = {feature: index for index, feature in enumerate(used)}
    lines = [
        '<?xml version="1.0"?>',
        f"<!--\n{escape(made).replace('--', '- -')}\n-->",
        "<opencv_storage>",
        '<cascade type_id="opencv-cascade-classifier"><stageType>BOOST</stageType><featureType>LBP</featureType>',
        f"<height>{WINDOW}</height><width>{WINDOW}</width>",
        "<stageParams><boostType>GAB</boostType><maxDepth>1</maxDepth>",
        f"<maxWeakCount>{max(len(stage.stumps) for stage in stages)}</maxWeakCount></stageParams>",
        f"<featureParams><maxCatCount>{CODES}</maxCatCount><featSize>1</featSize></featureParams>",
        f"<stageNum>{len(stages)}</stageNum>",
        "<stages>",
    ]
    for stage in stages:
        lines.append(f"<_><maxWeakCount>{len(stage.stumps)}</maxWeakCount>")
        lines.append(f"<stageThreshold>{stage.threshold:.9g}</stageThreshold><weakClassifiers>")
        for stump in stage.stumps:
            words = np.packbits(stump.subset, bitorder="little").view("<i4")
            nodes = " ".join(["0", "-1", str(place[stump.feature]), *(str(word) for word in words)])
            leaves = " ".join(f"{leaf:.9g}" for leaf in stump.leaves)
            lines.append(f"<_><internalNodes>{nodes}</internalNodes><leafValues>{leaves}</leafValues></_>")
        lines.append("</weakClassifiers></_>")
    lines.append("</stages><features>")
    lines += [f"<_><rect>{' '.join(map(str, features()[one]))}</rect></_>" for one in used]
    lines.append("</features></cascade></opencv_storage>")
    return "\n".join(lines) + "\n"


def classifier(stages: Sequence[Stage]) -> cv2.CascadeClassifier:
    """Let OpenCV run a cascade that is not in a file."""
    storage = cv2.FileStorage(to_xml(stages, "under way"), cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
    runner = cv2.CascadeClassifier()
    if not runner.read(storage.getFirstTopLevelNode()):
        raise RuntimeError("OpenCV does not read the cascade that was just made")
    return runner
