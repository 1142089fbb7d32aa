"""What each stage does. Trainers, generators, judges and metrics are imported inside the functions that use them."""

from harness.stages.making import make, units
from harness.stages.workshop import Workshop

__all__ = ["Workshop", "make", "units"]
