"""The reading end of an exchange in device memory; see cuda_ring.py."""

from __future__ import annotations

import logging
import time

from promptmatte_shm.cuda_driver import CudaDevice, shown_uuid
from promptmatte_shm.cuda_ring import (
    BEATS_WORD,
    GENERATION_BYTES,
    LANE_COUNT,
    NEWEST_WORD,
    OPEN_WORD,
    SEGMENT_BYTES,
    SILENCE_S,
    Found,
    Generation,
    SlotEntry,
    lane_word,
    move,
    planes_of,
    reader_role,
    segment_name,
)
from promptmatte_shm.directory import Channel
from promptmatte_shm.errors import CudaError, LayoutError, SessionNotFoundError, ShmError
from promptmatte_shm.lockfile import LockFile
from promptmatte_shm.pulse import Pulse
from promptmatte_shm.ring import ReadCounts
from promptmatte_shm.segment import Segment, checked_name, fence

logger = logging.getLogger(__name__)

_LOOK_AGAIN_S = 0.1
_OPEN_AGAIN_S = 1.0
_ATTEMPTS = 4


class CudaRingReader:
    """A reader of a direction, before or after its writer comes. For one thread."""

    def __init__(
        self, session: str, channel: Channel, *, device: CudaDevice, counts: ReadCounts
    ) -> None:
        """SessionNameError; ShmError if there are LANE_COUNT readers already."""
        self.session = checked_name(session)
        self._channel = channel
        self._device = device
        self._counts = counts
        self._lane, self._lock_file = self._claimed_lane()
        self._segment: Segment | None = None
        self._next_look_s = 0.0
        self._writer = Pulse(SILENCE_S)
        self._followed = b""
        self._generation: Generation | None = None
        self._memory = 0
        self._seen = 0
        self._open_again_s = 0.0
        self.refusal = ""
        """Why the pictures that are there cannot be used; empty while they can."""
        self.connected = False
        """Whether a writer has moved lately and its pictures can be used."""

    def _claimed_lane(self) -> tuple[int, LockFile]:
        for lane in range(LANE_COUNT):
            lock = LockFile(self.session, reader_role(self._channel, lane))
            if lock.acquire():
                return lane, lock
        raise ShmError(
            f"expected at most {LANE_COUNT} readers of cuda:{self.session}; got one more: "
            "close one of them"
        )

    def newest(self) -> Found | None:
        """The newest unseen picture, to be copied and then finished; None when there is none.

        Never waits. Opens the memory where that is new, and lets go of what has been replaced:
        no copy out of an earlier Found may be under way.
        """
        segment = self._current()
        if segment is None or self._generation is None or not self.connected:
            return None
        words, generation = segment.words, self._generation
        for _ in range(_ATTEMPTS):
            ticket = words[NEWEST_WORD]
            if ticket in (0, self._seen):
                return None
            slot = SlotEntry(segment, ticket % generation.slot_count)
            fence()
            found = self._described(slot, ticket, generation)
            fence()
            if found is not None and slot.begun == ticket:
                return found
            if words[NEWEST_WORD] != ticket:
                continue
            if segment.read(0, GENERATION_BYTES) == self._followed:
                self._counts.rejected += 1  # nobody overwrote it: it is damaged
                self._seen = ticket
            return None
        return None

    def _described(self, slot: SlotEntry, ticket: int, generation: Generation) -> Found | None:
        if not slot.begun == ticket == slot.ended or slot.generation != generation.number:
            return None
        try:
            header, layout = slot.description(generation.slot_bytes)
        except LayoutError:
            return None
        at = self._memory + ticket % generation.slot_count * generation.slot_bytes
        return Found(ticket, generation.number, header, layout, *planes_of(header, at))

    def finish(self, found: Found) -> bool:
        """Whether the copy of this picture, now done, is whole; counts it."""
        segment, generation = self._segment, self._generation
        if segment is None or generation is None or generation.number != found.generation:
            return False
        slot = SlotEntry(segment, found.ticket % generation.slot_count)
        fence()
        if slot.begun != found.ticket or slot.generation != found.generation:
            self._counts.torn += 1
            if segment.words[NEWEST_WORD] == found.ticket:
                self._seen = found.ticket
            return False
        self._counts.received += 1
        self._counts.missed += max(0, found.ticket - self._seen - 1) if self._seen else 0
        self._seen = found.ticket
        return True

    def beat(self) -> None:
        """Shows the writer that this reader lives; newest does so too."""
        if self._segment is not None:
            word = lane_word(self._lane)
            self._segment.words[word] = self._generation.number if self._generation else 0
            move(self._segment, word + 1)

    def _current(self) -> Segment | None:
        """The segment of the present writer, its memory open if that can be used."""
        segment = self._attached()
        if segment is None:
            self.connected = False
            return None
        self.beat()
        alive = self._writer.look(segment.words[BEATS_WORD])
        if not segment.words[OPEN_WORD]:
            self._let_go()
            self._segment, alive = None, False
        elif alive:
            self._follow(segment)
        elif self._writer.silent:
            # Looked for again by name: another writer may have made another segment.
            self._let_go()
            self._segment = None
        connected = alive and not self.refusal
        if connected != self.connected:
            self.connected = connected
            what = "connected" if connected else "no sender"
            logger.info("cuda:%s %s: %s", self.session, self._channel.name.lower(), what)
        return segment

    def _attached(self) -> Segment | None:
        if self._segment is None and time.monotonic() >= self._next_look_s:
            self._next_look_s = time.monotonic() + _LOOK_AGAIN_S
            try:
                self._segment = Segment.attach(
                    segment_name(self.session, self._channel), SEGMENT_BYTES
                )
            except SessionNotFoundError:
                pass
            except ShmError as error:
                self._refuse(str(error))
        return self._segment

    def _follow(self, segment: Segment) -> None:
        """Opens the memory of the present generation; keeps the one before it until the
        record of the new one is whole."""
        raw = segment.read(0, GENERATION_BYTES)
        if raw == self._followed and not (self.refusal and self._may_open_again()):
            return
        try:
            generation = Generation.unpack(raw)
        except LayoutError as error:
            self._let_go()
            self._followed = raw
            self._refuse(str(error))
            return
        if generation is None:
            if not any(raw):
                self._let_go()
            return
        self._let_go()
        self._followed = raw
        if generation.uuid != self._device.uuid:
            self._refuse(
                f"expected both programs on one card; cuda:{self.session} is sent from "
                f"{shown_uuid(generation.uuid)}, and this program uses "
                f"{shown_uuid(self._device.uuid)}: start the server with "
                f"CUDA_VISIBLE_DEVICES set to the card that TouchDesigner uses"
            )
            return
        self._open(segment, generation)

    def _open(self, segment: Segment, generation: Generation) -> None:
        # Said before it is true: the writer sees it, or this reader sees a newer record.
        segment.words[lane_word(self._lane)] = generation.number
        fence()
        if segment.read(0, GENERATION_BYTES) != self._followed:
            segment.words[lane_word(self._lane)] = 0
            self._followed = b""
            return
        try:
            memory = self._device.open_exported(generation.handle)
            size = self._device.byte_size(memory)
            if size < generation.slot_count * generation.slot_bytes:
                self._device.close_exported(memory)
                raise CudaError(
                    f"expected {generation.slot_count} slots of {generation.slot_bytes} bytes "
                    f"of device memory; got {size} bytes: restart the program that sends"
                )
        except CudaError as error:
            segment.words[lane_word(self._lane)] = 0
            self._open_again_s = time.monotonic() + _OPEN_AGAIN_S
            self._refuse(str(error))
            return
        self._refuse("")
        self._generation, self._memory, self._seen = generation, memory, 0

    def _may_open_again(self) -> bool:
        return 0.0 < self._open_again_s <= time.monotonic()

    def _refuse(self, because: str) -> None:
        """Remembers why the pictures cannot be used; empty if they can."""
        if because and because != self.refusal:
            logger.warning("cuda:%s %s: %s", self.session, self._channel.name.lower(), because)
        self.refusal = because

    def _let_go(self) -> None:
        """Closes the memory; the same one may be opened again."""
        if self._generation is not None:
            self._device.close_exported(self._memory)
        self._generation, self._memory, self._followed, self._open_again_s = None, 0, b"", 0.0
        fence()
        if self._segment is not None:
            self._segment.words[lane_word(self._lane)] = 0

    def close(self) -> None:
        """Lets go of the memory and the lane; safe to call twice. Copies are done before."""
        self._let_go()
        self._segment = None
        self.connected = False
        self._lock_file.release()
