"""Loading and serving model bundles inside a worker."""
