"""Where a dataset's files lie: on a disk or behind a URL, listed and read alike.

Which of the files are used, and how, belongs in the room above.
"""
