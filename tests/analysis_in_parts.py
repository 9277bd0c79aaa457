"""Analysis of a recording in parts, as several workers do it, and what of the results has to be alike."""

from pathlib import Path
from typing import Any

from ml.inference.pipeline import features_file
from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.pipeline.context import AnalysisContext
from ml.inference.pipeline.decoded_audio import DecodedAudio
from ml.inference.pipeline.plan import AnalysisPlan, RecordingPlan
from ml.inference.runtime.progress import ASSEMBLE_STAGES, EXTRACT_STAGES
from ml.results import Options, Result


def document(result: Result) -> dict[str, Any]:
    return result.model_dump(exclude={"timings"})


def analyze_in_parts(
    analyzer: Analyzer, path: Path, options: Options, folder: Path, save_to: Path | None = None
) -> Result:
    """Analyze as several workers would: each has the stored plan and copies of the audio; the last part comes first."""
    context = AnalysisContext(scratch=folder, save_to=save_to)
    planned = analyzer.plan(path, options, context)
    assert planned.can_split
    stored = planned.in_parts_of(60.0).recording.to_json()
    copies = DecodedAudio(folder / "mix", folder / "channels")
    for source, target in ((planned.audio.mix, copies.mix), (planned.audio.channels, copies.channels)):
        if source.exists():
            source.rename(target)
    plan = AnalysisPlan(path, options, copies, RecordingPlan.from_json(stored))
    assert len(plan.parts) > 1
    files = [folder / f"part-{number}" for number in range(len(plan.parts))]
    for part, file in reversed(list(zip(plan.parts, files, strict=True))):
        features = analyzer.extract(plan, part, context=AnalysisContext(scratch=folder, stages=EXTRACT_STAGES))
        features_file.save(file, plan.recording, features)
    context = AnalysisContext(scratch=folder, save_to=save_to, stages=ASSEMBLE_STAGES)
    return analyzer.assemble(plan, features_file.load_parts(files), context)
