"""Rule 8: the one pure function, by its table of named cases, and by what must hold in every case."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moltbot_state.choice import (
    NO_BUCKET,
    NOT_ASKED,
    AskBucket,
    Bucket,
    BucketFailed,
    Choice,
    ChoiceKind,
    Earlier,
    Facts,
    HeadFound,
    Local,
    LocalKind,
    NoSnapshot,
    RestoreIntent,
    RestoreKind,
    Storage,
    decide_state,
)
from moltbot_state.lineage import Mark

ABSENT = Local(LocalKind.ABSENT)
SUPPORTED = 3


def a(sequence: int) -> Mark:
    return Mark("lineage-a", sequence)


def b(sequence: int) -> Mark:
    return Mark("lineage-b", sequence)


def on_volume(mark: Mark, database: int = 1) -> Local:
    return Local(LocalKind.PRESENT, mark, database)


def gone(mark: Mark) -> Local:
    return Local(LocalKind.GONE, mark)


BROKEN = Local(LocalKind.UNREADABLE, detail="state.json is not JSON")
UNREACHABLE = BucketFailed("BucketUnreachable", "cannot reach it")
MISSING_BUCKET = BucketFailed("BucketMissing", "make it")
SNAPSHOT_ASKED = RestoreIntent(RestoreKind.SNAPSHOT, "key-1", "00000004-aaaaaaaaaaaa")
EMPTY_ASKED = RestoreIntent(RestoreKind.EMPTY, "key-1")
AS_FOUND_ASKED = RestoreIntent(RestoreKind.AS_FOUND, "key-1")


@dataclass(frozen=True)
class Case:
    name: str
    expected: str  # kind, or kind/Reason, or "ask"
    local: Local = ABSENT
    bucket: Bucket = NOT_ASKED
    recorded: Mark | None = None
    storage: Storage = Storage.VOLUME
    lose: bool = False
    restore: RestoreIntent | None = None
    earlier: Earlier | None = None
    lineage: str | None = None

    @property
    def facts(self) -> Facts:
        return Facts(self.local, self.bucket, self.recorded, self.storage, self.lose, SUPPORTED, self.restore, self.earlier)


EPHEMERAL = Storage.EPHEMERAL
CASES = [
    # 1: local state of the wanted lineage, without the bucket
    Case("local, nothing recorded", "local/Local", on_volume(a(4)), lineage="lineage-a"),
    Case("local is what was recorded", "local/Local", on_volume(a(4)), recorded=a(4)),
    Case("local is newer than recorded: a flush nobody asked for", "local/Local", on_volume(a(5)), recorded=a(4)),
    Case("local is kept while the bucket cannot be reached", "local/Local", on_volume(a(4)), UNREACHABLE, a(4)),
    Case("local is kept though HEAD is newer", "local/Local", on_volume(a(4)), HeadFound(a(9), 1), a(4)),
    Case("local older than recorded", "wait/StateOlderThanRecorded", on_volume(a(3)), recorded=a(4)),
    Case("local older than recorded is not replaced by HEAD", "wait/StateOlderThanRecorded", on_volume(a(3)), HeadFound(a(4), 1), a(4)),
    Case("local written by a newer program", "wait/DatabaseTooNew", on_volume(a(4), SUPPORTED + 1), recorded=a(4)),
    Case("content without a state file", "wait/StateUnreadable", BROKEN),
    Case("content without a state file is not replaced by HEAD", "wait/StateUnreadable", BROKEN, HeadFound(a(4), 1), a(4)),
    # the same pod again
    Case("the same pod again, restored before", "head/Kept", on_volume(a(4)), earlier=Earlier(ChoiceKind.HEAD, "lineage-a")),
    Case("the same pod again, before the database was made", "empty/Kept", gone(a(0)), earlier=Earlier(ChoiceKind.EMPTY, "lineage-a")),
    Case(
        "the same pod again, HEAD moved on meanwhile",
        "head/Kept",
        on_volume(a(4)),
        HeadFound(a(9), 1),
        a(9),
        earlier=Earlier(ChoiceKind.HEAD, "lineage-a"),
    ),
    Case("the same pod again, its directory wiped", "ask", ABSENT, recorded=a(4), earlier=Earlier(ChoiceKind.HEAD, "lineage-a")),
    # 2: HEAD
    Case("nothing local: the bucket is asked", "ask"),
    Case("HEAD, nothing recorded", "head/Restored", bucket=HeadFound(a(4), 1), lineage="lineage-a"),
    Case("HEAD is what was recorded", "head/Restored", bucket=HeadFound(a(4), 1), recorded=a(4)),
    Case("HEAD is newer than recorded", "head/Restored", bucket=HeadFound(a(5), 1), recorded=a(4)),
    Case("HEAD older than recorded", "wait/SnapshotOlderThanRecorded", bucket=HeadFound(a(3), 1), recorded=a(4)),
    Case("HEAD of another lineage", "wait/SnapshotOfAnotherLineage", bucket=HeadFound(b(9), 1), recorded=a(4)),
    Case("HEAD written by a newer program", "wait/DatabaseTooNew", bucket=HeadFound(a(4), SUPPORTED + 1), recorded=a(4)),
    Case("HEAD, and a directory that never held anything", "head/Restored", gone(b(0)), HeadFound(a(4), 1)),
    Case("HEAD, and content gone from the volume", "head/Restored", gone(a(4)), HeadFound(a(4), 1)),
    Case("HEAD older than the content that is gone", "wait/SnapshotOlderThanRecorded", gone(a(5)), HeadFound(a(4), 1)),
    Case("HEAD, and local of another lineage", "head/Restored", on_volume(b(2)), HeadFound(a(4), 1), a(4)),
    # failures of the bucket are never "no snapshot"
    Case("cannot reach the bucket, nothing recorded", "wait/BucketUnreachable", bucket=UNREACHABLE),
    Case("cannot reach the bucket, recorded", "wait/BucketUnreachable", bucket=UNREACHABLE, recorded=a(4)),
    Case("no such bucket, nothing recorded", "wait/BucketMissing", bucket=MISSING_BUCKET),
    Case("no such bucket, recorded", "wait/BucketMissing", bucket=MISSING_BUCKET, recorded=a(4)),
    # 4: empty
    Case("no snapshot, nothing recorded", "empty/NothingRecorded", bucket=NoSnapshot()),
    Case("no snapshot, ephemeral, nothing recorded", "empty/NothingRecorded", bucket=NoSnapshot(), storage=EPHEMERAL),
    Case("a first snapshot that was cut off records nothing", "empty/NothingRecorded", bucket=NoSnapshot(1, 1)),
    Case("manifests and no HEAD", "wait/SnapshotMissing", bucket=NoSnapshot(3, 7)),
    Case("two first manifests and no HEAD", "wait/SnapshotMissing", bucket=NoSnapshot(2, 1)),
    Case("no snapshot, recorded", "wait/SnapshotMissing", bucket=NoSnapshot(), recorded=a(4)),
    Case("no snapshot, recorded at sequence 0", "wait/SnapshotMissing", bucket=NoSnapshot(), recorded=a(0)),
    Case("no snapshot, content gone from the volume", "wait/SnapshotMissing", gone(a(4)), NoSnapshot()),
    Case("no snapshot, a directory that never held anything", "empty/NothingRecorded", gone(a(0)), NoSnapshot(), lineage="lineage-a"),
    Case("no snapshot, local of another lineage", "wait/StateOfAnotherLineage", on_volume(b(4)), NoSnapshot(), a(4)),
    # no bucket
    Case("no bucket, nothing recorded", "empty/NothingRecorded", bucket=NO_BUCKET),
    Case("no bucket, local", "local/Local", on_volume(a(1)), NO_BUCKET, a(1)),
    Case("no bucket, the volume is empty and was not", "wait/StateMissing", bucket=NO_BUCKET, recorded=a(1)),
    Case("no bucket, content gone from the volume", "wait/StateMissing", gone(a(4)), NO_BUCKET),
    Case("no bucket, local of another lineage", "wait/StateOfAnotherLineage", on_volume(b(1)), NO_BUCKET, a(1)),
    Case("loseOnRestart, a new pod", "empty/NothingRecorded", bucket=NO_BUCKET, storage=EPHEMERAL, lose=True),
    Case("loseOnRestart records nothing", "empty/NothingRecorded", gone(a(4)), NO_BUCKET, storage=EPHEMERAL, lose=True),
    Case("loseOnRestart where a volume was recorded", "wait/StateMissing", bucket=NO_BUCKET, recorded=a(4), storage=EPHEMERAL, lose=True),
    # 3 and a person's word
    Case("restore, not yet done: the bucket is asked", "ask", on_volume(a(4)), recorded=a(4), restore=SNAPSHOT_ASKED),
    Case(
        "restore a snapshot",
        "snapshot/RestoreAsked",
        on_volume(a(4)),
        HeadFound(a(4), 1, True),
        a(4),
        restore=SNAPSHOT_ASKED,
        lineage="key-1",
    ),
    Case("restore a snapshot that is not there", "wait/SnapshotMissing", bucket=HeadFound(a(4), 1, False), restore=SNAPSHOT_ASKED),
    Case("restore a snapshot of an empty bucket", "wait/SnapshotMissing", bucket=NoSnapshot(), restore=SNAPSHOT_ASKED),
    Case("restore a snapshot without a bucket", "wait/SnapshotMissing", bucket=NO_BUCKET, restore=SNAPSHOT_ASKED),
    Case("restore while the bucket cannot be reached", "wait/BucketUnreachable", on_volume(a(4)), UNREACHABLE, a(4), restore=EMPTY_ASKED),
    Case("restore was done, on the volume", "local/Local", on_volume(Mark("key-1", 7)), recorded=Mark("key-1", 7), restore=SNAPSHOT_ASKED),
    Case(
        "restore was done, in the bucket",
        "head/Restored",
        bucket=HeadFound(Mark("key-1", 7), 1),
        recorded=Mark("key-1", 7),
        restore=SNAPSHOT_ASKED,
    ),
    Case(
        "restore was done and recorded, and its snapshot is older",
        "wait/SnapshotOlderThanRecorded",
        bucket=HeadFound(Mark("key-1", 6), 1),
        recorded=Mark("key-1", 7),
        restore=EMPTY_ASKED,
    ),
    Case("restore empty", "empty/EmptyAsked", bucket=NoSnapshot(), recorded=a(4), restore=EMPTY_ASKED, lineage="key-1"),
    Case("restore empty, with a HEAD", "empty/EmptyAsked", on_volume(a(4)), HeadFound(a(4), 1), a(4), restore=EMPTY_ASKED, lineage="key-1"),
    Case("restore as found, older local", "local/AsFoundAsked", on_volume(a(3)), NO_BUCKET, a(4), restore=AS_FOUND_ASKED, lineage="key-1"),
    Case(
        "restore as found, local without a state file",
        "local/AsFoundAsked",
        BROKEN,
        NO_BUCKET,
        a(4),
        restore=AS_FOUND_ASKED,
        lineage="key-1",
    ),
    Case(
        "restore as found, older HEAD",
        "head/AsFoundAsked",
        bucket=HeadFound(a(3), 1),
        recorded=a(4),
        restore=AS_FOUND_ASKED,
        lineage="key-1",
    ),
    Case("restore as found, and nothing is there", "wait/StateMissing", bucket=NoSnapshot(), recorded=a(4), restore=AS_FOUND_ASKED),
    Case(
        "restore as found does not open a newer database",
        "wait/DatabaseTooNew",
        on_volume(a(3), SUPPORTED + 1),
        NO_BUCKET,
        a(4),
        restore=AS_FOUND_ASKED,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_table(case: Case) -> None:
    decided = decide_state(case.facts)
    if case.expected == "ask":
        assert decided is AskBucket.ASK
        return
    kind, _, reason = case.expected.partition("/")
    assert isinstance(decided, Choice)
    assert (decided.kind, str(decided.reason)) == (kind, reason), decided.message
    if case.lineage:
        assert decided.lineage == case.lineage


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


marks = st.builds(Mark, st.sampled_from(["a", "b", "key-1"]), st.integers(0, 3))
locals_ = st.one_of(
    st.just(ABSENT),
    st.builds(Local, st.just(LocalKind.PRESENT), marks, st.integers(0, 5)),
    st.builds(Local, st.just(LocalKind.GONE), marks),
    st.just(BROKEN),
)
failures = st.builds(BucketFailed, st.sampled_from(["BucketUnreachable", "BucketMissing", "ForeignPrefix"]), st.just("words"))
buckets = st.one_of(
    st.just(NO_BUCKET),
    st.builds(NoSnapshot, st.integers(0, 3), st.integers(0, 3)),
    st.builds(HeadFound, marks, st.integers(0, 5), st.booleans()),
    failures,
)
restores = st.one_of(st.none(), st.sampled_from([SNAPSHOT_ASKED, EMPTY_ASKED, AS_FOUND_ASKED]))
earliers = st.one_of(
    st.none(), st.builds(Earlier, st.sampled_from([ChoiceKind.HEAD, ChoiceKind.EMPTY, ChoiceKind.LOCAL]), st.sampled_from(["a", "b"]))
)
facts_ = st.builds(
    Facts, locals_, buckets, st.one_of(st.none(), marks), st.sampled_from(Storage), st.booleans(), st.just(SUPPORTED), restores, earliers
)


def decided(facts: Facts) -> Choice:
    choice = decide_state(facts)
    assert isinstance(choice, Choice), "with the bucket's answer there is no further question"
    return choice


@given(facts_)
def test_asking_the_bucket_only_adds_to_the_answer(facts: Facts) -> None:
    first = decide_state(replace(facts, bucket=NOT_ASKED))
    assert first is AskBucket.ASK or first == decided(facts)


@given(facts_)
def test_recorded_is_never_answered_with_empty_but_by_a_persons_word(facts: Facts) -> None:
    choice = decided(facts)
    if choice.kind is ChoiceKind.EMPTY and choice.reason != "Kept":
        assert facts.recorded is None or choice.reason == "EmptyAsked"


@given(facts_)
def test_only_an_answer_of_the_bucket_leads_to_empty(facts: Facts) -> None:
    if isinstance(facts.bucket, BucketFailed):
        choice = decided(facts)
        assert choice.kind in (ChoiceKind.WAIT, ChoiceKind.LOCAL) or choice.reason == "Kept"


@given(facts_)
def test_nothing_older_than_recorded_is_opened_but_by_a_persons_word(facts: Facts) -> None:
    choice = decided(facts)
    if facts.recorded is None or choice.reason in ("Kept", "AsFoundAsked", "EmptyAsked", "RestoreAsked"):
        return
    opened = {ChoiceKind.LOCAL: facts.local.mark, ChoiceKind.HEAD: facts.bucket.mark if isinstance(facts.bucket, HeadFound) else None}.get(
        choice.kind
    )
    if opened is not None:
        assert not opened.is_older_than(facts.recorded)
        assert facts.restore is not None or opened.lineage == facts.recorded.lineage


@given(facts_)
def test_local_content_that_is_not_opened_is_set_aside(facts: Facts) -> None:
    choice = decided(facts)
    has_content = facts.local.kind in (LocalKind.PRESENT, LocalKind.UNREADABLE)
    if choice.kind in (ChoiceKind.HEAD, ChoiceKind.SNAPSHOT, ChoiceKind.EMPTY) and choice.reason != "Kept":
        assert choice.sets_aside == has_content


@given(facts_)
def test_waiting_says_what_to_do(facts: Facts) -> None:
    choice = decided(facts)
    assert choice.message
    if choice.kind is ChoiceKind.WAIT:
        assert choice.lineage is None and not choice.sets_aside
        # `restore` is not a field yet: no message may send a person to it.
        assert facts.restore is not None or "restore:" not in choice.message
