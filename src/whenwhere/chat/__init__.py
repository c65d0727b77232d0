"""Models behind an address: a client of the OpenAI protocol that every engine shares.

`Client.complete` asks one request and `Client.complete_all` many; an answer that was paid for once is stored and never
paid for again. What leaves the machine is what the `ChatRequest` holds, and it goes to the one address that the user
typed: no redirect is followed, and nothing that a model names is ever fetched.
"""

from whenwhere.chat.address import Address
from whenwhere.chat.budget import Budget, Usage
from whenwhere.chat.client import Client, ServerReply
from whenwhere.chat.completion import Completion, CompletionChoice
from whenwhere.chat.request import ChatRequest, FramesPart, Message, Part, PicturePart, TextPart, VideoPart
from whenwhere.chat.retry import RetryPolicy

__all__ = [
    "Address", "Budget", "ChatRequest", "Client", "Completion", "CompletionChoice", "FramesPart", "Message", "Part",
    "PicturePart", "RetryPolicy", "ServerReply", "TextPart", "Usage", "VideoPart",
]  # fmt: skip
