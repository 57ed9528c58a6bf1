"""What the files of a dataset hold: frames, and the raw ids of their pixels, whatever says them.

What is wrong with a file is a finding that names it. How pictures lie in their containers belongs in `pictures`; which
files a dataset has belongs beside this folder.
"""
