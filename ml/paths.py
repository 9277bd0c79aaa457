"""Paths inside a checkout."""

from pathlib import Path

MODEL_STORE = Path(__file__).parent.parent / "model_store"
"""Folder of the trained models."""
