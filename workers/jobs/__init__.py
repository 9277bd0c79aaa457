"""Running one job: attempts, analysis, parts, artifacts, failures."""
