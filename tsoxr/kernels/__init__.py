"""Arithmetic on arrays: numpy and numba in, numpy out; no labels, no files, no plots."""
