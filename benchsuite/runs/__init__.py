"""Suite, plan, isolated worker, record."""
