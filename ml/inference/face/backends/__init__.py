"""Implementations of face detection and mesh."""
