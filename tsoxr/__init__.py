"""Labelled, streaming analysis of JWST time-series observations in the notebook."""

__version__ = "0.1.0"
