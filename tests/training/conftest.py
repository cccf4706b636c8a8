"""A drawn version and a run trained on it, made once for all tests of this room that need them."""

import importlib.util
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import pytest

from tests.training import builders as builders_module
from training import train_run
from training.augment import Augmentation
from training.data import open_training_data
from training.fit import FitSettings

TRAIN_EXTRA = ("tensorflow", "keras", "ai_edge_litert")


@pytest.fixture(scope="session")
def builders() -> ModuleType:
    """Return the room's builders."""
    return builders_module


@pytest.fixture(scope="session")
def needs_train() -> None:
    """Skip where the extra ``train`` is not installed."""
    missing = [name for name in TRAIN_EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"the extra `train` is not installed: {', '.join(missing)} missing")


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory, builders: ModuleType) -> SimpleNamespace:
    """Return a published version of drawn images: its root, home and what the build came to."""
    root = tmp_path_factory.mktemp("drawn")
    built = builders.publish(root)
    return SimpleNamespace(root=root, home=builders.home_of(root), built=built, reference="spots@v1")


@pytest.fixture(scope="session")
def data(drawn: SimpleNamespace) -> object:
    """Return the drawn version opened for training, at the small input."""
    return open_training_data(drawn.home, "spots", side=48)


@pytest.fixture(scope="session")
def small_settings() -> object:
    """Return settings of a training that takes seconds."""
    return FitSettings(side=48, epochs=16, patience=16, batch=8, seed=3, augmentation=Augmentation(share=0.4))


def record(patch: pytest.MonkeyPatch, module: object, name: str, note: Callable[..., None]) -> None:
    """Have each call of a module's function noted before it is carried out."""
    real = getattr(module, name)

    def noted(*given: object, **named: object) -> object:
        note(*given, **named)
        return real(*given, **named)

    patch.setattr(module, name, noted)


@pytest.fixture(scope="session")
def opened() -> SimpleNamespace:
    """Return what the session's run opens: versions whose archives it looks for, and models of the LiteRT reference."""
    return SimpleNamespace(archives=[], models=[])


@pytest.fixture(scope="session")
def run(
    tmp_path_factory: pytest.TempPathFactory,
    needs_train: None,
    drawn: SimpleNamespace,
    small_settings: object,
    opened: SimpleNamespace,
) -> object:
    """Return a finished run on the drawn version, with two folds and the context images."""
    from ai_edge_litert import interpreter

    runs = tmp_path_factory.mktemp("runs")
    options = train_run.RunOptions(home=drawn.home, runs=runs, folds=2, originals=(drawn.root / "spots-source",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CURATION_CACHE", str(tmp_path_factory.mktemp("empty-cache")))
        record(patch, train_run, "open_originals", lambda version, **_: opened.archives.append(version.name))
        record(patch, interpreter, "Interpreter", lambda **given: opened.models.append(given["model_content"]))
        return train_run.make_run("spots", small_settings, options)
