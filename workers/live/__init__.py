"""Live streams, worker side."""
