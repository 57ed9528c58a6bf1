"""How good predictions are: confusion matrices, scores with intervals, the official evaluation.

How a network predicts belongs in `inference`.
"""
