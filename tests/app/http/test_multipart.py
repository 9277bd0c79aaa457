import pytest

from app.errors import ValidationFailed
from app.http.multipart import parse_boundary
from tests.app.multipart import BOUNDARY, CONTENT_TYPE


def test_parse_boundary_reads_content_type() -> None:
    assert parse_boundary(CONTENT_TYPE) == BOUNDARY


@pytest.mark.parametrize("header", [None, "", "application/json", "multipart/form-data", "text/plain; boundary=x"])
def test_parse_boundary_missing_is_rejected(header: str | None) -> None:
    with pytest.raises(ValidationFailed):
        parse_boundary(header)
