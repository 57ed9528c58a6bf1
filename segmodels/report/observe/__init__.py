"""What the report has to compute: predictions on a few images, and what a network costs.

Numbers that are in files already belong in `read`.
"""
