"""Pictures to and from other programs through the libraries of their vendors: NDI, Spout,
Syphon and virtual cameras. Each library is imported when an address asks for it."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterable
from importlib import import_module
from types import ModuleType

from promptmatte.clock import Clock
from promptmatte.errors import ConfigError
from promptmatte.vendors.address import VENDORS, VendorAddress, is_vendor_address
from promptmatte.vendors.sink import OpenSender, Sink

__all__ = ["Sink", "VendorAddress", "is_vendor_address", "main_thread_work", "open_sink"]

logger = logging.getLogger(__name__)


def open_sink(address: str, *, clock: Clock, system: str | None = None) -> Sink:
    """A sink that sends cut-outs to ndi:NAME, spout:NAME, syphon:NAME or virtualcam:[DEVICE];
    system: this one's name as platform.system() has it, unless given. ConfigError for an address
    that cannot be used, on the wrong system and without the package."""
    place = VendorAddress.parse(address)
    library = library_of(place, system=system)
    return Sink(str(place), _sender_opener(place, library), clock=clock)


def _sender_opener(place: VendorAddress, library: ModuleType) -> OpenSender:
    match place.kind:
        case "ndi":
            from promptmatte.vendors.ndi import NdiSender

            return lambda size_hw: NdiSender(library, place.name, size_hw)
        case "spout":
            from promptmatte.vendors.spout import SpoutSender

            return lambda size_hw: SpoutSender(library, place.name, size_hw)
        case "syphon":
            from promptmatte.vendors.syphon import SyphonSender

            return lambda size_hw: SyphonSender(library, place.name, size_hw)
        case _:
            from promptmatte.vendors.virtual_camera import VirtualCamera

            return lambda size_hw: VirtualCamera(library, place.name or None, size_hw)


def library_of(place: VendorAddress, *, system: str | None = None) -> ModuleType:
    """The vendor's Python package; ConfigError on a system it is not for, and without it."""
    vendor, system = VENDORS[place.kind], system or platform.system()
    if vendor.system not in (None, system):
        wanted = {"Darwin": "macOS"}.get(str(vendor.system), vendor.system)
        raise ConfigError(
            f"expected {wanted} for {place.kind}:; got {system}: use ndi: here, or shm:, zmq:"
        )
    remedy = f"python -m pip install 'promptmatte[{place.kind}]'"
    try:
        return import_module(vendor.module)
    except ModuleNotFoundError as error:
        if error.name != vendor.module:
            raise ConfigError(_broken(vendor.package, place, error, remedy)) from error
        raise ConfigError(
            f"expected the package {vendor.package} for {place.kind}:; got none: {remedy}"
        ) from error
    except (ImportError, OSError) as error:
        raise ConfigError(_broken(vendor.package, place, error, remedy)) from error


def _broken(package: str, place: VendorAddress, error: Exception, remedy: str) -> str:
    return (
        f"expected a package {package} that works for {place.kind}:; got {error}: "
        f"{remedy} --force-reinstall"
    )


def main_thread_work(addresses: Iterable[str]) -> Callable[[], None]:
    """What the vendors of these addresses need from the main thread ten times a second; it never
    raises, and is nothing for most."""
    if not any(address.startswith("syphon:") for address in addresses):
        return lambda: None
    from promptmatte.vendors.syphon import Announcer

    announcer = Announcer(import_module(VENDORS["syphon"].module))
    return announcer.work
