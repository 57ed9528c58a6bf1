"""Which slot each new group takes, so that a slot goes on meaning the same when groups are made anew.

A slot is a group's place in what the head sees: its weights for slot j are learnt for the group that is there.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Whole = NDArray[np.int64]


@torch.compiler.disable  # type: ignore[untyped-decorator]  # a search whose length depends on the data
def keep_slots(groups: Tensor, before: Tensor, slots: int) -> Tensor:
    """The same groups of channels, each in the slot of `before` by which most channels stay where they were: (C,).

    Both are (C,) int64, numbers below `slots`. Groups that are those of before come back with the numbers of before.
    Of several matchings that are equally good always the same one is taken, whatever the device.
    """
    pairs = (groups * slots + before).cpu()  # of a group and a slot of before: one for each channel
    stay = torch.bincount(pairs, minlength=slots * slots).view(slots, slots)
    return torch.from_numpy(best_matching(stay.numpy())).to(groups.device)[groups]


def best_matching(gain: Whole) -> Whole:
    """The column of each row of (n, n), each column once, for which the sum of `gain` is largest: (n,).

    The Hungarian method, with shortest augmenting paths: Jonker and Volgenant (1987). Row after row is let in, and
    those before it give way along the cheapest path to a column that is free.
    """
    cost = gain.max(initial=0) - gain
    count = len(cost)
    rows, columns = np.zeros(count, np.int64), np.zeros(count, np.int64)  # prices: no cost is below their sum
    holder = np.full(count, -1)  # the row that has each column
    for row in range(count):
        column, before = _cheapest_path(cost, rows, columns, holder, row)
        while column >= 0:
            earlier = before[column]
            holder[column] = row if earlier < 0 else holder[earlier]
            column = earlier
    return np.argsort(holder)


def _cheapest_path(cost: Whole, rows: Whole, columns: Whole, holder: Whole, row: int) -> tuple[int, Whole]:
    """The free column that costs `row` least to reach, and the column before each on the way (-1: none).

    Changes the prices `rows` and `columns`, so that every step of the way, and of those found before, costs nothing.
    """
    count = len(cost)
    far = np.iinfo(np.int64).max
    distance, before = np.full(count, far), np.full(count, -1)
    seen, entered = np.zeros(count, bool), [row]
    column, here = -1, row
    while True:
        step = cost[here] - rows[here] - columns
        nearer = ~seen & (step < distance)
        distance[nearer], before[nearer] = step[nearer], column
        column = int(np.where(seen, far, distance).argmin())  # the first of equal ones
        least = distance[column]
        rows[entered] += least
        columns[seen] -= least
        distance[~seen] -= least
        if holder[column] < 0:
            return column, before
        seen[column] = True
        here = int(holder[column])
        entered.append(here)
