import json
from dataclasses import replace
from typing import Any

import numpy as np

from embedsvc.probes import Examples
from tests.probes.speakers import Crowd, trained

CROWD = Crowd(labels=3, speakers=20, utterances=4)


def warnings(examples: Examples) -> dict[str, dict[str, Any]]:
    report = json.loads(trained(examples).info.report)
    return {each["code"]: each for each in report["warnings"]}


def joined(one: Examples, other: Examples) -> Examples:
    return Examples(
        np.vstack([one.vectors, other.vectors]),
        one.labels + other.labels,
        one.groups + other.groups,
        one.spaces,
    )


def test_enough_speakers_of_every_label_leave_no_doubt_but_the_missing() -> None:
    assert warnings(CROWD.examples()).keys() == {"NO_BASELINE", "NO_BACKGROUND"}


def test_a_label_of_one_speaker_cannot_be_told_from_the_speaker() -> None:
    alone = replace(Crowd(labels=1, speakers=1, utterances=5, seed=3).examples())
    alone = replace(alone, labels=("rare",) * 5, groups=("somebody",) * 5)
    found = warnings(joined(CROWD.examples(), alone))
    assert found["ONE_GROUP"]["labels"] == ["rare"]
    assert found["UNTESTED"]["labels"] == ["rare"]
    assert found["FEW_EXAMPLES"]["labels"] == ["rare"]
    assert "1 of 4 labels" in found["ONE_GROUP"]["message"]


def test_copies_in_other_groups_are_seen() -> None:
    examples = CROWD.examples()
    copied = replace(examples, groups=tuple(f"copy {name}" for name in examples.groups))
    found = warnings(joined(examples, copied))
    assert found["COPIES_ACROSS_GROUPS"]["share"] > 0.9


def test_labels_with_two_speakers_each_may_be_those_speakers() -> None:
    found = warnings(Crowd(labels=6, speakers=3, utterances=10).examples())
    assert found["LABEL_FIXED_IN_GROUP"]["groups_of_a_label"] == 3


def test_a_frequent_label_beside_a_rare_one_is_told() -> None:
    many = CROWD.examples()
    few = Crowd(labels=1, speakers=4, utterances=1, seed=9).examples()
    few = replace(few, labels=("rare",) * 4, groups=tuple("abcd"))
    found = warnings(joined(joined(many, many), few))
    assert found["UNBALANCED"]["ratio"] == 40
