"""The front matter of skills as they are in the wild, and as nobody should write them."""

from __future__ import annotations

import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from moltbot_gateway.workspace.frontmatter import MAX_FRONT, FrontMatterError, split_front_matter

GITHUB = """---
name: github
description: "Interact with GitHub: issues, PRs and `gh api`."
metadata: {"clawdbot":{"emoji":"🐙","requires":{"bins":["gh"],"env":["GITHUB_TOKEN"]},"os":["linux","darwin"]}}
---
# GitHub
"""


@pytest.mark.parametrize(
    ("front", "said"),
    [
        ("name: a\ndescription: b", {"name": "a", "description": "b"}),
        ("description: Use when: it rains, or # it snows", {"description": "Use when: it rains, or"}),
        ("description: 'it''s'\nhomepage: https://example.org/#top", {"description": "it's", "homepage": "https://example.org/#top"}),
        ('a: "x\\ny"\nb: true\nc: false\nd:', {"a": "x\ny", "b": True, "c": False, "d": ""}),
        ("description: >\n  folded over\n  two lines\nname: x", {"description": "folded over two lines", "name": "x"}),
        ("description: |\n  one\n    two\n\n  three\nname: x", {"description": "one\n  two\n\nthree", "name": "x"}),
        (
            'requires:\n  bins: [curl, jq]\n  env:\n    - A_KEY\n    - "B"\nalways: true',
            {"requires": {"bins": ["curl", "jq"], "env": ["A_KEY", "B"]}, "always": True},
        ),
        ("bins:\n- a\n- b\nname: x", {"bins": ["a", "b"], "name": "x"}),
        (
            'metadata:\n  {\n    "openclaw": {\n      "requires": {"bins": ["a",],},\n    },\n  }\nname: x',
            {"metadata": {"openclaw": {"requires": {"bins": ["a"]}}}, "name": "x"},
        ),
        ('metadata: {\n  "a": 1\n}\nname: x', {"metadata": {"a": 1}, "name": "x"}),
        ("# a comment\n\nname: x  # why\n", {"name": "x"}),
        ("user-invocable: false\ndisable-model-invocation: True", {"user-invocable": False, "disable-model-invocation": True}),
        ("requires:\n\tbins: [a]", {"requires": {"bins": ["a"]}}),
        ("name: a\nname: b", {"name": "b"}),
        ("list: []\nmap: {}", {"list": [], "map": {}}),
    ],
)
def test_what_skills_write_is_understood(front: str, said: dict[str, object]) -> None:
    assert split_front_matter(f"---\n{front}\n---\nbody") == (said, "body")


def test_a_whole_skill_of_another_runtime() -> None:
    front, body = split_front_matter(GITHUB.replace("\n", "\r\n"))
    assert front["metadata"] == {
        "clawdbot": {"emoji": "🐙", "requires": {"bins": ["gh"], "env": ["GITHUB_TOKEN"]}, "os": ["linux", "darwin"]}
    }
    assert body == "# GitHub\n"
    assert split_front_matter("# no front matter\n---\n") == ({}, "# no front matter\n---\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("---\nname: a\n", "no --- at its end"),
        ("---\n<<<\n---\n", "line 2"),
        ("---\nname: a\n    b: c\n---\n", "line 3"),
        ('---\nmetadata: {"a": \n---\n', "no JSON"),
        ("---\na: &x [*x]\n---\n", ""),
        ("---\n" + "".join(f"{'  ' * depth}k:\n" for depth in range(20)) + "---\n", "deep"),
        ("---\na: " + "x" * (MAX_FRONT + 1) + "\n---\n", "more than"),
    ],
)
def test_what_is_not_understood_is_told_by_its_line(text: str, words: str) -> None:
    if not words:
        assert split_front_matter(text)[0] == {"a": "&x [*x]"}  # an anchor is text, and grows into nothing
        return
    with pytest.raises(FrontMatterError, match=words):
        split_front_matter(text)


@given(st.text(alphabet=st.sampled_from("ab:-|>{}[]\"',# \t\n&*!\\"), max_size=400))
def test_no_text_makes_it_fail_otherwise(text: str) -> None:
    try:
        front, _ = split_front_matter(f"---\n{text}\n---\n")
    except FrontMatterError:
        return
    assert isinstance(front, dict)


@pytest.mark.parametrize("text", ["a: {" + "\n[" * 7000, "a: " + "[" * 15000, "a:\n" + "- {\n" * 4000, "a: {" + ",\n" * 7000, "a" * 15000])
def test_no_text_keeps_it_busy(text: str) -> None:
    began = time.process_time()
    with pytest.raises(FrontMatterError):
        split_front_matter(f"---\n{text}\n---\n")
    assert time.process_time() - began < 1.0


PLAIN = st.text(alphabet="abcxyz019 .,()/_+", min_size=1, max_size=30).map(str.strip).filter(lambda text: bool(text) and text[0].isalpha())
VALUES = st.recursive(
    PLAIN.filter(lambda text: text.lower() not in ("y", "n", "yes", "no", "on", "off")),
    lambda inner: (
        st.lists(PLAIN, min_size=1, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=5), inner, min_size=1, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=6), VALUES, min_size=1, max_size=4), st.booleans())
def test_what_a_yaml_library_writes_is_read_as_it_was_meant(value: dict[str, object], flow: bool) -> None:
    text = yaml.safe_dump(value, default_flow_style=None if flow else False, width=10_000)
    if flow and "{" in text:
        return  # maps in braces without quotes are not known here
    assert split_front_matter(f"---\n{text}---\n")[0] == value
