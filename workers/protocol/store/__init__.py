"""Job state in Redis."""
