import pytest

from vectorplug.maxsim import choosing


@pytest.fixture(scope="module")
def kernels_of_any_size():
    """Every kernel of a path scores, however few the queries: else AMX has float16 documents for many only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choosing, "PIECES_FROM", 1)
        yield
