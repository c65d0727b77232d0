"""Video: what a file holds (`probe`), frames at given times (`read_frames`) or in order (`stream_frames`), and writing.

PyAV is used throughout: exact time stamps, one wheel, no command-line tools. Frame numbers and container ticks never
leave this room; everything outside speaks of seconds from the first displayed frame and pixels of the displayed frame.
"""

from whenwhere.video.info import ReadPlan as ReadPlan
from whenwhere.video.info import VideoInfo as VideoInfo
from whenwhere.video.info import plan_read as plan_read
from whenwhere.video.overlay import write_clip as write_clip
from whenwhere.video.overlay import write_overlay as write_overlay
from whenwhere.video.probe import probe as probe
from whenwhere.video.read import Frames as Frames
from whenwhere.video.read import read_frames as read_frames
from whenwhere.video.source import VideoSource as VideoSource
from whenwhere.video.source import check_source as check_source
from whenwhere.video.source import open_video as open_video
from whenwhere.video.stream import stream_frames as stream_frames
from whenwhere.video.stream import stream_index as stream_index
from whenwhere.video.stream import stream_views as stream_views
from whenwhere.video.write import FrameWriter as FrameWriter
