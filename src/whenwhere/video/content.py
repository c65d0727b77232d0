"""A hash of everything that decides a video's frames, for cache keys and for the identity of answers.

For an ordinary file that is its bytes. A playlist only names files, which may change under their names while the
playlist stays as it is: its hash is that of the packets that it gives.
"""

import hashlib
import struct

from whenwhere.store import content_hash
from whenwhere.video.media import opened, packets, video_stream

# FFmpeg's formats whose pictures lie in other files.
_PLAYLISTS = {"hls", "dash", "concat", "imf", "image2"}


def content_key(path: str) -> str:
    """The hash of a video: of its file, and of what the file refers to.

    Raises:
        MediaError: The file cannot be opened.
    """
    with opened(path) as container:
        if container.format.name not in _PLAYLISTS:
            return content_hash(path)
        stream = video_stream(container, path)
        digest = hashlib.blake2b(content_hash(path).encode(), digest_size=20)
        digest.update(stream.codec_context.extradata or b"")
        for packet in packets(container, stream):
            digest.update(struct.pack(">?qq", packet.pts is not None, packet.pts or 0, packet.size))
            digest.update(bytes(packet))
        return digest.hexdigest()
