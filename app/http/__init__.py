"""HTTP mechanics of the gateway: bodies, ranges, negotiation, limits, security, metrics."""
