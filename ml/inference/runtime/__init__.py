"""Running networks: sessions, batching, devices, background stages, progress."""
