"""Names of the face movements, their FACS action units, and what else is measured of a face.

The names are those of the 52 blend shapes of mediapipe's face landmarker (ARKit's without the tongue, and `neutral`) in
snake case. Left and right are those of the person. Values are what a network says, 0 to 1: not intensities of action
units, for which no labelled data were at hand.
"""

import struct
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from ml.options import FrozenModel

MOVEMENTS: Final = (
    "neutral",
    "brow_down_left",
    "brow_down_right",
    "brow_inner_up",
    "brow_outer_up_left",
    "brow_outer_up_right",
    "cheek_puff",
    "cheek_squint_left",
    "cheek_squint_right",
    "eye_blink_left",
    "eye_blink_right",
    "eye_look_down_left",
    "eye_look_down_right",
    "eye_look_in_left",
    "eye_look_in_right",
    "eye_look_out_left",
    "eye_look_out_right",
    "eye_look_up_left",
    "eye_look_up_right",
    "eye_squint_left",
    "eye_squint_right",
    "eye_wide_left",
    "eye_wide_right",
    "jaw_forward",
    "jaw_left",
    "jaw_open",
    "jaw_right",
    "mouth_close",
    "mouth_dimple_left",
    "mouth_dimple_right",
    "mouth_frown_left",
    "mouth_frown_right",
    "mouth_funnel",
    "mouth_left",
    "mouth_lower_down_left",
    "mouth_lower_down_right",
    "mouth_press_left",
    "mouth_press_right",
    "mouth_pucker",
    "mouth_right",
    "mouth_roll_lower",
    "mouth_roll_upper",
    "mouth_shrug_lower",
    "mouth_shrug_upper",
    "mouth_smile_left",
    "mouth_smile_right",
    "mouth_stretch_left",
    "mouth_stretch_right",
    "mouth_upper_up_left",
    "mouth_upper_up_right",
    "nose_sneer_left",
    "nose_sneer_right",
)

ACTION_UNITS: Final[Mapping[str, str]] = {
    "brow_inner_up": "AU01",
    "brow_outer_up": "AU02",
    "brow_down": "AU04",
    "eye_wide": "AU05",
    "cheek_squint": "AU06",
    "eye_squint": "AU07",
    "nose_sneer": "AU09",
    "mouth_upper_up": "AU10",
    "mouth_smile": "AU12",
    "mouth_dimple": "AU14",
    "mouth_frown": "AU15",
    "mouth_lower_down": "AU16",
    "mouth_shrug_lower": "AU17",
    "mouth_pucker": "AU18",
    "mouth_stretch": "AU20",
    "mouth_funnel": "AU22",
    "mouth_press": "AU24",
    "jaw_open": "AU26",
    "mouth_roll_lower": "AU28",
    "eye_blink": "AU45",
}
"""FACS action unit of each movement that has one, without its side.

Source: Melinda Ozel, ARKit to FACS cheat sheet (melindaozel.com/arkit-to-facs-cheat-sheet). Movements that it
describes by several units or by none are left out.
"""

_SIDES = ("_left", "_right")


def without_side(movement: str) -> str:
    """Return the name of a movement without the side of the face."""
    return movement.removesuffix("_left").removesuffix("_right")


def mirrored(movement: str) -> str:
    """Return the name of the movement that the mirror image shows."""
    left, right = _SIDES
    if movement.endswith(left):
        return movement.removesuffix(left) + right
    return movement.removesuffix(right) + left if movement.endswith(right) else movement


def action_units(movements: Mapping[str, float]) -> dict[str, float]:
    """Return a value for each action unit of `ACTION_UNITS`: the mean of its two sides."""
    sides: dict[str, list[float]] = {}
    for name, value in movements.items():
        if unit := ACTION_UNITS.get(without_side(name)):
            sides.setdefault(unit, []).append(value)
    return {unit: sum(values) / len(values) for unit, values in sorted(sides.items())}


def camel_case(movement: str) -> str:
    """Return the name as ARKit, mediapipe and py-feat write it: `mouthSmileLeft`."""
    first, *others = movement.split("_")
    return first + "".join(word.capitalize() for word in others)


@dataclass(frozen=True, slots=True)
class MovementValues:
    """Value of each movement; in JSON an object of MOVEMENTS and numbers 0 to 1, with three decimals.

    `packed`: the values as float32. A dict would take twenty times the memory.
    """

    packed: bytes

    @classmethod
    def from_values(cls, values: Iterable[float]) -> Self:
        """Return the values in the order of MOVEMENTS."""
        return cls(array("f", values).tobytes())

    @classmethod
    def from_names(cls, values: Mapping[str, float]) -> Self:
        """Return the values of an object of names. A name that is missing is 0; unknown ones are dropped."""
        return cls.from_values(values.get(name, 0.0) for name in MOVEMENTS)

    def by_name(self) -> dict[str, float]:
        numbers = struct.unpack(f"{len(MOVEMENTS)}f", self.packed)
        return {name: round(number, 3) for name, number in zip(MOVEMENTS, numbers, strict=True)}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        values = core_schema.dict_schema(core_schema.str_schema(), core_schema.float_schema(ge=0, le=1))
        read = core_schema.no_info_after_validator_function(cls.from_names, values)
        return core_schema.json_or_python_schema(
            json_schema=read,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), read]),
            serialization=core_schema.plain_serializer_function_ser_schema(cls.by_name, return_schema=values),
        )


class HeadPose(FrozenModel):
    """Turn of a head, in degrees; all are 0 for one that faces the camera."""

    yaw: float = Field(description="To the person's left, which is the right of the picture.")
    pitch: float = Field(description="Upwards.")
    roll: float = Field(description="Leaning clockwise, as seen in the picture.")


class Gaze(FrozenModel):
    """Direction of the gaze, in degrees from the camera, both eyes together."""

    yaw: float = Field(description="To the person's left, which is the right of the picture.")
    pitch: float = Field(description="Upwards.")


class EyesOpen(FrozenModel):
    """How far each eye is open: 1 less the movement of its lids, 0 to 1."""

    left: float = Field(ge=0, le=1)
    right: float = Field(ge=0, le=1)
