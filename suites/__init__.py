"""The suites that come with benchsuite, one YAML file each."""
