"""The programs that make the published studies under `reports/`."""
