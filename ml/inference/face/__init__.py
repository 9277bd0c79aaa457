"""Faces: detection, reading, tracking."""
