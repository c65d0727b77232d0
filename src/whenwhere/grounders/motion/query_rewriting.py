"""Query rewriting: requests, fronted phrases and turns of phrase are put into plain words before a sentence is read.

People ask ("can you find where you can see ..."), put phrases in front ("in from the left comes ..."), say what is not
so ("isn't moving") and describe parts ("whose trousers are dark blue"). The rules of `reading` expect one order of
words; the rules here bring other sentences to it. They are general English and know no objects or colours beyond the
words for them.
"""

import re
from functools import cache

from whenwhere.grounders.motion import lexicon as lex

_DET = r"(?:the|a|an|this|that|some|somebody|someone|his|her)"
_SHOWN = (
    r"(?:(?:is|are|was|can be|gets|who is|that is|which is) )?(?:(?:clearly |just )?visible|to be seen|seen|shown|"
    r"(?:present )?(?:on|in) (?:the )?(?:screen|shot|frame|picture|video|view|clip|footage|scene|sight|image|camera)|"
    r"on camera|around|in (?:this|it|them|there)|anywhere(?: in (?:the |this )?(?:video|clip|footage))?)"
)
#: A request before the thing that is asked for.
_ASKED = re.compile(
    r"^(?:(?:please|hey|ok|okay|so|just|and|now)[, ]+)*"
    r"(?:(?:can|could|would|will) (?:you|we|i|anyone) (?:please )?|(?:i'm|i am|we're|we are) |(?:i|we) "
    r"(?:want|need|would "
    r"like|'d like) (?:you )?(?:to )?|let me |let's )?"
    r"(?:(?:find|show|give|get|tell|point(?: out)?|locate|spot|see|looking|look|search(?:ing)?|identify|"
    r"highlight|mark|"
    r"fetch|pick out|track(?: down)?)(?: me| us)?(?: out)? (?:for |to |at )?)?"
    r"(?:(?:all|any|every|each|both) (?:of )?(?:the )?)?"
    r"(?:(?:the |a |some )?(?:exact |very |precise |single )?(?:moments?|bits?|parts?|times?|points?|sections?|"
    r"segments?|clips?|scenes?|stretch|instant|interval|frames|places?|footage|occasions?|shot)\b(?: in "
    r"(?:the )?(?:video|clip))? ?(?:(?:in which|at which|during which|when|where|that|with|of|"
    r"showing|containing|as|while)\b|(?=we |you |i ))? ?)?"
    r"(?:(?:when|where|wherever|whenever|for how long|how long|what time|at what (?:time|point)) )?"
    r"(?:(?:is|are|was|does|do|did|can|could|will) (?=(?:the|a|an|this|that|some|any|there|you|we|i|someone|"
    r"somebody)\b))?"
    r"(?:(?:you|we|i|one) (?:can |could |do |get to )?(?:see|spot|find|notice|observe|have) )?"
    r"(?:there (?:is|are|was) |there's )?"
)
#: (pattern, replacement) pairs, applied in this order.
_REWRITES: tuple[tuple[str, str], ...] = (
    (r"[?!.]+\s*$", ""),
    (r"\b(is|are|was|were|do|does|did|has|have|ca|could|wo)n't\b", r"\1 not"),
    (r"\b(who|that|he|she|it)(?:'s| has) got\b", r"\1 has"),
    (r"\b(who|that|he|she|it|there)'s\b", r"\1 is"),
    (r"\b(?:over|at|during|for|in) (?:exactly )?the same (?:time|moment|period) (?:that|as|when|while)\b|"
     r"\bfor as long as\b"
     r"|\ball the while (?:that )?(?!\w+ing)", "while"),
    # standing still
    (r"\b(?:(?:is|are|was|does|do|did|be|just) )*(?:not|never|without|hardly|barely) "
     r"(?:(?:even |really )?(?:moving|move|moves|budging|budge|going anywhere|go anywhere|walking|stirring)|"
     r"taking a step)"
     r"(?: at all| an inch| a muscle)?\b", "stands still"),
    (r"\bwith (?:nobody|no one|no-one|nothing) (?:moving|shifting|pushing|pulling) (?:it|him|her|them)\b",
     "without moving"),
    (r"\b(stay|stand|sit|remain|keep|hold)(s|ing|ed)? (put|still|where (it|he|she) is|in (one|the same) "
     r"(place|spot))\b",
     r"stands still"),
    (r"\b(?:stops|stopping|stopped|pauses|pausing|paused|halts|halting|halted|waits|waiting|lingers|lingering)"
     r"(?: (?:around|about|there))? (?:for|a) (?:a |some )?(?:while|bit|moment|time|second|little|few "
     r"seconds)\b", "stands still"),
    (r"\b(stand|wait|hang|linger|loiter|sit)(s|ing|ed)? (?:around|about)\b", "stands still"),
    (r"\b(?:stood|hung|sat) (?:around|about)\b", "stands still"),
    # staying
    (r"\band (?:never|does not|do not) (?:goes?|leaves?|disappears?|vanish(?:es)?)(?: away| "
     r"again)?(?= ?(?:,|$|and\b))", "and stays there"),
    # turning back
    (r"\b(?:has|having|have|gets) second thoughts(?: and)?|\bchang(?:es|ing|ed) (?:his|her|its|their) "
     r"minds?(?: and)?", "turns back"),
    (r"\b(?:does|do|doing|makes|making) (?:a|an) (?:u-turn|about-face|about-turn|one-eighty)\b", "turns back"),
    (r"\b(?:retraces?|retracing) (?:his|her|its|their) (?:steps|way)\b|\bbacktrack(?:s|ing)?\b", "turns back"),
    (r"\b(?:turns?|spins?|flips?|wheels?|swings?|whirls?|swivels?)(?:ing|ning|ping)? (?:a?round|about)(?: and| to)? "
     r"(?:goes|heads|walks|runs|comes|moves|strolls|sets off|starts|going|heading|walking|running|head|go|walk|run)"
     r"(?: (?:back|off|away|in))?(?: (?:along )?the (?:same|other|opposite) (?:way|direction))?\b", "turns back"),
    (r"\b(?:goes|heads|walks|runs|comes|moves|going|heading) (?:back )?the (?:other|opposite) way\b", "turns back"),
    (r"\b(?:reverses?|reversing) (?:course|direction)\b", "turns back"),
    (r"\bback (?:to )?(?:where|the way) (?:he|she|it|they) (?:came|had come|entered)(?: from| in)?\b",
     "back the same way"),
    # times
    (r"^(?:in|at|during|over|throughout) (?=the (?:time|moment|part|period|interval)\b)", ""),
    (r"\bas soon as\b", "once"),
    (r"(?:,? (?:but|and))? only (?=(?:after|before|once|when|while|whilst|until)\b)", " "),
    (r"\b(?:earlier|sooner) than\b|\b(?:previous|prior) to\b|\bin advance of\b|^up (?:to|until)\b|^ahead of\b|"
     r"\bahead of(?= when\b| (?:the )?(?:moment|point|bit|part|time)\b)", "before"),
    (r"\blater than\b|\bsubsequent to\b", "after"),
    (r"^following (?=the|an?\b)|^from (?:the )?(?:moment|time|point) (?:(?:that|when) )?(?=the|an?\b)", "after "),
    (r"\b(has|have|had) gone(?: away)?(?=$|,)", r"\1 left"),
    # one of some, and sets of things
    (r"\bthe (first|second|third|fourth|fifth|last) of (?:the |these |those )?(?:two |three |four |five |\d+ )?(?=\w)",
     r"the \1 "),
    (r"\bthe (small|bigg|larg|tall|short|fast|slow|dark|light)er of (?:the |these |those )?(?:two )?(\w+?)s?\b",
     r"the \1er \2"),
    (r"\ba (?:flock|herd|swarm|bunch|line|row|crowd) of (?=\w)", ""),
    (r"\ba pair of (?!shoes|boots|jeans|trousers|pants|shorts|glasses|sunglasses|gloves|socks|scissors)", "two "),
    # coming and going
    (r"\b(is|are|was|were|be) lying down\b", r"\1 lying"),
    (r"\b(?:takes?|taking|took|sets?|setting) off (?=to the|towards?|on the|out)", "goes off "),
    (r"\b(comes|drives|walks|runs|rolls|rides|strolls|coming|driving|walking) up (?=from )", r"comes in "),
    (r"\b(?:following|after) (?:when\b|(?:the )?(?:moment|point|bit|part|time)(?: when| where| that| in which| "
     r"at which)?\b)", "after"),
    (r"\b(?:before|until|till) (?:when\b|(?:the )?(?:moment|point|bit|part|time)(?: when| where| that| in which| "
     r"at which)?\b)", "before"),
    (r"\b(?:and )?(?:is|are) (?:still )?there (?:to|until|till) the end\b", "and stays there"),
    (r"\b(?:makes?|making|made) (?:an|his|her|its|their) (?:entrance|appearance|entry)\b", "enters"),
    (r"\b(?:makes?|making|made) (?:an|his|her|its|their) exit\b", "leaves"),
    (r"\b(turn|pop|show|crop)(s|ping|ing|ped|ed|n)? up\b", "appears"),
    (r"\b(?:come|comes|coming|came) along\b(?= (?:from|on))", "comes in"),
    (r"\b(?:come|comes|coming|came|go|goes|going) into (?:view|sight|shot|frame|the (?:frame|picture|"
     r"shot))\b", "enters"),
    (r"\b(?:drop|drops|dropping|slip|slips|slipping|go|goes|going|pass|passes) (?:out of|from) (?:view|"
     r"sight|shot|frame)\b",
     "leaves"),
    (r"\bfor good\b|\bout of nowhere\b|\ball of a sudden\b|\bsuddenly\b|\bat some point\b|\bat all\b|"
     r"\bonto? the scene\b", " "),
    # vanishing
    (r"\b(?:up to|until|till|up until|before|and then|right up to)(?: the (?:moment|point|time))?(?: when| "
     r"that| where)? "
     r"(?:(?:it|he|she|they) )?(?:(?:is|are|has|have|been|gets?|then) )*(?:gone|disappear(?:s|ed|ing)?|"
     r"vanish(?:es|ed|ing)?|not "
     r"there(?: any ?more)?|no longer there|missing|taken(?: away)?|removed)\b", "until it is gone"),
    (r"^until it is gone,? (.+)$", r"\1 until it is gone"),
    # putting down and taking away
    (r"\b(?:is|are|gets?|getting|got|was|been|being) (?:left|laid|set|placed|deposited|dropped|dumped|plonked|stood)"
     r"(?= (?:on|onto|in|at|behind|there|down|upon|by)\b|$)", "is put"),
    (r"\b(?:gets?|getting|got) (\S+(?:ed|en|ght|ut|et)\b)", r"is \1"),
    (r"(?<!\ba )(?<!\bthe )\b(?:snatch|swipe|nick|pinch|whisk|fetch|retrieve)(?:e?s|ing|e?d)?\b", "takes away"),
    (r"\bis takes away\b", "is taken away"),
    (r"\bset(?:s|ting)? (?=the |a |an |it |this |that |something )", "puts down "),
    (r"\b(?:plonk|plop|dump|deposit|rest|stow)(?:s|ing|ed)? (?=the |a |an |it |this |that )", "puts down "),
    (r"^(both|two|his|her|the) (arms|hands) (?:are|is) "
     r"(?:(?:raised|lifted|thrown|up)(?: up| high| in the air)?|"
     r"(?:stretched|held) (?:up|high|in the air|(?:above|over) \S+ heads?))$", r"a person raises both \2"),
    (r"\b(at|in|near) the (very )?(beginning|start|end) of (?:the|this) (?:video|clip|film|movie|footage)\b,?",
     r"\1 the \3"),
    # a close-up is a thing that is near the camera
    (r"^(?:(?:an?|the|in) )?(?:extreme |tight )?close[- ]?up(?: shot| view)? (?:of|on) (.+)$",
     r"\1 in front of the camera"),
    (r"^(.+?),? (?:is |are )?(?:shown |seen |filmed )?(?:in (?:a )?close[- ]?up|up close)$",
     r"\1 in front of the camera"),
    # colours, repetition, age
    (r",? (?:of|in) an? (\S+(?: \S+)?) (?:colour|color|shade|tone)\b", r" that is \1"),
    (r"\bonce (?:more|again)\b|\bone more time\b|\ba second time\b|\banother time\b|\bfor another\b", "again"),
    (r"\bafter (?:going|having gone|leaving|having left|being)(?: (?:away|out|off|gone))?\b", "again"),
    (r"\byoung (?=lady|woman|man|guy|fellow|bloke|gentleman)", ""),
)  # fmt: skip
_FRONTED = re.compile(
    rf"^(?P<way>(?:in|off|out|away|back|up|down|on|at|over|into|along|across|through|behind|from)\b(?: \S+){{0,6}}?) "
    rf"(?P<verb>[a-z]+(?:s|ed|me|nt|ode|an|ood|at|oes)) (?P<who>{_DET} .+)$"
)
_PLACE_FIRST = re.compile(rf"^(?P<way>(?:on|at|in|by) the (?:\S+ ){{1,2}}?)(?P<who>{_DET}(?= |$).*)$")


