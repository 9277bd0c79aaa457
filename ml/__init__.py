"""Analysis of media, and everything that needs models.

Every process of the project imports this package before any library that could send usage data. The libraries read
these variables when they are imported, and then send none.
"""

import os

TELEMETRY_OPT_OUTS = {
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime; otherwise it contacts its vendor ten seconds after a model is loaded
    "HF_HUB_DISABLE_TELEMETRY": "1",  # huggingface_hub, transformers
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "DO_NOT_TRACK": "1",  # the convention of several other tools
}
"""Environment variables that disable usage data and update checks of libraries."""

os.environ.update(TELEMETRY_OPT_OUTS)
