"""Where the data of a claim lives. The claim controller makes and removes these directories, the kubelet gives them to pods."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

# The class that a claim gets when it names none, and the only one there is.
CLASS = "standard"


def claim_directory(data: Path, claim: Mapping[str, Any]) -> Path:
    """Namespace and name for people, the uid so that a new claim of an old name never finds the old data."""
    meta = claim["metadata"]
    return data / "claims" / f"{meta['namespace']}_{meta['name']}_{meta['uid']}"
