"""Data sets: known names, formats, splits, audit."""
