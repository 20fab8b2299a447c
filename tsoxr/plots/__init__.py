"""Plots of the products; a step's own plot lies beside the step."""
