"""Models behind an address: a client of the OpenAI protocol that teacher, captioner, planner and judge share.

It asks (`Client.complete`, `Client.complete_all`), and what was once answered is never paid for twice. What leaves the
machine is what stands in the `Question`, to the one address that the user typed: no redirect is followed, and nothing
that a model names is ever fetched.
"""

from whenwhere.chat.address import Address
from whenwhere.chat.budget import Budget, Usage
from whenwhere.chat.client import Client
from whenwhere.chat.completion import Choice, Completion
from whenwhere.chat.patience import Patience
from whenwhere.chat.question import Clip, Message, Part, Picture, Question, Text, Video

__all__ = [
    "Address", "Budget", "Choice", "Client", "Clip", "Completion", "Message", "Part", "Patience", "Picture",
    "Question", "Text", "Usage", "Video",
]  # fmt: skip
