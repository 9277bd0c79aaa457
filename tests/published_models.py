"""Published models, loaded once per test process. A test must not change them."""

from functools import cache

from ml.inference.pipeline.analyzer import Analyzer
from ml.paths import MODEL_STORE


@cache
def published_analyzer(bundle: str = "default") -> Analyzer:
    """Return an analyzer with a published bundle, on the CPU."""
    return Analyzer.load(MODEL_STORE, bundle, device="cpu")
