"""The writing end of an exchange in device memory; see cuda_ring.py."""

from __future__ import annotations

import logging
import secrets
import time

from promptmatte_shm.cuda_driver import CudaDevice
from promptmatte_shm.cuda_ring import (
    BEATS_WORD,
    DEFAULT_CUDA_SLOTS,
    GENERATION_BYTES,
    LANE_COUNT,
    MAX_CUDA_SLOTS,
    MIN_CUDA_SLOTS,
    NEWEST_WORD,
    OPEN_WORD,
    SEGMENT_BYTES,
    SILENCE_S,
    Begun,
    Generation,
    PixelLayout,
    SlotEntry,
    lane_word,
    memory_bytes,
    move,
    planes_of,
    reader_role,
    roomy_slot_bytes,
    segment_name,
    stored_bytes,
    writer_role,
)
from promptmatte_shm.directory import Channel
from promptmatte_shm.errors import CudaError, LayoutError, SessionBusyError, ShmError
from promptmatte_shm.lockfile import LockFile
from promptmatte_shm.pulse import Pulse
from promptmatte_shm.segment import Segment, checked_name, fence, unlink
from promptmatte_shm.slot import SlotHeader

logger = logging.getLogger(__name__)

_REAP_S = 0.25
_CLOSING_POLL_S = 0.002


