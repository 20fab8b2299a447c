"""Small sorts and small systems of equations inside kernels, in place and by plain loops.

numpy's own functions do the same, but each is compiled anew into the kernel that calls it, which
takes longer than all that a first look at an exposure computes.
"""

from __future__ import annotations

from tsoxr.kernels.compiling import part

__all__ = ["median_of_few", "median_of_many", "solve_in_place", "sort_few"]


@part()
def sort_few(values, n):  # noqa: ANN001, ANN201 -- numba infers the types
    """Sort ``values[:n]``, up to some hundreds that are not NaN, in place.

    Shell's sort with the gaps of Ciura (2001, LNCS 2138, 106).
    """
    for gap in (301, 132, 57, 23, 10, 4, 1):
        for i in range(gap, n):
            v, j = values[i], i
            while j >= gap and values[j - gap] > v:
                values[j] = values[j - gap]
                j -= gap
            values[j] = v


@part()
def median_of_few(values, n):  # noqa: ANN001, ANN201 -- numba infers the types
    """Return the median of ``values[:n]``, which are sorted in place; at least one, none NaN."""
    sort_few(values, n)
    return 0.5 * (values[(n - 1) // 2] + values[n // 2])


@part()
def solve_in_place(matrix, right, n):  # noqa: ANN001, ANN201 -- numba infers the types
    """Solve a symmetric positive definite system of ``n`` equations; the solution replaces ``right``.

    Elimination without exchange of rows, which such a matrix does not need; ``matrix`` is overwritten.
    """
    for j in range(n):
        for i in range(j + 1, n):
            factor = matrix[i, j] / matrix[j, j]
            for k in range(j + 1, n):
                matrix[i, k] -= factor * matrix[j, k]
            right[i] -= factor * right[j]
    for j in range(n - 1, -1, -1):
        for k in range(j + 1, n):
            right[j] -= matrix[j, k] * right[k]
        right[j] /= matrix[j, j]


@part()
def median_of_many(values, n):  # noqa: ANN001, ANN201 -- numba infers the types
    """Return the median of ``values[:n]``, at least one, which change places (Hoare's selection)."""
    middle, low, high = n // 2, 0, n - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if middle <= j:
            high = j
        elif middle >= i:
            low = i
        else:
            break
    if n % 2 == 1:
        return values[middle]
    below = values[0]
    for i in range(1, middle):
        below = max(below, values[i])
    return 0.5 * (below + values[middle])
