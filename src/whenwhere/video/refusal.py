"""Why a file cannot be read: the true reason, found by looking at its first bytes and boxes.

Only files that FFmpeg could not open or decode are looked at, so nothing here decides what can be read.
"""

from whenwhere.video import mp4

# Boxes that begin an mp4 file, and those that begin a piece of a stream.
_MP4 = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_SEGMENT = (b"styp", b"moof", b"sidx", b"emsg", b"prft")

_AGAIN = "copy or download it again"
#: The end of a sentence about a video whose pictures are protected.
ENCRYPTED = "is encrypted: name a copy without protection"


def refusal(path: str, opened: bool) -> str:
    """The end of a sentence that begins with the name of a file which cannot be read.

    Args:
        path: An existing, ordinary file.
        opened: Whether its container could be opened, so that only its pictures are at fault.
    """
    with open(path, "rb") as f:
        head = f.read(1 << 16)
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and head[20:21] and head[20] & 2:
        return "is an animated WebP picture, which FFmpeg cannot decode: convert it to GIF or mp4"
    if is_encrypted(path):
        return ENCRYPTED
    if head[4:8] in _MP4 + _SEGMENT:
        index = mp4.index(path)
        if not opened and index is None and head[4:8] in _SEGMENT:
            return "is a piece of a stream without its beginning: put the stream's first piece before it"
        if not opened and index is None:
            return f"was cut off before its index (moov) and cannot be played: {_AGAIN}"
        if not opened:
            return f"has an index (moov) that is damaged: {_AGAIN}"
    if opened:
        return f"has no frame that can be decoded: it is damaged, {_AGAIN}"
    if b"\0" not in head[:4096]:
        try:
            head[:4092].decode("utf-8")
            return "is text, not a video"
        except UnicodeDecodeError as e:
            # The last character may be cut.
            if e.start > 4088:
                return "is text, not a video"
    return "is not a video that FFmpeg can read: it is damaged or another kind of file"


def is_encrypted(path: str) -> bool:
    """Whether the header of a file that cannot be decoded says that its pictures are encrypted."""
    with open(path, "rb") as f:
        head = f.read(1 << 16)
    # Matroska's ContentEncryption, with the algorithm in it.
    if head.startswith(b"\x1aE\xdf\xa3") and b"\x50\x35" in head and b"\x47\xe1" in head:
        return True
    index = mp4.index(path) if head[4:8] in _MP4 + _SEGMENT else None
    return index is not None and any(mark in index for mark in (b"encv", b"sinf", b"pssh"))
