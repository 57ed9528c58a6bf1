"""Segmentation networks, and their training from the shards that segdata writes.

`build`, `names` and `spec` are the public calls; torch is imported when the first of them needs it.
"""

from segmodels.errors import SegmodelsError
from segmodels.networks import build, names, spec
from segmodels.prediction import Prediction
from segmodels.spec import ModelSpec

__all__ = ["ModelSpec", "Prediction", "SegmodelsError", "build", "names", "spec"]
