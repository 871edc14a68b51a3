"""Small linear algebra on lists: a dozen features need no library, and plain Python gives the same bits anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the sum of products."""
    return sum(x * y for x, y in zip(a, b, strict=True))


def cholesky(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return the lower triangular factor of a symmetric matrix; a direction without any variance gets none."""
    size = len(matrix)
    factor = [[0.0] * size for _ in range(size)]
    for i in range(size):
        row = factor[i]
        for j in range(i + 1):
            rest = matrix[i][j] - sum(row[k] * factor[j][k] for k in range(j))
            if i == j:
                row[i] = sqrt(rest) if rest > 0 else 0.0
            else:
                row[j] = rest / factor[j][j] if factor[j][j] else 0.0
    return factor


def forward(factor: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Return x of factor · x = right."""
    x: list[float] = []
    for i, row in enumerate(factor):
        x.append((right[i] - sum(row[k] * x[k] for k in range(i))) / row[i])
    return x


def solve(factor: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Return x of factor · factorᵀ · x = right."""
    size = len(factor)
    x = forward(factor, right)
    for i in reversed(range(size)):
        x[i] = (x[i] - sum(factor[k][i] * x[k] for k in range(i + 1, size))) / factor[i][i]
    return x
