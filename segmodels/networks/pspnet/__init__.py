"""PSPNet and ClusterNet: a dilated ResNet with three heads.

Weights of other people's ResNets are read in `pretrained`.
"""

from segmodels.networks.pspnet.network import SPECS

__all__ = ["SPECS"]
