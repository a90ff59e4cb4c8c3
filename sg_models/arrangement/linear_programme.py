"""Linear programmes for HiGHS, as scipy has it: columns with bounds and costs, and rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_array

LARGE = 5000  # columns
GAP = 0.05  # relative to the least cost: nearer than that no choice of integers needs to come
NODES = 100  # of the tree of such choices, at most
Terms = Sequence[tuple[int, float]]  # column and factor


@dataclass(frozen=True)
class Solution:
    """The columns' values [C]; None where there are none, and then whether that is for certain."""

    values: np.ndarray | None
    infeasible: bool = False


class LinearProgramme:
    """min Σ cost · column, with a bound for the Σ factor · column of every row."""

    def __init__(self) -> None:
        self.low: list[float] = []
        self.high: list[float] = []
        self.cost: list[float] = []
        self.integer: list[int] = []
        self.row_low: list[float] = []
        self.row_high: list[float] = []
        self._columns: list[int] = []
        self._factors: list[float] = []
        self._starts: list[int] = [0]

    def column(self, low: float = 0.0, high: float = np.inf, cost: float = 0.0, integer: bool = False) -> int:
        """A new column; its number."""
        self.low.append(low)
        self.high.append(high)
        self.cost.append(cost)
        self.integer.append(int(integer))
        return len(self.low) - 1

    def row(self, terms: Terms, low: float, is_equal: bool = False) -> int:
        """A new row, which is at least `low` or equal to it; its number."""
        for column, factor in terms:
            self._columns.append(column)
            self._factors.append(factor)
        self._starts.append(len(self._columns))
        self.row_low.append(low)
        self.row_high.append(low if is_equal else np.inf)
        return len(self.row_low) - 1

    def solve(self, seconds: float) -> Solution:
        """The best values, found within a time: by simplex or, of a large programme, by interior points."""
        if seconds <= 0:
            return Solution(None)
        if len(self.low) > LARGE and not any(self.integer):
            return self._interior(seconds)
        of_integers = {"mip_rel_gap": GAP, "node_limit": NODES} if any(self.integer) else {}
        found = milp(
            self.cost,
            integrality=self.integer if of_integers else None,
            bounds=Bounds(*np.array([self.low, self.high])),
            constraints=LinearConstraint(self._matrix(), *np.array([self.row_low, self.row_high])),
            options={"time_limit": seconds, **of_integers},  # each takes scipy longer to check than it should
        )
        return Solution(found.x, infeasible=found.status == 2)

    def _interior(self, seconds: float) -> Solution:
        matrix, low, high = self._matrix(), np.array(self.row_low), np.array(self.row_high)
        equal = low == high
        found = linprog(
            self.cost,
            A_ub=-matrix[~equal],
            b_ub=-low[~equal],
            A_eq=matrix[equal],
            b_eq=low[equal],
            bounds=np.stack([self.low, self.high], axis=1),
            method="highs-ipm",
            options={"time_limit": seconds},
        )
        return Solution(found.x if found.status == 0 else None, infeasible=found.status == 2)

    def binding_rows(self, seconds: float) -> list[int]:
        """The rows without which the least cost would be lower; all must have a lower bound alone."""
        found = linprog(
            self.cost,
            A_ub=-self._matrix(),
            b_ub=-np.array(self.row_low),
            bounds=np.stack([self.low, self.high], axis=1),
            method="highs-ds",
            options={"time_limit": max(seconds, 0.01)},
        )
        return [] if found.status else np.flatnonzero(np.abs(found.ineqlin.marginals) > 1e-9).tolist()

    def _matrix(self) -> csr_array:
        return csr_array((self._factors, self._columns, self._starts), shape=(len(self.row_low), len(self.low)))
