"""Where things lie in a checkout."""

from pathlib import Path

MODEL_STORE = Path(__file__).parent.parent / "model_store"
