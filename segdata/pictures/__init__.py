"""Pictures as bytes: the codecs of samples, and our own PNG codec.

Other rooms use `codecs`, `png`, `chunks`, `ancillary` and `marked`; the rest is the inside of the PNG codec. Which
file of a dataset a picture comes from does not belong here.
"""
