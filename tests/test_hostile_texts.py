"""Texts of servers, checkpoints and recipes: the key stays hidden, terminals get no commands, programs end."""

import base64
import gc
import io
import json
import re
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whenwhere.answers.dialects.prompt import check_prompt, fill_prompt
from whenwhere.chat import ChatRequest, Client, RetryPolicy
from whenwhere.chat.api_key import ApiKey
from whenwhere.chat.connection import RequestFailure
from whenwhere.chat.protocol import LONGEST, CompletionReader, read_error, server_sent_events
from whenwhere.cli.console import SafeConsole, write_json
from whenwhere.errors import ChatError, ModelError, SettingError
from whenwhere.models.trained import FILE, read
from whenwhere.readers import visible
from whenwhere.store import Cache
from whenwhere.training.recipe import load

KEY = "sk-SECRETSECRET1234567890"


@contextmanager
def server(*pieces: bytes, pause: float = 0.0, repeat: bool = False) -> Iterator[str]:
    """The address of a server that answers each request with these bytes and closes."""
    listening = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(1 << 20)
                while not done.is_set():
                    for piece in pieces:
                        connection.sendall(piece)
                        if pause:
                            time.sleep(pause)
                    if not repeat:
                        return
            except OSError:
                return

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}#m"
    finally:
        done.set()
        listening.close()


def reply(body: bytes | str, status: str = "200 OK", kind: str = "application/json") -> bytes:
    data = body if isinstance(body, bytes) else body.encode()
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


def completion(text: str = "1 to 2", **more: Any) -> str:
    choice = {"index": 0, "message": {"content": text}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 5}, **more})


def ask(address: str, folder: Path, **retry: Any) -> Any:
    policy = RetryPolicy(**{"retries": 1, "sleep": lambda seconds: None, **retry})
    with Client(address, cache=Cache(folder), retry=policy) as client:
        return client.complete(ChatRequest.of("when?"))


