"""Segmentation networks, and their training from the shards that segdata writes.

`build`, `names` and `spec` are the public calls, and `declare` makes a network of your own known to them; torch is
imported when the first of them needs it.
"""

from segmodels.errors import SegmodelsError
from segmodels.networks import build, names, spec
from segmodels.plugins import declare
from segmodels.prediction import Prediction
from segmodels.spec import Geometry, ModelSpec, Option

__all__ = ["Geometry", "ModelSpec", "Option", "Prediction", "SegmodelsError", "build", "declare", "names", "spec"]
