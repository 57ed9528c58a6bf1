"""`segmodels calibrate`: finds the best q of each class for a given budget of compute or time.

What q costs at given values belongs in `knobs`.
"""
