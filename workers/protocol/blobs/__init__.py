"""Files shared by gateway and workers."""
