import pytest

from exercises._grader import in_pytest


@pytest.mark.parametrize("name", in_pytest.tests_of(__file__))
def test_exercise(name: str) -> None:
    in_pytest.run(__file__, name)
