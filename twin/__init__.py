"""A digital twin of orbital AI-compute constellations.

``import twin; data = twin.run("scs01")`` simulates a scenario and returns an xarray dataset.
Importing `twin` loads nothing heavy and changes nothing in the process; names are looked up when
first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twin.flight import run

__all__ = ["run"]


def __getattr__(name: str) -> Any:
    if name == "run":
        from twin.flight import run

        return run
    raise AttributeError(f"module 'twin' has no attribute {name!r}")
