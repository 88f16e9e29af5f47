import numpy as np

from embedsvc.transforms.languages import LEAST_VECTORS, fit_centers
from tests.transforms.speech import LANGUAGES, made


def test_the_language_of_a_vector_is_guessed() -> None:
    what = made().sample
    centers = fit_centers(what.vectors, what.languages, what.recordings)
    assert centers is not None
    assert centers.languages == LANGUAGES
    guessed = centers.posterior(what.vectors).argmax(axis=1)
    truth = [LANGUAGES.index(name) for name in what.languages]
    assert (guessed == truth).mean() > 0.98


def test_posteriors_are_as_sure_as_they_are_right() -> None:
    """Languages that can hardly be told apart are not guessed with confidence."""
    near = made(sentences=100, apart=0.1).sample
    centers = fit_centers(near.vectors, near.languages, near.recordings)
    assert centers is not None
    fresh = made(sentences=100, seed=0, apart=0.1).sample
    chance = centers.posterior(fresh.vectors)
    assert np.allclose(chance.sum(axis=1), 1, atol=1e-5)
    truth = np.array([LANGUAGES.index(name) for name in fresh.languages])
    right = (chance.argmax(axis=1) == truth).mean()
    assert abs(chance.max(axis=1).mean() - right) < 0.15


def test_the_mean_of_each_language_goes() -> None:
    what = made().sample
    centers = fit_centers(what.vectors, what.languages, what.recordings)
    assert centers is not None
    left = centers.remove(what.vectors)
    named = np.array(what.languages)
    means = np.stack([left[named == name].mean(axis=0) for name in LANGUAGES])
    before = np.stack([what.vectors[named == name].mean(axis=0) for name in LANGUAGES])
    assert means.std(axis=0).mean() < 0.1 * before.std(axis=0).mean()
    assert np.allclose(left.mean(axis=0), what.vectors.mean(axis=0), atol=0.1)


def test_a_language_with_few_vectors_has_no_center() -> None:
    what = made().sample
    few = [i for i, name in enumerate(what.languages) if name == "pol"][LEAST_VECTORS - 1 :]
    kept = np.setdiff1d(np.arange(len(what)), few)
    centers = fit_centers(
        what.vectors[kept], [what.languages[i] for i in kept], [what.recordings[i] for i in kept]
    )
    assert centers is not None
    assert centers.languages == ("deu", "ell", "fra")


def test_unnamed_vectors_are_of_no_language() -> None:
    what = made().sample
    languages = [name if name in {"deu", "fra"} else "" for name in what.languages]
    centers = fit_centers(what.vectors, languages, what.recordings)
    assert centers is not None
    assert centers.languages == ("deu", "fra")


def test_one_language_needs_no_center() -> None:
    what = made().sample
    assert fit_centers(what.vectors, ["deu"] * len(what), what.recordings) is None


def test_all_of_one_recording_are_fitted_nevertheless() -> None:
    what = made().sample
    centers = fit_centers(what.vectors, what.languages, ["one"] * len(what))
    assert centers is not None
    assert np.isfinite(centers.weights).all()
