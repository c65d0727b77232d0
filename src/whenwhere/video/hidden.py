"""Packets that show nothing: reference frames that VP8, VP9 and AV1 store in packets of their own.

They have time stamps like any other packet, but no frame is displayed at these. Their headers say so in the clear, and
only these first bits are read.
"""

from collections.abc import Callable


def _vp8(data: memoryview) -> bool:
    return not data[0] & 0x10


def _vp9(data: memoryview) -> bool:
    """A packet may hold several frames, with an index at its end (VP9 specification, annex B)."""
    last = data[-1]
    count, width = (last & 7) + 1, (last >> 3 & 3) + 1
    index = 2 + count * width
    if last & 0xE0 != 0xC0 or len(data) <= index or data[-index] != last:
        return _hidden_vp9_frame(data)
    at = 0
    for k in range(count):
        begin = len(data) - index + 1 + k * width
        size = int.from_bytes(data[begin : begin + width], "little")
        if size and not _hidden_vp9_frame(data[at : at + size]):
            return False
        at += size
    return True


def _hidden_vp9_frame(frame: memoryview) -> bool:
    """Whether the uncompressed header (section 7.2) says that the frame is not shown."""
    if not len(frame) or frame[0] >> 6 != 2:
        return False
    # Marker and profile take four bits, and one more in the highest profile.
    bits = frame[0] << 1 if frame[0] & 0x30 == 0x30 else frame[0]
    shows_existing, shows = bits & 0x08, bits & 0x02
    return not shows_existing and not shows


def _av1(data: memoryview) -> bool:
    """Whether there are frame headers (AV1 specification, sections 5.3 and 5.9), none of which shows a frame."""
    found = False
    at = 0
    while at < len(data):
        head = data[at]
        kind = head >> 3 & 15
        at += 1 + (head >> 2 & 1)
        size = len(data) - at
        if head & 2:
            size = shift = 0
            while at < len(data):
                byte = data[at]
                at += 1
                size |= (byte & 127) << shift
                shift += 7
                if not byte & 128:
                    break
        # A still picture's sequence header: its one frame is shown, and the frame's header does not say so.
        if kind == 1 and at < len(data) and data[at] & 0x08:
            return False
        # A whole frame, or its header alone.
        if kind in (3, 6) and size and at < len(data):
            first = data[at]
            # show_existing_frame, or after the two bits of the frame's type show_frame.
            if first & 0x80 or first & 0x10:
                return False
            found = True
        at += size
    return found


#: By FFmpeg's name of the codec, whether the content of a packet shows no frame.
HIDES: dict[str, Callable[[memoryview], bool]] = {"vp8": _vp8, "vp9": _vp9, "av1": _av1}
