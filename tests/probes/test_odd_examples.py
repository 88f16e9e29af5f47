import json
from typing import Any

import numpy as np
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from embedsvc.errors import InvalidArgument
from embedsvc.probes import Examples, from_files, to_files
from embedsvc.types import ProbeRecipe, ProbeTask
from tests.probes.speakers import space, strange, trained

LABELS = {
    ProbeTask.SINGLE_LABEL: st.sampled_from(["a", "b", "c", "d", "e", "f", "g"]),
    ProbeTask.MULTI_LABEL: st.sampled_from(["", "a", "b", "a,b", "b, c", "c"]),
    ProbeTask.REGRESSION: st.sampled_from(["0", "1", "2.5", "1e3", "-7"]),
}


@given(st.data(), st.sampled_from(ProbeTask), st.sampled_from(["temperature", "isotonic"]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_training_ends_in_a_probe_that_can_be_kept_or_says_what_is_wrong(
    data: Any, task: ProbeTask, calibration: str
) -> None:
    count = data.draw(st.integers(1, 40))
    seed = data.draw(st.integers(0, 99))
    kinds = data.draw(st.sampled_from(["speech", "constant", "copies", "huge", "integers"]))
    vectors = np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)
    if kinds == "constant":
        vectors[:] = 3
    elif kinds == "copies":
        vectors[:] = vectors[0] + np.arange(count)[:, None] % 2
    elif kinds == "huge":
        vectors *= np.float32(1e14)
    elif kinds == "integers":
        vectors = np.round(vectors)
    examples = Examples(
        vectors,
        tuple(data.draw(st.lists(LABELS[task], min_size=count, max_size=count))),
        tuple(f"{at % data.draw(st.integers(1, 12))}" for at in range(count)),
        (space(3, 1), space(3, 2)),
        vectors[:, :1] if seed % 3 == 0 else None,
    )
    recipe = ProbeRecipe(
        task=task,
        calibration=calibration,
        strengths=(0.1, 10.0),
        folds=2,
        mix_layers=seed % 2 == 0,
        test_share=data.draw(st.sampled_from([0.2, 0.5])),
    )
    try:
        probe = trained(examples, recipe, background=strange(5, 6) if seed % 5 else None)
    except InvalidArgument as error:
        event(f"refused: {error.field}")
        return
    event(f"{task} of {kinds}")
    files = to_files(probe)
    again = from_files(files.tensors, files.card)
    width = sum(each.dim for each in probe.info.spaces)
    assert again(vectors[:, :width]) == probe(vectors[:, :width])
    json.loads(probe.info.report)
