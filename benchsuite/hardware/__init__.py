"""Describe the machine: its fingerprint."""
