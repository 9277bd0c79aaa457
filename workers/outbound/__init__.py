"""Connections that a worker opens: downloads and webhooks."""
