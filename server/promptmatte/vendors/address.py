"""Addresses of pictures that a vendor's library carries."""

from __future__ import annotations

from dataclasses import dataclass

from promptmatte.errors import ConfigError, shown

MAX_NAME = 128


@dataclass(frozen=True, kw_only=True)
class Vendor:
    """A kind of address: its package, the module to import, and the only system, as
    platform.system() names it, that has it (None: all)."""

    package: str
    module: str
    system: str | None = None
    sends_only: bool = False


VENDORS = {
    "ndi": Vendor(package="cyndilib", module="cyndilib"),
    "spout": Vendor(package="SpoutGL", module="SpoutGL", system="Windows"),
    "syphon": Vendor(package="syphon-python", module="syphon", system="Darwin"),
    "virtualcam": Vendor(package="pyvirtualcam", module="pyvirtualcam", sends_only=True),
}
"""By kind, which is also the name of the extra."""


@dataclass(frozen=True, kw_only=True)
class VendorAddress:
    """KIND:NAME; the name of a virtual camera may be empty: the first there is."""

    kind: str
    name: str

    @classmethod
    def parse(cls, address: str) -> VendorAddress:
        """The parts of an address; ConfigError for one that cannot be used."""
        kind, _, name = address.partition(":")
        name = name.strip()
        expected = "virtualcam: or virtualcam:DEVICE" if kind == "virtualcam" else f"{kind}:NAME"
        if not is_vendor_address(address):
            raise ConfigError(f"expected {', '.join(VENDORS)} with a name; got {shown(address)}")
        if len(name) > MAX_NAME or not name.isprintable() or not (name or kind == "virtualcam"):
            raise ConfigError(
                f"expected {expected}, a name of up to {MAX_NAME} printable letters; "
                f"got {shown(address)}"
            )
        return cls(kind=kind, name=name)

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


def is_vendor_address(address: str) -> bool:
    """Whether a vendor's library carries it."""
    kind, colon, _ = address.partition(":")
    return bool(colon) and kind in VENDORS
