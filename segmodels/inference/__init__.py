"""Trained networks at work: on images, through windows and scales, drawn, exported.

Scores belong in `scoring`.
"""