class CudaRingWriter:
    """The one writer of a direction; makes the segment and the memory. For one thread."""

    def __init__(
        self,
        session: str,
        channel: Channel,
        *,
        device: CudaDevice,
        slot_count: int = DEFAULT_CUDA_SLOTS,
    ) -> None:
        """SessionNameError; SessionBusyError while another writer lives. What a killed one
        left is taken over. Device memory is taken with the first picture."""
        if not MIN_CUDA_SLOTS <= slot_count <= MAX_CUDA_SLOTS:
            raise LayoutError(
                f"expected {MIN_CUDA_SLOTS} to {MAX_CUDA_SLOTS} slots; got {slot_count}"
            )
        self.session = checked_name(session)
        self._channel = channel
        self._device = device
        self.slot_count = slot_count
        self._lock_file = LockFile(session, writer_role(channel))
        if not self._lock_file.acquire():
            raise SessionBusyError(
                f"the {channel.name.lower()} of cuda:{session} are sent by another program: "
                "stop that one or take another name"
            )
        try:
            self._segment = _own_segment(segment_name(session, channel))
        except ShmError:
            self._lock_file.release()
            raise
        # Far from what a writer before this one counted, so no old ticket looks new.
        self._ticket = secrets.randbits(62) | 1
        self._generation: Generation | None = None
        self._record = bytes(GENERATION_BYTES)
        self._memory = 0
        self._retired: list[tuple[int, int]] = []
        self._next_reap_s = 0.0
        self._readers = Pulse(SILENCE_S)
        self._closed = False
        self.beat()

    @property
    def slot_bytes(self) -> int:
        """The largest picture that needs no new generation; 0 before the first."""
        return self._generation.slot_bytes if self._generation else 0

    @property
    def connected(self) -> bool:
        """Whether any reader has moved lately."""
        return self._look() and not self._closed

    def _look(self) -> bool:
        words = self._segment.words
        return self._readers.look(sum(words[lane_word(i) + 1] for i in range(LANE_COUNT)))

    def beat(self) -> None:
        """Shows readers that this writer lives, and looks for theirs; begin and publish do
        so too."""
        self._segment.words[OPEN_WORD] = 1
        move(self._segment, BEATS_WORD)
        self._look()

    def begin(self, header: SlotHeader, layout: PixelLayout) -> Begun:
        """The planes to fill with this picture; the oldest slot is lost to readers from now on.

        FrameFormatError for a header that cannot be carried; CudaError if there is no memory
        for its size. A larger picture than before takes new memory, and nothing that was
        begun before is published any more.
        """
        if self._closed:
            raise ShmError(f"cuda:{self.session} is closed: open a new one")
        fields = header.pack()
        self.beat()
        self._reap()
        generation = self._generation
        if generation is None or stored_bytes(header) > generation.slot_bytes:
            generation = self._grow(roomy_slot_bytes(stored_bytes(header)))
        self._ticket += 1
        index = self._ticket % self.slot_count
        slot = SlotEntry(self._segment, index)
        slot.begun = self._ticket
        fence()
        slot.generation = generation.number
        slot.describe(fields, layout)
        planes = planes_of(header, self._memory + index * generation.slot_bytes)
        return Begun(self._ticket, generation.number, *planes)

    def publish(self, begun: Begun) -> bool:
        """Shows a picture whose copy is done to the readers; False if its memory has been
        replaced meanwhile. In the order of begin."""
        generation = self._generation
        if generation is None or generation.number != begun.generation:
            return False
        fence()
        SlotEntry(self._segment, begun.ticket % self.slot_count).ended = begun.ticket
        fence()
        self._segment.words[NEWEST_WORD] = begun.ticket
        self._segment.write(0, self._record)  # heals a record that somebody damaged
        self.beat()
        return True

    def _grow(self, slot_bytes: int) -> Generation:
        memory = self._device.allocate(memory_bytes(self.slot_count, slot_bytes))
        try:
            handle = self._device.export(memory)
        except CudaError:
            self._device.free(memory)
            raise
        generation = Generation(
            number=secrets.randbits(62) | 1,
            slot_count=self.slot_count,
            slot_bytes=slot_bytes,
            uuid=self._device.uuid,
            handle=handle,
        )
        if self._generation is not None:
            self._retired.append((self._generation.number, self._memory))
        self._generation, self._memory = generation, memory
        self._record = generation.pack()
        self._segment.words[NEWEST_WORD] = 0
        fence()
        self._segment.write(0, self._record)
        fence()
        return generation

    def _reap(self) -> None:
        """Frees the memory of former generations that no living reader has open."""
        if not self._retired or time.monotonic() < self._next_reap_s:
            return
        self._next_reap_s = time.monotonic() + _REAP_S
        kept = []
        for number, memory in self._retired:
            if self._is_open(number):
                kept.append((number, memory))
            else:
                self._device.free(memory)
        self._retired = kept

    def _is_open(self, generation: int) -> bool:
        fence()
        words = self._segment.words
        for lane in range(LANE_COUNT):
            if words[lane_word(lane)] != generation:
                continue
            lock = LockFile(self.session, reader_role(self._channel, lane))
            if not lock.acquire():
                return True
            words[lane_word(lane)] = 0  # its reader died
            lock.release()
        return False

    def close(self, patience_s: float = 0.0) -> None:
        """Removes the segment and frees the memory; safe to call twice. Copies into it are
        done before.

        Readers get patience_s to let go of the memory. What one still has open after that
        stays until this process ends.
        """
        if self._closed:
            return
        self._closed = True
        segment = self._segment
        segment.write(0, bytes(GENERATION_BYTES))
        segment.words[OPEN_WORD] = 0
        if self._generation is not None:
            self._retired.append((self._generation.number, self._memory))
        deadline_s = time.monotonic() + patience_s
        while True:
            self._next_reap_s = 0.0
            self._reap()
            if not self._retired or time.monotonic() >= deadline_s:
                break
            time.sleep(_CLOSING_POLL_S)
        if self._retired:
            logger.warning(
                "cuda:%s: a reader keeps its memory open; it stays until this program ends",
                self.session,
            )
        unlink(segment.name)
        self._lock_file.release()


def _own_segment(name: str) -> Segment:
    """A new segment, or the one a killed writer left, emptied; lanes keep what living readers
    say of themselves."""
    try:
        segment = Segment.attach(name, SEGMENT_BYTES)
    except ShmError:
        unlink(name)
        return Segment.create(name, SEGMENT_BYTES)
    lanes = segment.read(lane_word(0) * 8, (lane_word(LANE_COUNT) - lane_word(0)) * 8)
    segment.write(0, bytes(SEGMENT_BYTES))
    segment.write(lane_word(0) * 8, lanes)
    return segment
