"""The model of a running server: loaded on a thread of its own, exchanged without a stop."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from promptmatte.errors import ConfigError, DownloadError, ModelError, PromptMatteError
from promptmatte.models import load_model
from promptmatte.models.catalogue import needed
from promptmatte.models.choice import ModelChoice
from promptmatte.models.device import choose_device, is_out_of_memory
from promptmatte.models.protocol import Model, Progress
from promptmatte.models.store import located
from promptmatte.priority import Niceness, stand_back

logger = logging.getLogger(__name__)

Loader = Callable[[ModelChoice, Progress], Model]

SMALLER = {
    "sam3": "embedded",
    "sam-vit-h": "sam-vit-l",
    "sam-vit-l": "sam-vit-b",
    "sam-vit-b": "mobile-sam",
    "mobile-sam": "embedded",
}


class _Superseded(Exception):  # noqa: N818  ends a load that nobody waits for, no error
    pass


@dataclass(frozen=True, kw_only=True)
class Loading:
    """What is being loaded, by which step, and how far it is, 0..1."""

    name: str
    stage: str
    share: float


def smaller_choices(choice: ModelChoice) -> Iterator[ModelChoice]:
    """What to load in place of a model that does not fit: the same in half precision, then the
    smaller ones, then the embedded model, on the processor in the end; nothing in place of that."""
    device = choose_device(choice.device)
    full = choice.precision == "fp32" or (choice.precision == "auto" and "cuda" not in device)
    if choice.name != "embedded" and full:
        choice = replace(choice, precision="bf16" if device == "cpu" else "fp16")
        yield choice
    name = choice.name
    while name in SMALLER:
        name = SMALLER[name]
        # A projection and a file of weights fit the one model they were made for.
        choice = replace(choice, name=name, weights=None, prompter="dense", projection=None)
        yield choice
    if device != "cpu":
        yield replace(choice, device="cpu", precision="auto")


def load_at_hand(choice: ModelChoice, progress: Progress) -> Model:
    """The model of a choice if no file has to be fetched for it; ModelError."""
    for entry in needed(choice):
        located(entry)
    return load_model(choice, progress=progress)


class ModelHost:
    """Loads the chosen model, hands it to `use`, and answers for it meanwhile.

    first: what to load at the start, or a model that is there already. use: takes the model
    that is to work from now on, or None while there is none; called on the loading thread.
    failed: told why no model at all can be had.

    While another model loads the old one goes on; one that cannot be loaded leaves the old
    one in place. A first model that cannot be fetched gives way to the embedded one, and a
    model that is too large for the memory to a smaller one that is at hand.
    """

    def __init__(
        self,
        first: Model | ModelChoice,
        *,
        use: Callable[[Model | None], None],
        failed: Callable[[str], None],
        load: Loader = lambda choice, progress: load_model(choice, progress=progress),
        load_smaller: Loader = load_at_hand,
    ) -> None:
        given = None if isinstance(first, ModelChoice) else first
        choice = first if isinstance(first, ModelChoice) else ModelChoice(device=first.device)
        self.device = choose_device(choice.device)
        self._choice = choice
        self._use = use
        self._failed = failed
        self._load = load
        self._load_smaller = load_smaller
        self._lock = threading.Lock()
        self._model: Model | None = given
        self._loaded: ModelChoice | None = None
        self._wanted: ModelChoice | None = None
        self._make_room = False
        self._loading: Loading | None = None
        self._notice: str | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def start(self) -> None:
        """Begins to load the first choice, or hands over the model that was given."""
        if self._model is None:
            self._want(self._choice, make_room=False)
        else:
            self._use(self._model)

    def close(self) -> None:
        """Ends the loading thread, after the step it is at; safe to call twice."""
        with self._lock:
            self._closed = True
            self._wanted = None
            thread = self._thread
        if thread is not None:
            thread.join()

    def choose(self, **changes: Any) -> ModelChoice:
        """Begins to load another model: the fields of ModelChoice that change; from any thread.

        A newer choice replaces one that is still being loaded. Files come from the first
        choice only. ConfigError.
        """
        first, base = self._choice, self.choice
        choice = replace(base, projection=None, **changes)
        choice = replace(
            choice,
            device=first.device,  # also where want of memory has led to the processor
            weights=first.weights if choice.name == first.name else None,
            projection=first.projection if choice.prompter == "projection" else None,
        )
        if choice.prompter == "projection" and choice.projection is None:
            raise ConfigError(
                "expected a server started with --projection FILE to change to that prompter; "
                "its weights are named on the command line only"
            )
        needed(choice)  # refuses a CLIP that does not exist
        if choice != base or self._loaded is None:
            self._want(choice, make_room=False)
        return choice

    def step_down(self) -> None:
        """Gives the model in use up, for want of memory, and loads a smaller one; any thread.

        Where there is no smaller one it stays: its next encode may find memory again.
        """
        with self._lock:
            choice, loading = self._loaded, self._wanted
        if choice is not None and loading is None and any(smaller_choices(choice)):
            self._want(choice, make_room=True)

    def status(self) -> dict[str, Any]:
        """model, device, loading ({model, stage, share} or None) and notice, as JSON values."""
        loading, model = self._loading, self._model
        return {
            "model": model.name if model is not None else self._choice.name,
            "device": model.device if model is not None else self.device,
            "loading": loading
            and {
                "model": loading.name,
                "stage": loading.stage,
                "share": round(loading.share, 3),
            },
            "notice": self._notice,
        }

    @property
    def choice(self) -> ModelChoice:
        """What is being loaded, else what is in use, else what is to be loaded first."""
        with self._lock:
            return self._wanted or self._loaded or self._choice

    @property
    def loading(self) -> Loading | None:
        """What is being loaded."""
        return self._loading

    @property
    def model(self) -> Model | None:
        """The model in use, if there is one."""
        return self._model

    @property
    def ready(self) -> bool:
        """True when a model is there to be used."""
        return self._model is not None

    def _want(self, choice: ModelChoice, *, make_room: bool) -> None:
        with self._lock:
            if self._closed:
                return
            self._wanted, self._make_room = choice, make_room
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="promptmatte-model", daemon=True
                )
                self._thread.start()

    def _work(self) -> None:
        """Loads what is wanted until nothing is."""
        stand_back(Niceness.KEYFRAMES)  # a model's own threads begin here
        while True:
            with self._lock:
                choice, make_room = self._wanted, self._make_room
                if choice is None:
                    self._thread = self._loading = None
                    return
            try:
                self._exchange(choice, make_room=make_room)
            except _Superseded:
                continue
            except Exception as error:  # noqa: BLE001  a library may raise anything
                self._give_up(choice, error)
            with self._lock:
                if self._wanted is choice:
                    self._wanted = None

    def _exchange(self, choice: ModelChoice, *, make_room: bool) -> None:
        if make_room:
            self._set_free()
            self._stand_in(choice, smaller_choices(choice), "out of memory")
            return
        try:
            model = self._load(choice, self._progress_of(choice))
        except Exception as error:
            if self._model is not None:
                raise
            if is_out_of_memory(error):
                self._stand_in(choice, smaller_choices(choice), "out of memory")
            elif isinstance(error, DownloadError):
                embedded = ModelChoice(device=choice.device)
                self._stand_in(choice, [embedded], str(error))
            else:
                raise
        else:
            self._notice = None
            self._settle(choice, model)

    def _stand_in(self, choice: ModelChoice, others: Iterable[ModelChoice], why: str) -> None:
        """Uses the first of the others that loads, with a notice; ModelError when none does."""
        for other in others:
            gc.collect()  # what a failed load left behind
            try:
                model = self._load_smaller(other, self._progress_of(other))
            except _Superseded:
                raise
            except Exception as error:
                if not isinstance(error, PromptMatteError) and not is_out_of_memory(error):
                    raise
                logger.info("%s cannot stand in: %s", _title(other), error)
                continue
            where = "" if other.device == choice.device else " on the processor"
            self._notice = f"{_title(choice)}: {why}; went on with {_title(other)}{where}"
            logger.warning(self._notice)
            self._settle(other, model)
            return
        raise ModelError(f"{_title(choice)}: {why}; no smaller model can be used either")

    def _progress_of(self, choice: ModelChoice) -> Progress:
        wanted = self._wanted

        def tell(stage: str, share: float) -> None:
            if self._wanted is not wanted:
                raise _Superseded
            self._loading = Loading(name=choice.name, stage=stage, share=share)

        tell("starting", 0.0)
        return tell

    def _settle(self, choice: ModelChoice, model: Model) -> None:
        if model.device.startswith("cuda"):
            torch.cuda.synchronize(model.device)  # the keyframe thread has its own stream
        self._model, self._loaded, self._loading = model, choice, None
        logger.info("model %s on %s", model.name, model.device)
        self._use(model)

    def _set_free(self) -> None:
        self._model = None
        self._use(None)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _give_up(self, choice: ModelChoice, error: Exception) -> None:
        self._loading = None
        if self._model is None:
            logger.error("no model: %s", error)
            self._failed(str(error))
            return
        self._notice = f"{_title(choice)} could not be loaded: {error}; {self._model.name} goes on"
        logger.warning(self._notice)


def _title(choice: ModelChoice) -> str:
    halved = "" if choice.precision in ("auto", "fp32") else f" in {choice.precision}"
    return choice.name + halved
