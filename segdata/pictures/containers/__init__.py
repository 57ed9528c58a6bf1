"""The files in which pictures come: PNG, JPEG, WebP and TIFF, checked without decoding a pixel.

What a file says of its picture is found here, and whether it is whole. Pixels are decoded by `codecs` and `png`, and
those of a TIFF by `tiff`, for samples never hold one.
"""
