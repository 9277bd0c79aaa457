"""Use cases of the gateway, free of HTTP."""