@pytest.mark.parametrize(
    "body",
    [
        completion(f"your key is {KEY}", model=f"Bearer {KEY}"),
        completion("x", model="x" * 190 + KEY),
        json.dumps({"choices": [{"message": {"content": KEY, "reasoning": KEY, "refusal": KEY}}],
                    "usage": {"prompt_tokens": 1, "completion_tokens": 1}}),
    ],
)  # fmt: skip
def test_the_key_is_in_no_field_of_a_stored_answer(body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with server(reply(body)) as address:
        got = ask(address, tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert KEY[:12] not in path.read_text()
        assert path.stat().st_mode & 0o077 == 0
    assert KEY[:12] not in repr(got)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


COPIES = {
    "base64": encoded(KEY),
    "base64 of a header": encoded(f"Bearer {KEY}"),
    "base64 of name and key": encoded(f"u:{KEY}"),
    "base64 in the middle": encoded(f"us:{KEY}:x"),
    "base64 for addresses": base64.urlsafe_b64encode(f"??>>{KEY}".encode()).decode().rstrip("="),
    "base64 in lines": "\n".join(re.findall(".{1,10}", encoded(f"Bearer {KEY}"))),
    "base64, quoted": urllib.parse.quote(encoded(f"Bearer {KEY}")),
    "quoted": "".join(f"%{ord(c):02X}" for c in KEY),
    "quoted in part": KEY.replace("-", "%2d"),
    "quoted twice": "".join(f"%25{ord(c):02x}" for c in KEY),
    "HTML": "".join(f"&#{ord(c)};" for c in KEY),
    "HTML, hexadecimal": "".join(f"&#x{ord(c):x};" for c in KEY),
    "JSON": "".join(f"\\u{ord(c):04x}" for c in KEY),
    "several ways": f"%73&#107;-{KEY[3:]}",
    "hexadecimal": KEY.encode().hex().upper(),
    "hexadecimal with spaces": KEY.encode().hex(" "),
    "lower case": KEY.lower(),
    "spaced": " ".join(KEY),
    "backwards": KEY[::-1],
}


@pytest.mark.parametrize("copy", COPIES)
def test_copies_of_the_key_are_hidden_too(copy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    key = ApiKey()
    hidden = key.hide_in({"a": [f"it is {COPIES[copy]} [1, 2]"], COPIES[copy]: 1})
    (said,) = hidden.pop("a")
    assert said.startswith("it is ") and said.endswith(" [1, 2]") and "[$OPENAI_API_KEY]" in next(iter(hidden))
    # What is left is at most what stood beside the key.
    assert "[$OPENAI_API_KEY]" in said and len(said) < len("it is [$OPENAI_API_KEY] [1, 2]") + 14


@given(st.text(), st.text(), st.sampled_from(sorted(COPIES)))
def test_what_is_no_key_stays(before: str, after: str, copy: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", KEY)
        key = ApiKey()
    assert key.hide(before) == before and key.hide(encoded(before + after)) == encoded(before + after)
    hidden = key.hide(f"{before} {COPIES[copy]} {after}")
    assert COPIES[copy] not in hidden and before in hidden and after in hidden


@pytest.mark.parametrize("place", range(250, 320, 7))
def test_the_key_is_hidden_before_a_message_is_cut(place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    error = json.dumps({"error": {"message": "x" * place + KEY, "code": "c" * (place - 230) + KEY}})
    with server(reply(error, "400 Bad")) as address, pytest.raises(ChatError) as caught:
        ask(address, tmp_path)
    assert KEY[:6] not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"error": {"code": "²", "message": "x"}}), json.dumps({"error": {"code": "9" * 5000}}),
        json.dumps({"error": {"code": [1], "message": {"a": 1}}}), json.dumps({"detail": [{"loc": 5, "msg": "x"}]}),
        json.dumps({"detail": [{"loc": None}, 5, [1]]}), '{"error":{"message":' + "[" * 900 + "]" * 900 + "}}",
        "[" * 100_000, "x y " * 4_000_000, '{"error": ' + "9" * 6000 + "}", b"\xff\xfe\x00", "",
        json.dumps({"error": {"message": "\x1b[31m\x9b2J"}}), "null", "5", '"\\ud800"',
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", ["200 OK", "400 Bad", "500 Worse"])
def test_errors_of_any_shape_are_one_sentence(body: str | bytes, status: str, tmp_path: Path) -> None:
    with server(reply(body, status)) as address, pytest.raises(ChatError) as caught:
        ask(address, tmp_path)
    said = str(caught.value)
    assert len(said) < 800 and visible(said) == said
    said.encode()


@pytest.mark.parametrize("value", [10**400, 1e308 * 10, None, "x", True, [1], -0.5])
def test_odd_numbers_are_left_out(value: Any, tmp_path: Path) -> None:
    choice = {
        "message": {"content": "a"}, "index": value, "finish_reason": value,
        "logprobs": {"content": [{"logprob": value}, 5, None]}, "token_ids": [value, 7, -1, 10**30, True],
    }  # fmt: skip
    text = json.dumps({"choices": [choice], "usage": {"prompt_tokens": value, "completion_tokens": value}})
    got = CompletionReader(ChatRequest.of("when?")).plain(text.encode())
    assert 7 in got.choices[0].tokens and all(0 <= token < 2**31 for token in got.choices[0].tokens)
    assert got.prompt_tokens < 1000 and got.output_tokens < 1000
    json.loads(json.dumps(got.to_json()))


def test_a_choice_too_many_ends_it() -> None:
    events = (b'data: {"choices":[{"index":%d,"delta":{"content":"a"}}]}\n\n' % i for i in range(10**9))
    with pytest.raises(RequestFailure, match="1024 answers"):
        CompletionReader(ChatRequest.of("when?")).streamed(events)


def test_an_endless_answer_is_cut_off() -> None:
    got = CompletionReader(ChatRequest.of("when?")).plain(completion("1 to 2 " * LONGEST).encode())
    assert (len(got.text), got.finish) == (LONGEST, "length")
    pieces = (b'data: {"choices":[{"index":0,"delta":{"content":"abcdefgh"}}]}\n\n' for _ in range(LONGEST // 4))
    ended = [*pieces, b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n']
    got = CompletionReader(ChatRequest.of("when?")).streamed(iter(ended))
    assert (len(got.text), got.finish) == (LONGEST, "length")


@given(
    st.lists(st.sampled_from([b"data: a", b"\n", b"\r\n", b"data:", b" b", b": hm", b"\n\n", b"x", b"data: "])),
    st.data(),
)
def test_events_do_not_depend_on_how_they_are_cut(pieces: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert list(server_sent_events(iter(chunks))) == list(server_sent_events(iter([whole])))


def test_a_long_line_takes_linear_time() -> None:
    began = time.process_time()
    found = list(server_sent_events(b"data: " + b"a" * 16_000 for _ in range(2000)))
    assert len(found) == 1 and time.process_time() - began < 2


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
def test_a_time_out_without_a_declared_length_is_named_and_not_repeated(kind: str, tmp_path: Path) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n".encode()
    began = time.monotonic()
    with (
        server(head, *[b": hi\n\n"] * 100, pause=0.05) as address,
        pytest.raises(ChatError, match="did not finish") as e,
    ):
        ask(address, tmp_path, total=0.4, retries=3)
    assert time.monotonic() - began < 2 and "tries" not in str(e.value)


def test_a_wait_of_ages_is_said_in_words(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 429 X\r\nRetry-After: 1e300\r\nContent-Length: 0\r\n\r\n"
    with server(answer) as address, pytest.raises(ChatError, match="wait more than a day"):
        ask(address, tmp_path)


def test_read_error_is_never_an_exception() -> None:
    for value in ({"error": {"message": [1, {"loc": {"a": 1}}]}}, {"error": [5]}, [], {"error": {"param": [["x"]]}}):
        read_error(value)


CONTROL = st.text(st.characters(max_codepoint=0x9F) | st.sampled_from("\u202e\u2066\u2028é猫"))


@given(CONTROL)
def test_no_control_character_of_a_text_reaches_the_terminal(text: str) -> None:
    from rich.text import Text

    for terminal in (False, True):
        stream = io.StringIO()
        console = SafeConsole(file=stream, force_terminal=terminal, color_system=None, soft_wrap=True)
        console.print(Text(f"a{text}b"))
        console.print(f"a{text}b", markup=False)
        assert visible(stream.getvalue()) == stream.getvalue()


def test_colours_still_work() -> None:
    from rich.text import Text

    stream = io.StringIO()
    console = SafeConsole(file=stream, force_terminal=True, color_system="standard", soft_wrap=True)
    console.print(Text("red \x1b[2J", "red"))
    assert stream.getvalue().startswith("\x1b[31m") and "\x1b[2J" not in stream.getvalue()


@given(CONTROL)
def test_json_lines_mean_what_they_meant(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stream = io.StringIO()
        patch.setattr("sys.stdout", stream)
        write_json(json.dumps({"query": text}, ensure_ascii=False))
    line = stream.getvalue()
    assert json.loads(line) == {"query": text} and visible(line) == line


@pytest.mark.parametrize(
    "prompt",
    ["{query:>3000000000}{query}", "{query.foo}{query}", "{query!r} {query}", "{query[0]} {query}", "{query} {x}",
     "{}{query}", "{query} {", "} {query}", "no sentence", "{0} {query}", "{{query}}", "{query}{duration:1000000000}"],
)  # fmt: skip
def test_a_prompt_is_filled_and_never_formatted(prompt: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="prompt"):
        check_prompt(prompt)
    with pytest.raises(SettingError, match="prompt"):
        load("tiny-sft", [f"prompt={prompt}"])
    (tmp_path / FILE).write_text(json.dumps({"prompt": prompt}))
    with pytest.raises(ModelError, match="prompt"):
        read(tmp_path)


@given(st.text(alphabet="{}query duration:>9.[]!", max_size=40), st.text(alphabet="{}query", max_size=10))
def test_filling_ends_and_inserts_the_sentence_as_it_is(template: str, query: str) -> None:
    filled = fill_prompt(template, query=query, duration="9.0")
    assert len(filled) <= len(template) * (1 + len(query))
    assert fill_prompt("When? {query}", query=query) == f"When? {query}"


def test_words_of_the_dialects_are_what_they_were() -> None:
    from whenwhere.answers.dialects import DIALECTS

    for dialect in DIALECTS.values():
        assert fill_prompt(dialect.when, query="a dog", duration="9.0") == dialect.when.format(
            query="a dog", duration="9.0"
        )
        times = {"query": "q", "target": "t", "times": "1.0"}
        assert fill_prompt(dialect.where, **times) == dialect.where.format(**times)


@pytest.mark.parametrize(
    "said",
    [
        {"form": ["x"]}, {"form": {}}, {"dialect": [1]}, {"frames": {}}, {"prompt": ["{query}"]}, {"sample_fps": 1e8},
        {"sample_fps": True}, {"sample_fps": "2"}, {"sample_fps": float("nan")}, {"long_side": 10**9},
        {"seconds": 1e300}, {"seconds": 10**400}, {"recipe_hash": 5}, {"recipe": [1]}, [], "x", 5,
    ],
)  # fmt: skip
def test_whenwhere_json_of_any_shape_is_one_sentence(said: Any, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps(said))
    with pytest.raises(ModelError) as caught:
        read(tmp_path)
    assert FILE in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize("text", ["[" * 10_000, "", "{", b"\xff", '{"a": 1' + "0" * 6000 + "}x"])
def test_whenwhere_json_that_is_not_json(text: str | bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ModelError, match="repair it"):
        read(tmp_path)


@pytest.mark.parametrize(
    "overrides",
    [
        ["train.stage=[[]]"], ["reward.weights=3", "reward.weights.t_iou=1"], ["max_steps=" + "9" * 400],
        ["learning_rate=" + "1" * 5000], ["x" * 100_000], ["x" * 100_000 + "=1"], ["prompt=" + "x" * 200_000],
        ["max_steps=" + "[" * 5000], ["sample_fps=1e8"], ["max_frames=100000000"], ["reward.rate=1e300"],
        ["max_steps=1\na" + ".a" * 5000 + "=1"],
    ],
)  # fmt: skip
def test_overrides_of_any_shape_are_one_sentence(overrides: list[str]) -> None:
    with pytest.raises(SettingError) as caught:
        load("tiny-rl" if "reward" in overrides[0] else "tiny-sft", overrides)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "text",
    [
        "a." * 50_000 + "a = 1",
        "[train]\nstage = " + "[" * 3000,
        "x" * 10**6,
        "[train]\nstage = [[]]",
        "train = 5",
        "\0",
    ],
)
def test_recipes_of_any_shape_are_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(SettingError, match=r"r\.toml") as caught:
        load(str(tmp_path / "r.toml"))
    assert len(str(caught.value)) < 600


LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
TEMPLATES = [
    LOOPS, "{% for i in range(99999) %}{% for j in range(99999) %}{{ i }}{% endfor %}{% endfor %}",
    "{% set ns = namespace(x='a') %}{% for i in range(40) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{{ 'x' * 10000000000 }}", "{{ '%9999999999d' % 5 }}", "{{ 'x'.ljust(10000000000) }}", "{{ [0] * 10000000000 }}",
    "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "{% for i in range(99999) %}{{ range(99999)|map('string')|join|length }}{% endfor %}",
    "{{ (1, 2)|slice(999999999)|list }}", "{{ 9**9**9 }}", "{% set n = 10 ** 4000000 %}",
    "{% for i in range(99999) %}{{ ('x' * 10000000)|length }}{% endfor %}",
    "{% set ns = namespace(x=99) %}{% for i in range(99) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
]  # fmt: skip


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_that_never_ends_is_stopped(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jinja2")
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    from whenwhere.models.limits import TemplateLimitError, limited_template

    monkeypatch.setattr("whenwhere.models.limits.MEMORY", 256 << 20)
    monkeypatch.setattr("whenwhere.models.limits.STEPS", 200_000)
    monkeypatch.setattr("whenwhere.models.limits.SECONDS", 1.0)

    def render(text: str) -> str:
        with limited_template(text):
            # jinja2 computes constants when it compiles, which transformers does when it renders.
            return ImmutableSandboxedEnvironment().from_string(text).render()

    began = time.monotonic()
    with pytest.raises((TemplateLimitError, MemoryError, RecursionError, OverflowError)):
        render(template)
    assert time.monotonic() - began < 20
    assert gc.isenabled()
    # What came before is as it was, and an ordinary template still works.
    assert render("{% set n = namespace(**{'a': 2}) %}{{ 'x' * 5 }} **{{ n.a * 2 }}**") == "xxxxx **4**"


def test_the_limit_is_not_lost_in_the_clean_up_of_other_code() -> None:
    pytest.importorskip("jinja2")
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    from whenwhere.models.limits import limited_template

    ended = []

    class Cycle:
        def __init__(self) -> None:
            self.own = self

        def __del__(self) -> None:
            ended.append(gc.isenabled())

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        Cycle()
        gc.disable()
        Cycle()
        gc.enable()
        with limited_template("{{ range(9)|list }}"):
            seen = len(ended)
            assert ImmutableSandboxedEnvironment().from_string("{{ range(9)|list }}").render() == str(list(range(9)))
            assert len(ended) == seen
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert ended and gc.isenabled()
