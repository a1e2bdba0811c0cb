"""The component's parameters, declared once: the builder makes them, the extension reads them.

The Matte page is the server's own table of controls: a row for each, with one field for each
prompt.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from promptmatte import __version__
from promptmatte.controls import CONTROLS, Control, Value

from promptmatte_td.mixing import PLACES

FLOAT, INT, TOGGLE, MENU = "float", "int", "toggle", "menu"
TEXT, TEXT_MENU, FILE, PULSE = "text", "text menu", "file", "pulse"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a page.

    size: fields on the line, whose names have 1, 2 ... appended when there are several. low
    and high hold for numbers. choices: (name, label) of a menu. section: a line above it.
    """

    name: str
    label: str
    kind: str
    default: Value = ""
    size: int = 1
    low: float = 0.0
    high: float = 1.0
    choices: tuple[tuple[str, str], ...] = ()
    read_only: bool = False
    section: bool = False
    help: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its parameters."""
        if self.size == 1:
            return (self.name,)
        return tuple(f"{self.name}{number}" for number in range(1, self.size + 1))


def parameter_name(control: str) -> str:
    """What TouchDesigner calls a control: one capital, then small letters and digits."""
    return control.replace("_", "").capitalize()


def _numbered(name: str, label: str, kind: str, *, section_first: bool, help: str) -> list[Row]:  # noqa: A002
    return [
        Row(
            name=f"{name}{place}",
            label=f"{label} {place}",
            kind=kind,
            section=section_first and place == 1,
            help=help,
        )
        for place in range(1, PLACES + 1)
    ]


LABELS = {"encode_hz": "Encode rate"}
"""Controls that are called otherwise here."""


def _control_rows(control: Control) -> list[Row]:
    """A control as one row; a switch for each prompt as rows of their own, as a toggle has
    one field only."""
    name = parameter_name(control.name)
    label = LABELS.get(control.name, control.name.replace("_", " ").capitalize())
    unit = f" ({control.unit})" if control.unit else ""
    size = PLACES if control.scope == "channel" else 1
    help_text = f"{control.help}{unit}"
    if control.kind == "bool":
        return [
            Row(name=f"{name}{place}", label=f"{label} {place}", kind=TOGGLE,
                default=control.default, help=help_text)
            for place in range(1, size + 1)
        ]  # fmt: skip
    kind = {"float": FLOAT, "int": INT, "choice": MENU}[control.kind]
    choices = tuple((choice, choice.capitalize()) for choice in control.choices)
    return [
        Row(name=name, label=label + unit, kind=kind, default=control.default, size=size,
            low=control.low, high=control.high, choices=choices, help=help_text)
    ]  # fmt: skip


def _controls(*names: str) -> list[Row]:
    return [row for name in names for row in _control_rows(CONTROLS[name])]


ON_FIRST_PAGE = ("confidence_floor",)
ON_SERVER_PAGE = ("encode_hz",)

WORKING_SIZES = (
    ("input", "As input"),
    ("1920", "1920"),
    ("1280", "1280"),
    ("960", "960"),
    ("640", "640"),
)
"""The longer side, in pixels, of what is sent to the server."""

PAGES: dict[str, list[Row]] = {
    "PromptMatte": [
        Row(name="Active", label="Active", kind=TOGGLE, default=True,
            help="Sends pictures and shows mattes. Off: the outputs stay as they are."),
        Row(name="Status", label="Status", kind=TEXT, read_only=True,
            help="What is going on, and what to do."),
        *_numbered("Prompt", "Prompt", TEXT_MENU, section_first=True,
                   help='What to key: "red jacket", "person + dog - hair". The menu holds what '
                   "Suggest found."),
        *_numbered("Negative", "Negative", TEXT, section_first=False,
                   help="What to leave out of this prompt's matte; commas part several things."),
        *_controls(*ON_FIRST_PAGE),
        Row(name="Suggest", label="Suggest", kind=PULSE, section=True,
            help="Looks for what could be keyed in the picture just now, for the prompts' menus."),
        Row(name="Fadetime", label="Fade time (s)", kind=FLOAT, default=0.0, high=10.0,
            help="How long the mattes of changed prompts fade into each other; 0 cuts."),
        Row(name="Preset", label="Preset", kind=TEXT_MENU, section=True,
            help="Name of a preset: prompts, negatives and the Matte page."),
        Row(name="Presetsave", label="Save preset", kind=PULSE,
            help="Keeps what is set now under the name above, in this component."),
        Row(name="Presetrecall", label="Recall preset", kind=PULSE,
            help="Fades to the preset of the name above over the fade time."),
        Row(name="Presetdelete", label="Delete preset", kind=PULSE,
            help="Forgets the preset of the name above."),
    ],
    "Matte": [
        *_controls(*(n for n in CONTROLS if n not in ON_FIRST_PAGE + ON_SERVER_PAGE)),
        Row(name="Compositefrom", label="Composite from", kind=MENU, default="1", section=True,
            choices=tuple((str(n), f"Prompt {n}") for n in range(1, PLACES + 1)),
            help="Whose matte cuts out the third output."),
    ],
    "Server": [
        Row(name="Link", label="Link", kind=MENU, default="shm",
            choices=(("shm", "Shared memory"), ("zmq", "ZeroMQ")),
            help="Shared memory: a server on this machine. ZeroMQ: through a port."),
        Row(name="Session", label="Session", kind=TEXT, default="promptmatte",
            help="Name of the shared memory; another one for each component."),
        Row(name="Host", label="Host", kind=TEXT, default="127.0.0.1",
            help="Of ZeroMQ; another machine through an SSH tunnel."),
        Row(name="Port", label="Port", kind=INT, default=5571, low=2, high=65534,
            help="Of ZeroMQ's mattes; the ports beside it are used too."),
        Row(name="Start", label="Start server", kind=PULSE, section=True,
            help="Starts a server as a program of its own, which ends with this component."),
        Row(name="Stop", label="Stop server", kind=PULSE,
            help="Ends the server that Start started."),
        Row(name="Restart", label="Restart server", kind=PULSE, help="Stop, then Start."),
        Row(name="Autostart", label="Start by itself", kind=TOGGLE, default=False,
            help="Starts the server when the component is loaded and none answers."),
        Row(name="Program", label="Program", kind=FILE,
            help="What Start runs: PromptMatte's folder, its Python, or promptmatte itself. "
            "Empty: promptmatte on the path."),
        Row(name="Model", label="Model", kind=MENU, default="embedded",
            choices=(("embedded", "embedded"),),
            help="The menu is the server's. A change is loaded while the mattes go on."),
        Row(name="Source", label="Source", kind=MENU, default="top", section=True,
            choices=(("top", "This TOP"), ("server", "The server's own")),
            help="Which picture is keyed. The server's own: see below; takes a Restart."),
        Row(name="Serversource", label="Server's source", kind=TEXT, default="camera:0",
            help="camera:0, a video file or a stream's address, opened by the server itself."),
        *_controls(*ON_SERVER_PAGE),
        Row(name="Workingsize", label="Working size", kind=MENU, default="1280",
            choices=WORKING_SIZES,
            help="The longer side of what is sent; smaller is faster. Mattes have this size."),
        Row(name="Fastpath", label="Picture path", kind=MENU, default="readback",
            choices=(("readback", "Readback (everywhere)"),),
            help="How pictures reach the server. The menu holds what works on this machine."),
    ],
    "Advanced": [
        Row(name="Whenlost", label="When mattes stop", kind=MENU, default="empty",
            choices=(("empty", "Empty matte"), ("full", "Full matte"), ("hold", "Hold the last")),
            help="What is shown when no matte has come for a while. The picture goes on live, "
            "except with hold."),
        Row(name="Losttime", label="After (s)", kind=FLOAT, default=1.0, low=0.1, high=10.0,
            help="How long a while is."),
        Row(name="Copyfirst", label="Copy pictures first", kind=TOGGLE, default=False,
            help="Copies each picture before it is handed on, which costs milliseconds. For the "
            "case that pictures are torn without it."),
        Row(name="Oscport", label="OSC port", kind=INT, default=0, low=0, high=65535, section=True,
            help="Listens for OSC on this port; 0 does not."),
        Row(name="Serveroptions", label="Server options", kind=TEXT,
            help="More options for Start, as of promptmatte serve: --device cuda:1"),
    ],
    "About": [
        Row(name="Version", label="Version", kind=TEXT, default=__version__, read_only=True),
        Row(name="Help", label="Help", kind=PULSE, help="Opens the readme."),
        Row(name="Savebuild", label="Save .tox", kind=PULSE,
            help="Writes PromptMatte.tox beside the project."),
    ],
}  # fmt: skip


def rows() -> Iterator[Row]:
    """Every row of every page."""
    for page in PAGES.values():
        yield from page


CHANNEL_CONTROLS: dict[str, tuple[str, ...]] = {
    name: tuple(f"{parameter_name(name)}{place}" for place in range(1, PLACES + 1))
    for name, control in CONTROLS.items()
    if control.scope == "channel"
}
"""Control of each prompt -> its four parameters."""

STREAM_CONTROLS: dict[str, str] = {
    name: parameter_name(name) for name, control in CONTROLS.items() if control.scope == "stream"
}
"""Control of all prompts together -> its parameter."""

PROMPTS = tuple(f"Prompt{place}" for place in range(1, PLACES + 1))
NEGATIVES = tuple(f"Negative{place}" for place in range(1, PLACES + 1))

WISHED = {
    *PROMPTS, *NEGATIVES, "Fadetime", *STREAM_CONTROLS.values(),
    *(name for names in CHANNEL_CONTROLS.values() for name in names),
}  # fmt: skip
"""Parameters whose change is a new wish to the server."""

KEPT_IN_PRESETS = tuple(
    name
    for row in rows()
    for name in row.names
    if name in WISHED and name not in ("Fadetime", *(parameter_name(n) for n in ON_SERVER_PAGE))
)
"""Parameters that a preset holds."""
