"""Which model is asked first: by policy, by what fits, by what must not leave, and by what was learned."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agentmem.models.choice import Breaker, Candidate, ModelChoice, Need, Standing, choose
from agentmem.models.settings import ModelSettings, Policy, Privacy, Terms
from agentmem.records import Scope

ANA = Scope("user:ana")


class Clock:
    """Time that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def candidate(name: str, *, local: bool = False, context: int | None = None, **terms: float) -> Candidate:
    return Candidate(name, local, Terms(**terms), context)  # type: ignore[arg-type]


def names(choices: Sequence[ModelChoice], *, refused: bool = False) -> list[str]:
    return [choice.model for choice in choices if choice.refused == refused]


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model is asked here."""
    monkeypatch.setenv("AGENTMEM_OFFLINE", "off")


def chosen(policy: Policy, *candidates: Candidate, need: Need | None = None) -> list[ModelChoice]:
    settings = ModelSettings(policies={"reply": policy})
    return choose(need or Need("reply", 100, 100), ANA, candidates, settings)


def test_without_a_policy_the_users_order_stands_whatever_was_learned() -> None:
    first, second = candidate("first"), candidate("second")
    for _ in range(50):
        first.standing("reply").saw(False)
        second.standing("reply").saw(True, 0.1)
    assert names(chosen("order", first, second)) == ["first", "second"]


def test_local_and_remote_ones_go_first_by_policy() -> None:
    models = [candidate("far"), candidate("near", local=True), candidate("farther")]
    assert names(chosen("local-first", *models)) == ["near", "far", "farther"]
    assert names(chosen("remote-first", *models)) == ["far", "farther", "near"]


def test_within_the_policy_the_one_that_does_better_moves_up() -> None:
    near, far, farther = candidate("near", local=True), candidate("far"), candidate("farther")
    for _ in range(10):
        far.standing("reply").saw(False)
        far.standing("reply").saw(True, 2.0)
        farther.standing("reply").saw(True, 1.0)
        near.standing("reply").saw(True, 9.0)
    assert names(chosen("local-first", near, far, farther)) == ["near", "farther", "far"]
    assert names(chosen("learned", near, far, farther)) == ["farther", "far", "near"]


def test_what_was_learned_in_one_role_says_nothing_of_another() -> None:
    one, other = candidate("one"), candidate("other")
    for _ in range(10):
        one.standing("extract").saw(False)
        other.standing("extract").saw(True, 0.1)
    assert names(chosen("learned", one, other)) == ["one", "other"]


def test_one_that_nobody_asked_yet_is_tried() -> None:
    known, new = candidate("known"), candidate("new")
    known.standing("reply").saw(True, 0.01)
    assert names(chosen("learned", known, new))[0] == "new"


def test_one_that_only_failed_stands_behind_one_that_answers_until_it_has_faded() -> None:
    clock = Clock()
    broken, slow = candidate("broken"), candidate("slow")
    broken.standings["reply"] = Standing(clock)
    broken.standing("reply").saw(False)
    slow.standing("reply").saw(True, 5.0)
    choices = chosen("learned", broken, slow)
    assert [(choice.model, choice.why) for choice in choices] == [
        ("slow", "it did best; 91% usable, 5.0 s an answer"),
        ("broken", "it did less well; 73% usable"),
    ]
    clock.now += 2 * 3600
    assert names(chosen("learned", broken, slow)) == ["broken", "slow"]


def test_the_cheapest_is_the_one_that_costs_least_for_a_usable_answer() -> None:
    dear, cheap, free = candidate("dear", input=2.0), candidate("cheap", input=1.0), candidate("free")
    assert names(chosen("cheapest", dear, cheap, free)) == ["free", "cheap", "dear"]
    for _ in range(100):
        cheap.standing("reply").saw(False)  # most of its answers are for nothing
    assert names(chosen("cheapest", dear, cheap)) == ["dear", "cheap"]


def test_a_prompt_that_does_not_fit_is_not_sent() -> None:
    small, large = candidate("small", context=199), candidate("large", context=200)
    choices = chosen("order", small, large)
    assert names(choices) == ["large"]
    assert choices[1] == ModelChoice("small", "the prompt is 1 tokens over its 199", refused=True)


def test_what_must_not_leave_is_sent_to_local_models_alone() -> None:
    near, far = candidate("near", local=True), candidate("far")
    settings = ModelSettings(private=Privacy((Scope("user:ana/diary"),), frozenset({"note"})))

    def asked(scope: str, *kinds: str) -> list[str]:
        return names(choose(Need("reply", kinds=frozenset(kinds)), Scope(scope), [far, near], settings))

    assert asked("user:ana") == ["far", "near"]
    assert asked("user:ana/diary") == ["near"]
    assert asked("user:ana/diary/today") == ["near"]
    assert asked("user:ana/diary2") == ["far", "near"]
    assert asked("user:ana", "turn") == ["far", "near"]
    assert asked("user:ana", "turn", "note") == ["near"]


def test_one_that_failed_three_times_is_left_alone_and_tried_again_by_one_caller() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(2):
        assert breaker.enter()
        breaker.leave(False)
    assert breaker.rests == 0
    assert breaker.enter()
    breaker.leave(False)
    assert breaker.rests == 15.0
    assert not breaker.enter()
    clock.now += 15
    assert breaker.enter()
    assert not breaker.enter()  # while the first one tries
    breaker.leave(False)
    assert breaker.rests == 30.0  # twice as long each time
    clock.now += 30
    assert breaker.enter()
    breaker.leave(None)  # what was to be asked was not asked after all
    assert breaker.enter()
    breaker.leave(True)
    assert breaker.rests == 0
    assert breaker.enter()
    assert breaker.enter()


def test_a_rest_is_as_long_as_the_server_wants_it() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(3):
        breaker.leave(False, wait=120.0)
    assert breaker.rests == 120.0


def test_a_resting_model_is_refused_with_the_reason() -> None:
    tired, fresh = candidate("tired"), candidate("fresh")
    for _ in range(3):
        tired.breaker.leave(False)
    choices = chosen("order", tired, fresh)
    assert names(choices) == ["fresh"]
    assert choices[1].why.startswith("it failed, and is left alone for ")


def test_what_was_seen_earlier_counts_as_if_it_had_been_seen_here() -> None:
    clock = Clock()
    here, elsewhere = Standing(clock), Standing(clock)
    here.saw(True, 4.0)
    here.saw(False)
    clock.now += 3600
    here.saw(True, 1.0)
    elsewhere.saw(True, 1.0)
    elsewhere.saw(False, age=3600)
    elsewhere.saw(True, 4.0, age=3600)
    assert (here.success, here.seconds, here.failures) == (elsewhere.success, elsewhere.seconds, elsewhere.failures)
    assert elsewhere.seconds == 2.0
    ahead, now = Standing(clock), Standing(clock)
    ahead.saw(False, age=-3600)  # a clock that was wrong makes nothing count for more
    now.saw(False)
    assert ahead.success == now.success


def test_evidence_fades_by_half_in_an_hour() -> None:
    clock = Clock()
    standing = Standing(clock)
    for _ in range(36):
        standing.saw(False)
    before = standing.success
    assert before < 0.11
    clock.now += 24 * 3600
    assert standing.success > 0.88  # as good as one that nobody has asked
    clock.now -= 48 * 3600  # a clock that jumps back takes nothing away
    assert standing.success > 0.88
