"""Small made-up runs, written once."""

import pytest
import synthetic


@pytest.fixture(scope="session")
def twelve(tmp_path_factory):
    """Twelve in one orbit, six of them close together, two hours."""
    path = tmp_path_factory.mktemp("twelve")
    return synthetic.make_run(
        path, synthetic.train(), start="2025-10-04T00:00:00Z", title="Twelve made up", hours=4
    )


@pytest.fixture(scope="session")
def many(tmp_path_factory):
    """Two hundred and forty in three shells."""
    path = tmp_path_factory.mktemp("many")
    return synthetic.make_run(path, synthetic.shells(240), step=300.0, title="Shells made up")
