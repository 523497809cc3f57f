"""One person's private context never reaches another."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moltbot_gateway.methods.context import canonical_key
from moltbot_gateway.workspace import scopes
from moltbot_gateway.workspace.prompt import PromptFile, PromptInput, build_system_prompt
from moltbot_gateway.workspace.scopes import DmScope, Kind, Person
from moltbot_protocol.hello import MAIN_SESSION

CHANNELS = st.sampled_from(["telegram", "discord", "slack"])
# Ids as hostile as they come: parts of keys, upper and lower case, percent signs, nothing at all.
IDS = st.one_of(
    st.sampled_from(["1", "U1", "u1", "%55", "main", "direct", "group", "a:b", "", "%", "~", "1:direct:2", "İ", "x" * 200, "x" * 201]),
    st.text(max_size=120),
)
PEOPLE = st.builds(Person, CHANNELS, IDS)
OWNERS = st.frozensets(PEOPLE, max_size=3)
SCOPES = st.sampled_from(DmScope)
ACCOUNTS = st.sampled_from(["", "main", "bot2", "group", "direct", "Bot2"])


@given(SCOPES, SCOPES, PEOPLE, PEOPLE, ACCOUNTS, ACCOUNTS, OWNERS)
def test_two_people_share_a_conversation_only_as_the_one_owner(
    scope: DmScope, other_scope: DmScope, one: Person, two: Person, account: str, other_account: str, owners: frozenset[Person]
) -> None:
    """Also when the scope was changed in between: what one said under one scope is not found by another under the next."""
    mine, theirs = scopes.direct_key(scope, one, account, owners), scopes.direct_key(other_scope, two, other_account, owners)
    if mine == theirs and one != two:
        assert mine == MAIN_SESSION
        assert {one, two} <= owners
    if one not in owners:
        assert mine != MAIN_SESSION


@given(SCOPES, PEOPLE, ACCOUNTS, OWNERS)
def test_private_is_exactly_what_comes_from_the_owner(scope: DmScope, person: Person, account: str, owners: frozenset[Person]) -> None:
    key = scopes.direct_key(scope, person, account, owners)
    assert scopes.is_private(key, owners) == (person in owners)
    assert scopes.kind_of(key) is (Kind.MAIN if key == MAIN_SESSION else Kind.DIRECT)


@given(PEOPLE, SCOPES, ACCOUNTS, CHANNELS, IDS, IDS, OWNERS)
def test_groups_jobs_and_subagents_are_never_private_nor_somebodys(
    person: Person, scope: DmScope, account: str, channel: str, group: str, other: str, owners: frozenset[Person]
) -> None:
    direct = scopes.direct_key(scope, person, account, owners)
    for key, kind in (
        (scopes.group_key(channel, group), Kind.GROUP),
        (scopes.cron_key(group), Kind.CRON),
        (scopes.subagent_key(group), Kind.SUBAGENT),
    ):
        assert scopes.kind_of(key) is kind
        assert not scopes.is_private(key, owners)
        assert key != direct
    assert (scopes.group_key(channel, group) == scopes.group_key(channel, other)) == (group == other)


@given(SCOPES, PEOPLE, ACCOUNTS, OWNERS, IDS)
def test_every_key_is_one_that_the_protocol_takes_unchanged(
    scope: DmScope, person: Person, account: str, owners: frozenset[Person], name: str
) -> None:
    keys = [scopes.direct_key(scope, person, account, owners), scopes.group_key(person.channel, name), scopes.cron_key(name)]
    for key in (*keys, scopes.subagent_key(name)):
        assert canonical_key(key) == key
        assert re.fullmatch(r"[a-z0-9._@+%~:-]+", key)


@given(st.text(max_size=200), OWNERS)
def test_no_key_at_all_makes_it_fail(key: str, owners: frozenset[Person]) -> None:
    assert scopes.kind_of(key) in Kind
    assert scopes.is_private(key, owners) in (True, False)


@pytest.mark.parametrize(
    ("key", "kind", "private"),
    [
        ("agent:main:main", Kind.MAIN, True),
        ("agent:main:trip to rome", Kind.DIRECT, True),
        ("agent:main:dashboard:6f1c", Kind.DIRECT, True),
        ("agent:main:telegram:dm:5", Kind.DIRECT, True),
        ("agent:main:telegram:dm:6", Kind.DIRECT, False),
        ("agent:main:discord:dm:5", Kind.DIRECT, False),
        ("agent:main:direct:5", Kind.DIRECT, False),
        ("agent:main:slack:work:direct:5", Kind.DIRECT, False),
        ("agent:main:telegram:group:-100:topic:4", Kind.GROUP, False),
        ("agent:main:discord:channel:77", Kind.GROUP, False),
        ("agent:main:cron:brief:run:7", Kind.CRON, False),
        ("agent:main:hook:mail", Kind.CRON, False),
        ("agent:main:subagent:6f1c", Kind.SUBAGENT, False),
        ("agent:other:x", Kind.DIRECT, False),
    ],
)
def test_kinds_as_official_clients_write_them(key: str, kind: Kind, private: bool) -> None:
    assert (scopes.kind_of(key), scopes.is_private(key, {Person("telegram", "5")})) == (kind, private)


@pytest.mark.parametrize("channel", ["", "cron", "subagent", "direct", "group", "main", "Telegram", "a:b", "webchat"])
def test_a_channel_is_not_called_as_a_word_of_the_keys(channel: str) -> None:
    with pytest.raises(ValueError, match="channel"):
        scopes.group_key(channel, "1")


@given(SCOPES, PEOPLE, ACCOUNTS, OWNERS, CHANNELS, st.booleans(), st.sampled_from(["direct", "group", "cron", "subagent"]))
def test_no_prompt_but_the_owners_has_a_byte_of_what_is_known_of_the_owner(
    scope: DmScope, person: Person, account: str, owners: frozenset[Person], channel: str, heartbeat: bool, what: str
) -> None:
    keys = {
        "direct": scopes.direct_key(scope, person, account, owners),
        "group": scopes.group_key(channel, person.id),
        "cron": scopes.cron_key(person.id),
        "subagent": scopes.subagent_key(person.id),
    }
    private = scopes.is_private(keys[what], owners)
    secret = ("USER.md", "MEMORY.md", "memory/2026-11-24.md", "memory/old.md")
    files = tuple(PromptFile(path, f"§{path}§") for path in (*secret, "SOUL.md"))
    prompt = "\n".join(build_system_prompt(PromptInput("ada", private, heartbeat, (), files)))
    assert "§SOUL.md§" in prompt
    assert all((f"§{path}§" in prompt) == private for path in secret)
    assert private == (what == "direct" and person in owners)
