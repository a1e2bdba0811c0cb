"""The way to a Ray cluster."""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import Any

from promptmatte.errors import ConfigError, LinkError

LOCAL = "local"


def installed_ray() -> Any:
    """The module ray, which tells nobody that it is used; ConfigError, with the command to type,
    when it is not there."""
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(
            "expected the package ray for a cluster; got none: "
            "python -m uv pip install 'promptmatte[cluster]'"
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    return importlib.import_module("ray")


def connected_ray(address: str) -> Any:
    """Ray, connected: `local` starts a cluster on this machine, `auto` finds the one it belongs to,
    else HOST:PORT of a head node. LinkError without one."""
    ray = installed_ray()
    try:
        ray.init(address=address, include_dashboard=False if address == LOCAL else None,
                 log_to_driver=False)  # fmt: skip
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise LinkError(
            f"expected a Ray cluster at {address}; {error}: start one with `ray start --head`, or "
            "take --address local"
        ) from error
    return ray
