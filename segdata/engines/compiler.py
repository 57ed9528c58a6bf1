"""numba, imported and set up for the first kernel: half a second that a process pays once, and its forks never.

`local.py` has this module imported where workers are forked. Nothing is compiled here: that takes longer, and whoever
starts a worker cannot be interrupted until it runs.
"""

from numba.core.registry import cpu_target

cpu_target.typing_context.refresh()
cpu_target.target_context.refresh()