@cache
def _compiled() -> tuple[tuple[re.Pattern[str], str], ...]:
    """The compiled rules of `_REWRITES`."""
    return tuple((re.compile(a), b) for a, b in _REWRITES)


def rewrite_query(sentence: str) -> str:
    """A lower-case sentence in plain words and in subject-verb order.

    >>> rewrite_query("can you find where you can see a van?")
    'a van'
    >>> rewrite_query("in from the right comes the girl in red")
    'the girl in red comes in from the right'
    >>> rewrite_query("the man whose top is dark blue isn't moving")
    'the man with dark blue top stands still'
    """
    text = " ".join(sentence.split())
    for pattern, by in _compiled():
        text = " ".join(pattern.sub(by, text).split())
    text = without_request(text)
    shorter = re.sub(rf"(?:(?<=\w)|,) {_SHOWN}$", "", re.sub(r" in (?:this|it|them)$", "", text))
    text = shorter if len(shorter.split()) > 1 or shorter == text else text
    text = re.sub(r"^(?:it's|it is) ", "", text)
    if (m := _FRONTED.match(text)) and not lex.noun_kind(m["verb"]):
        text = f"{m['who']} {m['verb']} {m['way']}"
    elif m := _PLACE_FIRST.match(text):
        text = f"{m['who']} {m['way'].strip()}"
    return _worn(text)


