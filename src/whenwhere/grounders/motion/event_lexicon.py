"""The verbs that the built-in grounders understand, as data: patterns of events over base forms."""

#: Event -> patterns over base forms, checked in this order. `_` stands for up to four words, `{M}` for `MOVING`.
EVENTS: dict[str, tuple[str, ...]] = {
    "put_down": (
        "put _ (down|back|on|onto|away|in|into|there|aside)", "put (down|back|on|onto|away|in|into)",
        "set _ (down|back)",
        "(place|deposit|drop|replace|abandon|unload|lay)", "return (the|it|a|his|her)",
        "leave (the|a|an|his|her|its) (?!(picture|frame|view|scene|image|video|shot|room|screen|house|building|shop|"
        "store|car|place|area)(?!\\S))_ (on|behind|at|in|there)",
        "be put", "be set down", "bring _ back", "put", "be lay",
    ),
    "pick_up": (
        "pick _ up", "pick up", "(lift|grab|remove|collect|steal|raise|seize|pocket)", "carry _ (off|away)",
        "take (?!off( |$))_ (out|away|off|from|up)",
        "take (the|a|an|something|it|one)",
        "be take", "be pick", "(reach|grasp) (for|to|out)?", "take(?! off)",
    ),
    "turn_back": (
        "(double|turn) back", "head back(?! and forth)", "({M}) back (along )?the (same )?way",
        "({M}) back (to )?where", "turn tail",
    ),
    "vanish": ("until it be go",
    "(until|till) (it|he|she|they) (be |have |has )?(go|disappear|vanish|take|remove|leave)", ),
    "return": ("(return|reappear)", "({M}|bring) back(?! and forth)",
        "(enter|appear|come in) again", "come again"),
    "leave": (
        "(leave|exit|depart|disappear|vanish|scram|scarper)",
        # but not "pulls a knife out" and "pulls out a knife"
        "({M}) _ (away(?! from (us|me|the))|off|offscreen|offstage)",
        "(?!(pull|bring|carry|sweep|push) (out )?(a|an|the|his|her|its|something|it) )({M}) _ out(?! from)",
        "(?!pull out (a|an|the|his|her|its|something) )"
        "({M}|be) (out(?! from)|away(?! from (us|me|the))|off|offscreen|offstage)",
        "(drive|pull|set) off", "go from view",
        "out of (the )?(picture|frame|view|scene|image|video|shot|room|sight)",
    ),
    "enter": (
        "(enter|arrive|appear|emerge|materialise|materialize)",
        "({M}) (into|inside|onscreen)", "({M}) in(?! (a|an|the|his|her|their) (?!({PLACE})))",
        "({M}) on from", "join (the|us)", "come (back )?on",
        "show up", "into (the )?(picture|frame|view|scene|image|video|shot|room)", "come onto", "come from",
        "({M}) out from", "be first seen",
    ),
    "approach": (
        "(approach|near)", "(walk|come|go|run|move|step|drive) (up|over) to",
        "(walk|come|go|run|drive) (to|toward|towards) (a|the|his|her) (?!(far |very "
        ")?(left|right|top|bottom|other|edge|side|upper|lower))",
    ),
    "stop": ("(stop|park|halt|brake|pause)", "pull (over|up|in)", "come to a", "(slow|draw) (down|up)"),
    "start": ("(start|begin) (to )?(move|walk|run|drive|ride|go)?",
        "(set|move|pull) (off|out(?! (a|an|the|his|her|its|something) )|away)",
        "take off(?! (the|a|an|his|her|their|its|my)( |$))"),
    "jump": ("(jump|leap|hop|bounce)",),
    "turn": ("turn (around|round|back|left|right|to|toward|towards|away|into|off)",
        "turn(?! (on|off|the|a|an)( |$))", "(rotate|spin|swerve)",
        "change direction"),
    "bend": ("(bend|crouch|kneel|duck|squat|stoop|bow)", "lean (over|down|forward)", "(sit|lie) down"),
    "rise": ("(stand|get|sit) up", "rise"),
    "stand": ("(stand|wait|stay|remain|sit|linger|pose|rest|queue|lie|idle|loiter|freeze|perch|stand still)",
        "(has|have|had) (just |now |already )?(stop|park|halt)",
        "be (at|on|in front of|behind|beside|still|motionless|stationary)", "look at",
        "(stationary|still|motionless)"),
    "pass": (
        "(pass|cross)",
        "({M}) (by|past|through|across|along|over)", "traverse",
        "across",
    ),
    "run": ("(run|jog|sprint|race|rush|dash|hurry|chase|gallop|bolt|charge|scurry|scamper|tear|bound|canter)",),
    "ride": ("(ride|cycle|pedal|bike)", "on (a|the|his|her) (bike|bicycle|motorbike|scooter|motorcycle|skateboard)"),
    "drive": ("drive",),

    "walk": ("(walk|stroll|wander|pace|stride|step|march|amble|saunter|trot|shuffle|plod|trudge|waddle|pad|lope)",
        "(prance|stagger|limp|creep|sneak|roam)"),
    "move": ("(move|go|come|head|travel|roll|fly|slide|swim|crawl|dance|play|follow|push|pull|carry|drag)",
        "(climb|swing|shake)",
        "(wave|speed|zoom|cruise|trundle|rumble|hop|skip|crawl|glide|drift|whizz|storm|skate|sail|tumble|coast)",
        "pass through"),
    "throw": ("(throw|toss|kick|hit|shoot|serve|fling)",),
    "catch": ("catch",),
}  # fmt: skip

#: Verbs of motion, for the patterns of `EVENTS`.
MOVING = (
    "go|walk|run|drive|ride|move|head|fly|step|cycle|roll|jog|hurry|get|dash|race|wander|stroll|stride|"
    "amble|march|gallop|trot|canter|zoom|speed|rush|sprint|bolt|scurry|trundle|rumble|cruise|pull|hop|"
    "skip|bounce|crawl|creep|slip|saunter|shuffle|plod|trudge|sneak|stagger|limp|scamper|bound|prance|"
    "glide|drift|slide|whizz|storm|barge|burst|sweep|waddle|pad|lope|travel|pace|tear|charge|steam|bowl|"
    "tumble|swim|skate|ski|pedal|bike|sail|coast|shoot|flee|clear|make|come|motor|nose"
)
#: What is entered by walking "in" it; in other places one walks about.
_ENTERED = "picture|frame|view|scene|image|video|shot|room|door|doorway|house|kitchen|gate|entrance"
EVENTS = {
    name: tuple(p.replace("{M}", MOVING).replace("{PLACE}", _ENTERED) for p in patterns)
    for name, patterns in EVENTS.items()
}

#: Words before a noun that tell what it does all the time -> the event.
STATES: dict[str, str] = {
    **dict.fromkeys(("parked", "stationary", "motionless", "standing", "waiting", "sitting", "seated", "lying",
                     "sleeping", "resting"), "stand"),
    "moving": "move", "walking": "walk", "running": "run", "jumping": "jump",
}  # fmt: skip
#: Verbs of the events `move`, `throw` and `catch` that tell what is done with the body or with a thing.
GESTURES = frozenset({
    "wave", "swing", "shake", "push", "pull", "drag", "throw", "toss", "kick", "hit", "serve", "fling", "catch",
    "shoot",
})  # fmt: skip
