"""Names, values and action units of the face movements."""

import json

import pytest
from pydantic import BaseModel, ValidationError

from ml.movements import ACTION_UNITS, MOVEMENTS, MovementValues, action_units, camel_case, mirrored, without_side


class Holder(BaseModel):
    movements: MovementValues


def test_movements_are_52_distinct_names() -> None:
    assert len(set(MOVEMENTS)) == len(MOVEMENTS) == 52


@pytest.mark.parametrize("name", MOVEMENTS)
def test_mirrored_twice_is_the_movement_itself(name: str) -> None:
    assert mirrored(name) in MOVEMENTS
    assert mirrored(mirrored(name)) == name


def test_action_units_are_of_known_movements() -> None:
    assert set(ACTION_UNITS) <= {without_side(name) for name in MOVEMENTS}


def test_action_units_are_the_mean_of_both_sides() -> None:
    units = action_units({"mouth_smile_left": 0.2, "mouth_smile_right": 0.6, "jaw_left": 1.0})
    assert units == {"AU12": pytest.approx(0.4)}


def test_camel_case_is_arkits_name() -> None:
    assert [camel_case(name) for name in ("neutral", "mouth_smile_left")] == ["neutral", "mouthSmileLeft"]


def test_values_keep_three_decimals_in_json() -> None:
    values = MovementValues.from_values([index / 51 for index in range(52)])
    document = json.loads(Holder(movements=values).model_dump_json())["movements"]
    assert document["neutral"] == 0 and document["nose_sneer_right"] == 1 and document["brow_down_left"] == 0.02
    assert Holder.model_validate({"movements": document}).movements.by_name() == document


def test_values_of_an_object_with_unknown_names_are_those_that_are_known() -> None:
    values = Holder.model_validate({"movements": {"jaw_open": 0.5, "tongue_out": 1}}).movements.by_name()
    assert values["jaw_open"] == 0.5 and sum(values.values()) == 0.5


def test_values_above_one_are_refused() -> None:
    with pytest.raises(ValidationError):
        Holder.model_validate_json('{"movements": {"jaw_open": 1.5}}')
