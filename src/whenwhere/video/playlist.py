"""What FFmpeg may open when it is given one file: that file, and the parts of an HLS playlist beside it.

Many formats of FFmpeg name further files (HLS, DASH, concat, image sequences, SDP), and it would follow them anywhere.
Here a file that the user named gives its own frames only: demuxers are allowed by name (`CONTAINERS`), and all of them
read a single file. The one exception is an HLS playlist that is named as such (`.m3u8`), because recorders and
streaming services store whole videos in that form. It is read by us first and allowed only if it is finished, if each
part is a regular file in the playlist's own folder or below it, and if no part is a playlist again, apart from one
level of variants.

Left out: live playlists, parts by address, encrypted parts (FFmpeg would need the key's file).
"""

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from whenwhere.errors import MediaError
from whenwhere.readers import quoted, read_text, visible
from whenwhere.video.claims import check_claims

#: Demuxers of FFmpeg that read one file and nothing else, as its `format_whitelist`. Formats of sound and text are here
#: where a sentence about them is better than "not a video".
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpegtsraw,mpeg,mpegvideo,m4v,avi,asf,asf_o,flv,"
    "live_flv,kux,ogg,mxf,nut,nuv,ivf,obu,av1,h261,h263,h264,hevc,evc,vvc,apv,vc1,vc1test,"
    "dirac,dnxhd,cavsvideo,avs,avs2,avs3,mjpeg,mjpeg_2000,mpjpeg,smjpeg,ingenient,gif,apng,"
    "webp_pipe,jpegxl_anim,rm,ivr,swf,dv,gxf,wtv,lxf,mvi,mv,mlv,yuv4mpegpipe,dhav,pva,nsv,ty,"
    "lmlm4,roq,smk,bink,binka,film_cpk,flic,idcin,ipmovie,iv8,r3d,rl2,rpl,thp,tmv,vivo,vmd,"
    "wc3movie,wsvqa,xmv,yop,4xm,anm,bethsoftvid,bfi,bmv,c93,cdg,cdxl,cine,dfa,dsicin,dxa,ea,"
    "filmstrip,fits,frm,gdv,hnm,hcom,iff,iss,jv,mm,moflex,mtv,nc,paf,psxstr,redspark,rsd,siff,"
    "tiertexseq,vividas,luodat,kvag,pmp,mgsts,msnwctcp,mods,ipu,argo_asf,"
    "image2,bmp_pipe,png_pipe,jpeg_pipe,jpegls_pipe,jpegxl_pipe,jpegxs_pipe,j2k_pipe,tiff_pipe,gif_pipe,"
    "ppm_pipe,pgm_pipe,pbm_pipe,pam_pipe,pfm_pipe,phm_pipe,pgmyuv_pipe,pgx_pipe,dds_pipe,dpx_pipe,"
    "exr_pipe,hdr_pipe,psd_pipe,qoi_pipe,sgi_pipe,sunrast_pipe,pcx_pipe,pictor_pipe,photocd_pipe,"
    "qdraw_pipe,xbm_pipe,xpm_pipe,xwd_pipe,cri_pipe,gem_pipe,vbn_pipe,svg_pipe,"
    "aac,ac3,eac3,aiff,amr,amrnb,amrwb,ape,au,caf,dts,dtshd,flac,mp3,mpc,mpc8,oma,tak,truehd,"
    "mlp,tta,voc,w64,wav,wv,xwma,tty,ass,srt,webvtt,sami,subviewer,microdvd,lrc,mpl2"
)
#: Most parts of one playlist: a day of parts of six seconds are 14 400.
MOST_PARTS = 20_000

_HEAD = b"#EXTM3U"
_ATTRIBUTE = re.compile(r'URI="([^"]*)"')


def allowed_formats(path: str) -> str:
    """FFmpeg's `format_whitelist` for a file; checks first what the file claims and which others it names.

    Raises:
        MediaError: It is a playlist that may not be followed, or its index claims more samples than it can hold.
    """
    try:
        s = os.stat(path)
    except (OSError, ValueError):
        return CONTAINERS  # what is wrong is said by whoever opens the file
    return _allowed(path, s.st_size, s.st_mtime_ns)


