"""Pictures as data URIs, no larger than a page needs: photographs as WebP, label maps as palette PNG."""

from __future__ import annotations

import base64
from io import BytesIO

import cv2
import numpy as np
from PIL import Image

from segdata.base.arrays import U8
from segdata.labels.taxonomy import IGNORE, Taxonomy
from segmodels.report.observe.budget import WIDEST

QUALITY = 80


def photograph(picture: U8, width: int = WIDEST) -> str:
    """(H, W, 3) colours or (H, W) grey levels, lossy, no wider than so many pixels."""
    small = cv2.resize(picture, _fitting(picture, width), interpolation=cv2.INTER_AREA)
    return _uri(Image.fromarray(np.asarray(small, np.uint8)), "WEBP", quality=QUALITY, method=6)


def label_map(ids: U8, taxonomy: Taxonomy, width: int = WIDEST) -> str:
    """Class ids (H, W) in their colours, exact; what is ignored is transparent. No wider than so many pixels."""
    small = cv2.resize(ids, _fitting(ids, width), interpolation=cv2.INTER_NEAREST)
    classes = len(taxonomy.classes)
    picture = Image.fromarray(np.where(small == IGNORE, classes, small).astype(np.uint8), "P")
    picture.putpalette(taxonomy.palette[: classes + 1].tobytes())
    return _uri(picture, "PNG", transparency=classes, optimize=True)


def region(picture: U8, width: int = WIDEST) -> str:
    """Few colours (H, W, 3) or grey levels (H, W), exact."""
    small = cv2.resize(picture, _fitting(picture, width), interpolation=cv2.INTER_NEAREST)
    return _uri(Image.fromarray(np.asarray(small, np.uint8)), "PNG", optimize=True)


def _fitting(picture: U8, widest: int) -> tuple[int, int]:
    """(width, height) as OpenCV has it."""
    height, width = picture.shape[:2]
    shown = min(width, widest)
    return shown, max(1, round(height * shown / width))


def _uri(picture: Image.Image, kind: str, **options: int | bool) -> str:
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
