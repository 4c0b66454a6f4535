"""What the machine is: its fingerprint."""
