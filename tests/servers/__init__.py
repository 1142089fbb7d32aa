"""Servers on loopback that the tests speak to."""
