"""What decides a training: its configuration, how options are typed, and the recipes of published networks.

What a training does belongs in `training`.
"""
