"""Pictures that other programs send through NDI, Spout or Syphon."""

from __future__ import annotations

import math
from types import ModuleType

from promptmatte.clock import Clock
from promptmatte.errors import ConfigError
from promptmatte.sources.latest_reader import Device, LatestReader, LatestSource
from promptmatte.vendors import library_of
from promptmatte.vendors.address import VENDORS, VendorAddress


class VendorSource(LatestSource):
    """The newest picture of ndi:NAME, spout:NAME or syphon:NAME.

    A sender that shows the same picture for long is no error; one that is gone is. ConfigError
    for an address that cannot be used, on the wrong system and without the package.
    """

    def __init__(self, address: str, *, clock: Clock, system: str | None = None) -> None:
        place = VendorAddress.parse(address)
        if VENDORS[place.kind].sends_only:
            raise ConfigError(
                f"expected camera:NUMBER for a camera; got {address}, which is for --out"
            )
        device = _device(place, library_of(place, system=system))
        reader = LatestReader(device, name=str(place), clock=clock, silence_s=math.inf)
        super().__init__(reader, name=str(place))


def _device(place: VendorAddress, library: ModuleType) -> Device:
    match place.kind:
        case "ndi":
            from promptmatte.vendors.ndi import NdiReceiver

            return NdiReceiver(library, place.name)
        case "spout":
            from promptmatte.vendors.spout import SpoutReceiver

            return SpoutReceiver(library, place.name)
        case _:
            from promptmatte.vendors.syphon import SyphonReceiver

            return SyphonReceiver(library, place.name)
