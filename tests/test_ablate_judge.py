"""Judges against a server that speaks the protocol: known votes, the order of the lists, reviews, and bad answers."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ablation_judges import Judges, Say, ablation, everything, lists, nothing, quoting, same_name
from chat_server import Request, Said

from whenwhere.ablate.judge import judge_plan, judge_reviews
from whenwhere.ablate.judgement import (
    Judgement,
    JudgeVotes,
    MatchVote,
    agreement,
    read_judgement,
    write_judgement,
)
from whenwhere.ablate.structured import CallLog
from whenwhere.errors import ChatError, RecordError, SettingError

GOLD = [ablation("grouping"), ablation("cut-paste"), ablation("tokens", "tokens", "REPLACE", "8", "16")]
PLAN = [ablation("tokens", "tokens", "REPLACE", "16"), ablation("optimiser"), ablation("cut-paste")]


def test_known_votes_give_known_scores() -> None:
    with Judges(same_name, everything, same_name) as judges:
        found = judge_plan(GOLD, PLAN, judges, paper="Groups")
    assert found.pairs() == {(1, 2), (2, 0)}
    assert [len(votes) for votes in found.votes()] == [2, 9, 2]
    assert found.items == ["tokens", "optimiser", "cut-paste"] and found.wanted == 3
    assert found.strict().precision == found.strict().recall == pytest.approx(2 / 3)
    assert found.strict(1).precision == 1 and found.strict(2).precision == 0.5
    assert found.appears() == [True, False, True]
    with Judges(same_name, nothing) as judges:
        assert judge_plan(GOLD, PLAN, judges).pairs() == frozenset()


@pytest.mark.parametrize("seed", range(6))
def test_votes_do_not_depend_on_the_drawn_order(seed: int) -> None:
    orders: list[dict[str, list[tuple[str, str]]]] = []

    def say(request: Request) -> str:
        orders.append(lists(request))
        return same_name(request)

    with Judges(say, say) as judges:
        first = judge_plan(GOLD, PLAN, judges, seed=seed)
        again = judge_plan(GOLD, PLAN, judges, seed=seed)
    assert first.pairs() == {(1, 2), (2, 0)} and first == again and first.judges[0].seed == seed
    assert orders[:2] == orders[2:]


def test_sides_and_orders_are_drawn() -> None:
    seen = set()

    def say(request: Request) -> str:
        seen.add(tuple(name for side in "AB" for _, name in lists(request)[side]))
        return nothing(request)

    with Judges(say) as judges:
        for seed in range(12):
            judge_plan(GOLD, PLAN, judges, seed=seed)
    assert len(seen) > 8
    # the plan, which alone has an optimiser, stands on either side
    assert {order.index("optimiser") < 3 for order in seen} == {True, False}


def test_the_prompt_does_not_tell_which_list_is_the_plan() -> None:
    texts = []

    def say(request: Request) -> str:
        texts.append(request.text())
        return nothing(request)

    with Judges(say) as judges:
        judge_plan([ablation("a")], [ablation("b")], judges, paper="Groups", abstract="We group.")
    assert "Groups" in texts[0] and "We group." in texts[0]
    assert not re.search(r"\b(gold|plan|predict|truth)", texts[0].split("List A:")[1], re.I)


@pytest.mark.parametrize(
    "matches",
    [
        [{"a": "A1", "b": "B1", "why": ""}],
        [{"a": ["A1"], "b": "b1"}],
        [{"a": " a1. ", "b": ["B1", "B1"]}],
        [{"a": "A1", "b": "B1", "why": None}, {"a": None, "b": "B1"}, {"a": "A1", "b": []}],
        [{"a": "alpha", "b": "Beta"}],
    ],
)
def test_labels_are_normalised(matches: list[dict[str, Any]]) -> None:
    # one on each side, so that the labels are known; the names stand for whichever side they are on
    def say(request: Request) -> str:
        names = {side: entries[0][1] for side, entries in lists(request).items() if entries}
        rows = [{k: names[k.upper()] if v in ("alpha", "Beta") else v for k, v in match.items()} for match in matches]
        return json.dumps({"discussion": "", "matches": rows})

    with Judges(say) as judges:
        assert judge_plan([ablation("alpha")], [ablation("Beta")], judges).pairs() == {(0, 0)}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ('{"discussion": "", "matches": [{"a": "A9", "b": "B1"}]}', "\"a\" is 'A9'; it is one of A1, A2, A3"),
        ('{"discussion": "", "matches": [{"a": "A1", "b": 7}]}', '"b" is 7'),
        ('{"discussion": "", "matches": [{"a": "A1"}]}', 'the field "b" is missing'),
        ('{"discussion": "", "matches": "none"}', "not a list"),
        ("They are all different.", 'holds no list "matches"'),
        ("", "the answer is empty"),
        (Said("{}", finish="length"), "cut off"),
    ],
)
def test_a_judge_without_a_usable_answer_fails_the_judgement(bad: "str | Said", said: str) -> None:
    """Defect 8: a match list with one unknown name was voided without a word."""
    with Judges(same_name, lambda request: bad, names=["good", "bad"]) as judges:
        with pytest.raises(ChatError, match="gave no judgement that can be used") as caught:
            judge_plan(GOLD, PLAN, judges)
        assert said in str(caught.value) and "#bad" in str(caught.value)
    answers = [bad]
    with Judges(lambda request: answers.pop() if answers else same_name(request)) as judges:
        found = judge_plan(GOLD, PLAN, judges)
    assert found.pairs() == {(1, 2), (2, 0)} and said in (found.judges[0].repaired or "")


def test_an_empty_list_between_tags_is_an_answer() -> None:
    with Judges(lambda request: "<discussion>no</discussion><predictions>\n</predictions>") as judges:
        assert judge_plan(GOLD, PLAN, judges).pairs() == frozenset()


REVIEWS = [
    "The paper is well written. However, the authors should remove the  “grouping blocks” to show\nthey matter. "
    "It also lacks an ablation of the number of tokens (8, 16).",
    "Strengths: strong results. Please ablate the cut-and-paste operation.",
]
QUOTES = {
    "no grouping": 'should remove the "grouping blocks" to show they matter',
    "grouping without loss": "the authors should remove the grouping blocks",
    "cut-paste": "Please ablate the cut-and-paste operation",
}
IDEAS = [ablation("no grouping"), ablation("grouping without loss"), ablation("optimiser"), ablation("cut-paste")]


def test_reviews_are_quoted_and_one_request_counts_once() -> None:
    """Defect 6: two items that hit one request counted twice, and surplus hits vanished from precision."""
    with Judges(*[lambda request: quoting(request, dict(QUOTES))] * 3) as judges:
        found = judge_reviews(REVIEWS, IDEAS, judges, wanted=2)
    assert found.appears() == [True, True, False, True]
    assert found.pairs() == {(0, 0), (0, 1), (1, 3)} and len(found.gold) == 2
    assert found.strict().precision == 0.5 and found.strict().recall == 1
    # the original: hits above the number wanted are not counted at all
    assert found.compat().precision == pytest.approx(2 / 3)
    assert found.strict(1).f1 == found.compat(1).f1 == pytest.approx(2 / 3)


def test_requests_are_told_apart_by_what_is_quoted_and_judges_vote_on_them() -> None:
    other = {**QUOTES, "grouping without loss": "lacks an ablation of the number of tokens"}
    says = [lambda request, q=q: quoting(request, dict(q)) for q in (QUOTES, QUOTES, other)]
    with Judges(*says) as judges:
        found = judge_reviews(REVIEWS, IDEAS, judges)
    assert len(found.gold) == found.wanted == 3
    assert [sorted(votes) for votes in found.votes()] == [[(0, 0), (0, 1), (2, 3)]] * 2 + [[(0, 0), (1, 1), (2, 3)]]
    assert found.pairs() == {(0, 0), (0, 1), (2, 3)}


@pytest.mark.parametrize(
    ("quote", "said"),
    [
        ("the authors forgot the optimiser", "no review holds the words"),
        ("the", "is not one sentence"),
        (" ".join(REVIEWS) * 8, "is not one sentence"),
        (["cut-paste"], "copy words of a review, or write null"),
    ],
)
def test_a_quote_that_is_in_no_review_is_no_vote(quote: Any, said: str) -> None:
    judged = Judges(lambda request: quoting(request, {"optimiser": quote}))
    with judged as judges, pytest.raises(ChatError, match=said):
        judge_reviews(REVIEWS, IDEAS, judges)


def test_every_item_needs_one_word_of_the_judge() -> None:
    def say(count: int) -> Say:
        return lambda request: json.dumps(
            {"items": [{"item": label, "quote": None} for label in (["P1", "P2", "P3", "P4", "P4"][:count])]}
        )

    for count, said in ((3, "there is no object for P4"), (5, "for the second time")):
        with Judges(say(count)) as judges, pytest.raises(ChatError, match=said):
            judge_reviews(REVIEWS, IDEAS, judges)
    with Judges(say(4)) as judges:
        assert judge_reviews(REVIEWS, IDEAS, judges, wanted=2).strict().f1 == 0


@pytest.mark.parametrize(
    "quote",
    [
        "Please ablate the cut-and-paste operation.",
        "PLEASE ABLATE THE CUT AND PASTE OPERATION",
        "“Please ablate … the cut-and-paste operation”",
        "[…] Please ablate the cut‑and‑paste operation",
        "Please  ablate\nthe *cut-and-paste* operation!",
    ],
)
def test_quotes_are_found_whatever_their_signs(quote: str) -> None:
    with Judges(lambda request: quoting(request, {"cut-paste": quote})) as judges:
        assert judge_reviews(REVIEWS, IDEAS, judges).appears() == [False, False, False, True]


def test_judging_is_recorded_and_not_done_twice(tmp_path: Path) -> None:
    judged = Judges(same_name, everything)
    with judged as judges:
        first = judge_plan(GOLD, PLAN, judges, log=CallLog(tmp_path / "calls.jsonl"))
        second = judge_plan(GOLD, PLAN, judges, log=CallLog(tmp_path / "calls.jsonl"))
        assert first == second and [len(server.requests) for server in judged.servers] == [1, 1]
    write_judgement(first, tmp_path / "judgement.json")
    assert read_judgement(tmp_path / "judgement.json") == first
    (tmp_path / "judgement.json").write_text('{"version": 1, "mode": "author"}')
    with pytest.raises(RecordError, match=r"judgement.json: the key gold is missing"):
        read_judgement(tmp_path / "judgement.json")


def test_one_judge_listed_twice_votes_on_two_orders() -> None:
    texts = []

    def say(request: Request) -> str:
        texts.append(request.text())
        return same_name(request)

    with Judges(say) as judges:
        found = judge_plan(GOLD, PLAN, [judges[0], judges[0], judges[0]])
    assert [one.judge.rsplit("#")[1] for one in found.judges] == ["judge", "judge (2)", "judge (3)"]
    assert len(set(texts)) > 1


def test_what_cannot_be_judged_is_refused() -> None:
    with Judges(same_name) as judges:
        with pytest.raises(RecordError, match="an empty plan is a failure of its planner"):
            judge_plan(GOLD, [], judges)
        with pytest.raises(RecordError, match="nothing to judge a plan against"):
            judge_plan([], PLAN, judges)
        with pytest.raises(SettingError, match="at least one judge"):
            judge_plan(GOLD, PLAN, [])
        with pytest.raises(SettingError, match="ask for 0 ablations"):
            judge_reviews(REVIEWS, PLAN, judges, 0)


def test_agreement_of_judges() -> None:
    def made(*votes: set[tuple[int, int]]) -> Judgement:
        ballots = [
            JudgeVotes(judge=name, seed=0, matches=[MatchVote(gold=g, item=i) for g, i in sorted(pairs)])
            for name, pairs in zip("abc", votes, strict=True)
        ]
        return Judgement(mode="author", gold=["x", "y"], wanted=2, items=["p", "q"], judges=ballots)

    found = agreement([made({(0, 0)}, {(0, 0)}, {(0, 0)}), made({(1, 1)}, {(1, 1)}, set())])
    assert found.votes == 8 and found.pairs["a / b"] == 1
    assert found.pairs["a / c"] == found.pairs["b / c"] == pytest.approx(0.6)
    assert found.fleiss is not None and 0.6 < found.fleiss < 1
    assert agreement([made(set(), set(), set())]).fleiss is None
    assert agreement([]).votes == 0
