from pathlib import Path

import numpy as np
import pytest

from ml.media import PcmReader


@pytest.mark.parametrize("channels", [1, 3])
def test_pcm_reader_reads_each_channel_in_slices(tmp_path: Path, channels: int) -> None:
    samples = np.random.default_rng(0).integers(-32768, 32767, (1000, channels)).astype(np.int16)
    path = tmp_path / "sound"
    path.write_bytes(samples.tobytes() + b"\x01")  # a last sample that is cut
    for channel in range(channels):
        with PcmReader(path, channels, channel) as pcm:
            assert len(pcm) == 1000 and pcm.dtype == np.int16
            for part in (slice(0, 1000), slice(10, 20), slice(990, 2000), slice(5, 5), slice(2000, 3000), slice(None)):
                assert np.array_equal(pcm[part], samples[part, channel])
