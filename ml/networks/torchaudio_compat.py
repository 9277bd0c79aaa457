"""torchaudio's transforms with a CPU build of torch.

The torchaudio 2.11 wheel loads a library that is linked against CUDA when it is imported; `torchaudio.transforms` are
pure PyTorch and do not need it. This module replaces the extension module by a stand-in before the first import. Import
it before torchaudio, and before transformers, which imports torchaudio if it is installed.
"""

import sys
from types import ModuleType

import torch

if torch.version.cuda is None and "torchaudio" not in sys.modules:
    _extension = ModuleType("torchaudio._extension")
    _extension.__dict__.update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_RIR_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        lazy_import_sox_ext=lambda: None,
        fail_if_no_align=lambda function: function,
    )
    sys.modules["torchaudio._extension"] = _extension

import torchaudio.compliance.kaldi
import torchaudio.functional
import torchaudio.transforms

functional = torchaudio.functional
kaldi = torchaudio.compliance.kaldi
transforms = torchaudio.transforms