def without_request(text: str) -> str:
    """The text without the request before the thing that is asked for.

    >>> without_request("show me the part without the dog"), without_request("when the dog barks, a man runs")
    ('without the dog', 'when the dog barks, a man runs')
    """
    m = _ASKED.match(text)
    cut = text[m.end() :] if m else text
    # "when" and "while" may open a sentence of two clauses; then they are not a request.
    return text if not cut or (re.match(r"(when|while|as)\b", text) and ", " in text) else cut


_WHOSE = re.compile(
    r"\b(?:whose|with (?:a|an|his|her)|his|her) (?P<part>[a-z-]+(?: [a-z-]+)?) (?:is|are|looks?|was|were) "
    r"(?P<colour>(?:[a-z-]+ )??[a-z-]+)(?=$| and| who| that| which| in| on| at| from| to| [a-z]+s\b| [a-z]+ing\b|,)"
)
_IS = re.compile(
    r"^(?P<np>(?:the|a|an|this|that) (?:\S+ ){0,3}?\S+),? (?:that is|which is|who is|that are|in) "
    r"(?P<colour>(?:[a-z-]+ )??[a-z-]+)(?= |$)"
)


def _worn(text: str) -> str:
    """The text with phrases like "whose top is red" and "the cup that is red" turned into "red top" and "red cup"."""

    def colour_first(m: re.Match[str]) -> str:
        return f"with {m['colour']} {m['part']}" if _coloured(m["colour"]) else m.group()

    text = _WHOSE.sub(colour_first, text)
    m = _IS.match(text)
    if m and _coloured(m["colour"]) and _coloured(m["colour"].split()[-1]):
        words = m["np"].split()
        follows = text[m.end() :].split()
        kind = lex.noun_kind(words[-1])
        if not (follows and lex.body_part(follows[0])) and kind not in ("person", "child"):
            text = " ".join([words[0], m["colour"], *words[1:], *follows])
    return text


def _coloured(words: str) -> bool:
    """Whether any of the words names a colour."""
    return any(lex.colour_of(w) for w in words.split())
