"""Address checks for outbound connections."""