@lru_cache(maxsize=64)
def _allowed(path: str, size: int, changed: int) -> str:
    """The formats for a file as it is now; a file that has changed since it was checked is checked again."""
    if not Path(path).is_file():
        return CONTAINERS
    if not _is_playlist(path):
        check_claims(path)
        return CONTAINERS
    if Path(path).suffix.lower() not in (".m3u8", ".m3u"):
        raise MediaError(
            f"{visible(path)} is a playlist that names other files: name it .m3u8, or give the video itself"
        )
    for part in dict.fromkeys(playlist_parts(path)):
        check_claims(part)
    return f"hls,{CONTAINERS}"


def playlist_parts(path: str) -> list[str]:
    """Paths of all files that an HLS playlist names, in its order; variants' playlists stand before their parts.

    Raises:
        MediaError: The playlist has no end, names a file outside its folder, an address, something that is not a
            regular file, a playlist inside a variant, or too many parts.
    """
    found: list[str] = []
    root = Path(path).resolve().parent
    for part in _parts(path, root):
        found.append(part)
        if _is_playlist(part):
            found += _inner_parts(path, part, root)
            if len(found) > MOST_PARTS:
                raise MediaError(f"{visible(path)} names more than {MOST_PARTS} parts: give one variant of it")
    return found


def _inner_parts(path: str, variant: str, root: Path) -> Iterator[str]:
    """The parts of a variant, none of which may be a playlist again."""
    for part in _parts(variant, root):
        if _is_playlist(part):
            raise MediaError(
                f"{visible(path)} names playlists that name playlists ({visible(os.path.basename(part))}): "
                "give the video itself"
            )
        yield part


def _parts(playlist: str, root: Path) -> list[str]:
    """The files that one playlist names, checked one by one."""
    shown = visible(playlist)
    text = read_text(playlist, MediaError, "write the playlist again")
    if "#EXTINF" in text and "#EXT-X-ENDLIST" not in text:
        raise MediaError(
            f"{shown} has no end (#EXT-X-ENDLIST), so it is a broadcast under way: wait for its end, or add that line"
        )
    named: dict[str, str] = {}
    listed: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if line.startswith("#EXT-X-KEY") and "METHOD=NONE" not in line:
            raise MediaError(f"{shown}, line {number}: the parts are encrypted: decrypt them into one file first")
        names = _ATTRIBUTE.findall(line) if line.startswith("#EXT-X-") else [line] if line[:1] not in ("", "#") else []
        listed += names
        if len(listed) > MOST_PARTS:
            raise MediaError(f"{shown} names more than {MOST_PARTS} parts: join them into one file first")
        for name in names:
            named.setdefault(name, f"{shown}, line {number}")
    paths = {name: _checked_part(name, place, playlist, root) for name, place in named.items()}
    return [paths[name] for name in listed]


def _checked_part(name: str, place: str, playlist: str, root: Path) -> str:
    """The path of one part."""
    part = os.path.join(os.path.dirname(playlist), name)
    if "\0" in name or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", name):
        raise MediaError(f"{place} names an address, {quoted(name)}: download its parts and name them by their files")
    if not Path(part).resolve().is_relative_to(root):
        raise MediaError(f"{place} names a file outside the playlist's folder, {quoted(name)}: put all parts there")
    if not Path(part).exists():
        raise MediaError(f"{place} names {quoted(name)}, which is not there: put all parts beside it")
    if not Path(part).is_file():
        raise MediaError(
            f"{place} names {quoted(name)}, which is not a regular file: put all parts beside the playlist"
        )
    return part


def _is_playlist(path: str) -> bool:
    try:
        with open(path, "rb") as f:
            return f.read(16).removeprefix(b"\xef\xbb\xbf").startswith(_HEAD)
    except OSError:
        return False
