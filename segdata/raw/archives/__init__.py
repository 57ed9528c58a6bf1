"""Archives as people download them, zips and tars, read in place: nothing is unpacked.

What an archive says of itself is bounded and checked here. Which of its files belong to a dataset is not known here.
"""
