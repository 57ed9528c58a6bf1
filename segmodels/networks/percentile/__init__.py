"""The network of percentile-based masking, dense and on tiles.

The search for its q belongs in `calibration`.
"""

from segmodels.networks.percentile.network import SPECS

__all__ = ["SPECS"]
