"""Trunks: the parts of networks that other people train on ImageNet, each giving two maps at 1/8 by dilation.

Weights of other people's files are read in `pretrained`; what follows a trunk belongs to the networks.
"""
