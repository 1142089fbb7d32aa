"""Regression checks: a committed baseline, a candidate, and whether the second is worse."""
