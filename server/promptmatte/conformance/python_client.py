"""The reference candidate: promptmatte_shm behind the suite's lines of JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

from promptmatte_shm import (
    ClientSession,
    Frame,
    FrameFormatError,
    FrameInfo,
    LayoutError,
    Matte,
    MessageTooLargeError,
    PixelFormat,
    RequestTimeoutError,
    SessionNameError,
    SessionNotFoundError,
    ShmError,
)

from promptmatte.conformance.pattern import crc_of, pattern

ERROR_KINDS: dict[type[ShmError], str] = {
    SessionNameError: "bad_input",
    FrameFormatError: "bad_input",
    SessionNotFoundError: "no_server",
    LayoutError: "layout",
    RequestTimeoutError: "timeout",
    MessageTooLargeError: "too_large",
}


class PythonClient:
    """Does what the lines ask, with one session at a time."""

    def __init__(self) -> None:
        self.session: ClientSession | None = None

    def do(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The answer to one line."""
        try:
            if asked["do"] == "open":
                self.close()
                self.session = ClientSession(asked["session"])
                return {}
            if self.session is None:
                return {"ok": False, "error": "bad_input", "text": "no session is open"}
            return self._do_in(self.session, asked)
        except ShmError as error:
            return {
                "ok": False,
                "error": ERROR_KINDS.get(type(error), "other"),
                "text": str(error),
            }

    def _do_in(self, session: ClientSession, asked: dict[str, Any]) -> dict[str, Any]:
        match asked["do"]:
            case "send":
                return {"sent": self.send(session, asked)}
            case "read":
                matte = session.latest_matte(asked["timeout_ms"] / 1000)
                return {"got": False} if matte is None else {"got": True, **told(matte)}
            case "request":
                command = json.loads(asked["command"])
                reply = session.request(command, asked["timeout_ms"] / 1000)
                return {"reply": json.dumps(reply)}
            case "status":
                return {"connected": session.status.connected}
            case "close":
                self.close()
                return {}
            case other:
                return {"ok": False, "error": "bad_input", "text": f"cannot do {other!r}"}

    def send(self, session: ClientSession, asked: dict[str, Any]) -> bool:
        """Whether the frame of this line was sent."""
        pixels = pattern(
            asked["height"],
            asked["width"],
            PixelFormat.from_code(asked["format"]),
            asked["seed"],
        )
        info = FrameInfo(**{name: asked[name] for name in FrameInfo.__dataclass_fields__})
        before = session.status.sent
        session.send_frame(Frame(info=info, pixels=pixels))
        return session.status.sent > before

    def close(self) -> None:
        """Leaves the session, if one is open."""
        if self.session is not None:
            self.session.close()
            self.session = None


def told(matte: Matte) -> dict[str, Any]:
    """All that a matte says."""
    height, width = matte.size_hw
    return {
        "width": width,
        "height": height,
        "format": matte.format.code,
        "fill_format": matte.fill_format.code if matte.fill_format else 0,
        "stream_id": matte.info.stream_id,
        "seq": matte.info.seq,
        "pts_ns": matte.info.pts_ns,
        "captured_ns": matte.info.captured_ns,
        "anchor_seq": matte.anchor_seq,
        "prompts_version": matte.prompts_version,
        "age_ms": matte.age_ms,
        "confidence": list(matte.confidence),
        "alpha_crc": crc_of(matte.alpha),
        "fill_crc": 0 if matte.fill is None else crc_of(matte.fill),
    }


def main(client: PythonClient) -> None:
    """Answers line by line until the input ends."""
    try:
        for line in sys.stdin:
            answer = {"ok": True, **client.do(json.loads(line))}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
    finally:
        client.close()


if __name__ == "__main__":
    main(PythonClient())
