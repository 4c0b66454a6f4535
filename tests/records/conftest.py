"""Fixtures of tests that read runs."""

from support.runs import edit, quick, small

__all__ = ["edit", "quick", "small"]
