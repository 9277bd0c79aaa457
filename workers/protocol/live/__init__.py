"""Messages and Redis streams of live analysis."""
