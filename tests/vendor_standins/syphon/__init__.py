"""Stands in for syphon-python 0.2.0, whose signatures these are.

Its directory has the servers "Stage" of "Show" and "Out" of "Mixer"; a client gets BGRA pictures
4 high and 6 wide, whose every byte is its place.
"""

import time
from dataclasses import dataclass
from typing import Any

import objc
from vendor_record import picture_fault, record

import syphon.utils.raw


class SyphonMetalServer:
    def __init__(
        self, name: str, device: Any = None, command_queue: Any = None, *, is_private: bool = False
    ) -> None:
        assert objc.depth
        self.device = "metal"
        record("SyphonMetalServer", name=name)

    @property
    def has_clients(self) -> bool:
        return True

    def publish_frame_texture(
        self, texture: Any, region: Any = None, size: Any = None, is_flipped: bool = False,
        command_buffer: Any = None, auto_commit: bool = True,
    ) -> None:  # fmt: skip
        assert objc.depth
        picture_fault()
        record(
            "publish", pixels=texture.data.hex(), width=texture.width(), height=texture.height(),
            format=texture.pixelFormat(), is_flipped=is_flipped,
        )  # fmt: skip

    def stop(self) -> None:
        record("stop")


@dataclass
class SyphonServerDescription:
    uuid: str
    name: str
    app_name: str
    icon: Any
    raw: Any


class SyphonServerDirectory:
    def __init__(self) -> None:
        self.run_loop_interval: float = 1.0

    @property
    def servers(self) -> list[SyphonServerDescription]:
        self.update_run_loop()
        there = (("Stage", "Show"), ("Out", "Mixer"))
        return [SyphonServerDescription(n, n, app, None, None) for n, app in there]

    def update_run_loop(self) -> None:
        time.sleep(self.run_loop_interval)

    def close(self) -> None:
        record("directory closed")


class SyphonMetalClient:
    def __init__(
        self, description: SyphonServerDescription, device: Any = None, *,
        new_frame_handler: Any = None, callback_loop: Any = None,
    ) -> None:  # fmt: skip
        record("SyphonMetalClient", app=description.app_name, name=description.name)
        self.has_new_frame = self.is_valid = True

    @property
    def new_frame_image(self) -> Any:
        assert objc.depth
        texture = syphon.utils.raw.create_mtl_texture("metal", 6, 4, 80)
        texture.data = bytes(range(6 * 4 * 4))
        return texture

    def stop(self) -> None:
        record("client stopped")
