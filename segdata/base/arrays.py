"""The types of arrays that all rooms share."""

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]


Window = tuple[int, int, int, int]  # top, left, height, width
