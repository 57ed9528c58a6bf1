"""`segmodels sweep`: measures cost and mIoU at each value of a knob, a parameter that can be changed after training.

Which knobs a network has belongs in its spec.
"""
