"""Evaluation of who is who: conversations and films that are composed of single recordings, and error rates."""
