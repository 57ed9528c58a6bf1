"""`init`: looks at a folder that nobody described, and drafts its source file.

Here belongs what guesses: pairs, splits, codings and label tables, from names and from a sample of the files. What a
source file means belongs in `sources`, and what reads a dataset for good in `raw`. Nothing here writes into the folder.
"""
