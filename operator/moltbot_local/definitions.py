"""The generated CRDs: in an installed wheel beside this module, in a checkout in `crds/`."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from .manifests import ManifestError, read_manifests
from .resources import Object


def crd_directory() -> Path:
    """Raises ManifestError when there is none, which is a broken installation."""
    for directory in (Path(str(files("moltbot_local"))) / "crds", Path(__file__).parents[2] / "crds"):
        if directory.is_dir():
            return directory
    raise ManifestError("the definitions of moltbot.dev are not installed: install moltbot-operator again")


def crd_manifests() -> Sequence[Object]:
    return read_manifests(sorted(crd_directory().glob("*.yaml")))
