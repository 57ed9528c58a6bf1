"""The report as a page: charts, texts, templates, all in one file.

Nothing here reads a run or computes a score.
"""
