"""The default model is the newest balanced Claude that the pinned SDK names."""

from __future__ import annotations

import re
from typing import get_args

from moltbot_protocol.models import DEFAULT_MODEL


def test_the_default_is_the_newest_sonnet_of_the_pinned_sdk() -> None:
    from anthropic.types import ModelParam

    names = [name for arm in get_args(ModelParam) for name in get_args(arm)]
    versions = {}
    for name in names:
        if match := re.fullmatch(r"claude-sonnet-(\d+)(?:-(\d{1,2}))?", name):
            versions[int(match[1]), int(match[2] or 0)] = name
    assert versions, "the SDK names its models in another way now: mend this test"
    assert versions[max(versions)] == DEFAULT_MODEL
