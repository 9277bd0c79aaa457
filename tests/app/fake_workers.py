"""Workers that exist in the registry only: the test acts in their place."""

from ml.vocabulary import EMOTIONS
from workers.protocol.records import Heartbeat, ModelLicence, ServedModel

FACE = ServedModel(
    role="face",
    name="face",
    version=3,
    labels=EMOTIONS,
    metrics={"fer2013": {"accuracy": 0.65}},
    licence=ModelLicence(name="CC BY-NC 4.0", commercial=False, note="as the data"),
)


def worker(name: str, *models: ServedModel, loaded: bool = True) -> Heartbeat:
    return Heartbeat(worker=name, bundle="default", digest="0" * 64, models=models, loaded=loaded)
