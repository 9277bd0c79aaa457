"""Published models, loaded once per test process. A test must not change them."""

from functools import cache

from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.pipeline.bundle import published
from ml.paths import MODEL_STORE
from ml.registry import ModelStore


@cache
def published_analyzer(bundle: str = "default") -> Analyzer:
    """Return an analyzer with a published bundle, on the CPU, and with the smallest speech model."""
    return Analyzer.load(MODEL_STORE, published(ModelStore(MODEL_STORE), bundle, "tiny.en"), device="cpu")
