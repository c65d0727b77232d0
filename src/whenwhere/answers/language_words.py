"""The words of an answer in six languages, each with the English that the readers know.

Rules are pairs of a regular expression and its English. They are applied in order, longer phrases first. No expression
nests one repetition in another, so that translating takes time in proportion to the text's length.

A denial of the whole event becomes "nosuchevent", one of a thing "nosuchthing", and a negated sentence "does
not": `whenwhere.answers.denial` weighs these three. "amid" marks a "between" that follows its times.
"""

from whenwhere.answers.lexer import word_set

_TIME = (
    r"\d{1,5}(?:[.:]\d{1,4}){0,3}(?:\s{0,2}(?:h|min|ms|s)\b)?"
    r"(?:\s{0,2}\d{1,4}(?:\.\d{1,4})?\s{0,2}(?:min|ms|s)\b){0,2}"
)
HAN_DIGITS = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2, "兩": 2}
KOREAN_DIGITS = {c: i for i, c in enumerate("영일이삼사오육칠팔구")}
_EVENT_ZH = "(?:事件|片段|场景|場景|内容|內容|时刻|時刻|画面|畫面|动作|動作|情况|情況|部分|行为|结果|活动)"

#: What Chinese and Japanese write with the same characters, and the rest of Chinese.
HAN = [
    # The event is not there.
    (
        r"(?:没有|沒有|无|無|不存在|未见|没|并无)(?:任何|该|該|此|这个|這個|这样|這樣|此类|相关|相關|匹配|对应|對應|符合|所描述|描述|类似|的){1,4}"
        + _EVENT_ZH,
        " nosuchevent ",
    ),
    (
        r"(?:并|並)?(?:没有?|沒有?|未能?|无法|無法|不能|不)(?:被)?(?:在视频中|在影片中|在该视频中)?(?:找到|发现|發現|检测到|定位|识别|发生|發生|"
        r"出现|出現|包含|匹配|存在|对应|符合|提及|展示|显示)",
        " nosuchevent ",
    ),
    (r"找不到|不在(?:该|此|这个)?(?:视频|影片|视频片段)[中里内]?|该当なし|該当なし", " nosuchevent "),
    (r"(?:视频|影片|片段|画面)(?:[中里内]|之中)?(?:并)?(?:没有|沒有|无|無)(?!其他|其它|再|更|声)", " nosuchthing "),
    (r"(?:没有?|沒有?|未|不)(?:看到|看见|见到|可见|显示)", " is not seen "),
    (r"^\W*(?:无|無|没有|沒有|不存在|否)\W*$", " nosuchevent "),
    # What only looks like a denial, and what limits one.
    (r"毫无疑问|无疑|毫無疑問", " no doubt "),
    (r"不仅|不僅", " not only "),
    (r"不(?:太)?(?:确定|清楚|明确)", " not sure "),
    (r"直到", " until "),
    (r"之前|以前|此前", " before "),
    (r"之后|以后|之後|此后", " after "),
    (r"首次|第一次|最初", " first "),
    (r"其他|其它|其余|其餘|另外", " other "),
    (r"但是|但|然而|不过", " but "),
    (r"[並并]?不是|并非|非", " not "),
    (r"而是", " but "),
    (r"或者|或", " or "),
    (r"没有|沒有|并未|从未|未(?![来來])", " does not "),
    # Corrections.
    (r"不对|不對|更正|纠正|实际上|實際上|其实|应该是|應該是|应为|我错了|訂正", " actually "),
    # Units, after digits only.
    (r"(?<=\d)\s?毫秒", " ms "),
    (r"(?<=\d)\s?秒[钟鐘間]?(?:目|头)?", " s "),
    (r"(?<=\d)\s?分[钟鐘間]?(?!之|の)", " min "),
    (r"(?<=\d)\s?(?:小时|小時|時間)", " h "),
    (r"(?<=\d)\s?[时時](?=\s?\d)", " h "),
    (r"第\s?(?=\d)", " "),
    # The length of the video.
    (r"(?:视频|影片|動画)?(?:总时长|總時長|全长|全長|总长|时长|時長|长度)", " total duration "),
    # Ranges.
    (r"(?:开始|開始)?(?:一直)?(?:持续|持續|延续|延續)?[到至](?=\s{0,2}(?:大?约|大概|約)?\s{0,2}\d)", " to "),
    (r"[从從自由](?=\s{0,2}(?:大?约|大概|約)?\s{0,2}\d)", " from "),
    (
        r"(?:视频)?(?:的)?(?:开始|開始|起始|起点)(?:时间点?|時間|时刻|時刻|秒数?|秒数|于|於|在|时|時|点|位置){0,2}",
        " start ",
    ),
    (
        r"(?:结束|結束|终止|終止|終了|终了|截止|终点)(?:时间点?|時間|时刻|時刻|秒数?|于|於|在|时|時|点|位置){0,2}",
        " end ",
    ),
    (r"(?:持续|持續|继续)(?:时间)?(?=\W{0,3}\d)", " lasts "),
    (r"之间|之間|的间|期间|期間|の間|間", " amid "),
    (r"大约|大約|大概|约|約|左右|前后", " about "),
    (r"[和与與及跟]", " and "),
    (r"然后|随后|接着|以及", " then "),
    (r"再次|又", " again "),
    # Names and claims.
    (r"(?:正确|最终|正確|最終)?(?:答案|回答|解答)(?:选项)?(?:是|为|為|は|應為)?", " answer is "),
    (r"(?:该|此|这个|這個|本)事件", " the event "),
    (r"事件", " event "),
    (r"发生|發生|出现|出現|位于|对应", " happens "),
    (r"(?:时间段|时间区间|时间范围|時間範囲|区间|時間帯|时段|片段|区間|時間段)", " segment "),
    (r"时间戳|时间点?|時刻|時間", " time "),
    (r"边界框|边框|検出框|包围框|坐标框", " bbox "),
    (r"标签|标注|类别", " label "),
    (r"存在", " exists "),
    (r"是否", " "),
    (r"(?:被)?(?:找到|发现|検出)", " found "),
    (r"状态|状態", " status "),
    (r"结果|結果", " result "),
    (r"置信度", " confidence "),
    (r"视频|影片", " "),
    (r"(?<=[\ds.\s])(?:处|處|的时候|的|时|時|为|是|在|止)(?=\W)", " "),
]

#: Japanese, before the rules that it shares with Chinese.
KANA = [
    (
        r"(?:見つかり|見当たり|存在し|発生し(?:てい)?|起こり|起き(?:てい)?|登場し(?:てい)?|現れ|映ってい|含まれてい|確認でき|出現し(?:てい)?|特定でき)"
        r"(?:ません(?:でした)?|ない|なかった)",
        " nosuchevent ",
    ),
    (r"(?:見つから|見当たら|起こら|現れ)(?:ない|なかった)", " nosuchevent "),
    (
        r"該当(?:する|の)?(?:場面|シーン|イベント|箇所|区間|部分|もの|瞬間)?(?:は|が)?(?:あり(?:ません(?:でした)?)|なし|ない)",
        " nosuchevent ",
    ),
    (
        r"(?:その(?:ような)?|このような|そんな)(?:場面|シーン|イベント|出来事)(?:は|が)(?:あり(?:ません(?:でした)?)|ない)",
        " nosuchevent ",
    ),
    (r"^\W*(?:なし|いいえ|ありません)\W*$", " nosuchevent "),
    (r"(?:では|じゃ)(?:なく|ありません|ない)", " isnot "),
    (r"(?:あり|い)ません(?:でした)?", " nosuchthing "),
    (r"ません(?:でした)?", " does not "),
    (r"(?<=[^\s\d])(?:なかった|ない)(?=[。.\s]|$)", " does not "),
    (r"まで(?:は|に)", " until "),
    (r"実際には|正しくは|いや", " actually "),
    (r"(?<=[秒分\d目])(?:ごろ|ころ|頃|くらい|ぐらい|ほど|付近|あたり|前後)", ""),
    (r"ミリ秒", "毫秒"),
    (r"(?<=\d)\s?フレーム目?", " frames "),
    (r"フレーム(?:番号)?(?=\s?\d)", " frame "),
    (r"イベント", " event "),
    (r"(?:動画|ビデオ|映像)の(?:長さ|全長)", " total duration "),
    (r"(?<=[秒分\d])から(?:始ま(?:り|る|って)|開始(?:し|する)?|スタートし)", "開始"),
    (r"(?<=[秒分\d目])から(?=[^\d\n]{0,4}\d)", " to "),
    (r"(?<=[秒分\d目])(?:に|で)?(?:始ま(?:り(?:ます)?|る|って)|開始(?:します|し|する)?)", "開始"),
    (r"(?<=[秒分\d目])(?:に|で)?(?:終わ(?:り(?:ます)?|る|って)|終了(?:します|し|する)?)", "終了"),
    (r"(?:始まり|始点|開始)(?=\W{0,3}\d)", "開始"),
    (r"(?:終わり|終点)(?=\W{0,3}\d)", "終了"),
    (r"終わり", "終了"),
    (r"始まり", "開始"),
    (r"(?<=[秒分\d目])まで", " "),
    (r"(?<=[秒分\d目])と(?=[^\d\n]{0,3}\d)", "和"),
    (r"または", "或"),
    (r"(?:およそ|ごろ|頃|くらい|ぐらい)", "約"),
    (r"起こり|起きる|起きま", "発生"),
    (r"発生", " happens "),
    (r"バウンディングボックス", " bbox "),
    (r"ラベル", " label "),
    (r"(?<=[秒分\d目])(?:の間)", "之间"),
    (r"(?<=[秒分\d目])から", " from "),
]

KOREAN = [
    (r"(?<=[초분])\s?(?:쯤|경|정도|즈음|무렵|가량)", ""),
    (
        r"찾을\s?수\s?없\w{0,8}|찾지\s?못\w{0,8}|해당\s?없음|(?:발견|확인|감지|포함)(?:되어\s?있)?(?:되)?지\s?않\w{0,8}",
        " nosuchevent ",
    ),
    (r"(?:발생하|나타나|존재하|등장하|일어나|보이|포함되어\s?있|일치하)지\s?(?:는\s?)?않\w{0,8}", " nosuchevent "),
    (
        r"(?:해당|그런|그러한|이러한|관련)(?:하는|되는|된)?\s?(?:장면|사건|이벤트|구간|순간|내용|행동)[은는이가]?\s?(?:없\w{0,8}|아닙니다)",
        " nosuchevent ",
    ),
    (r"^\W*(?:없음|없습니다|아니요|아니오|없다)\W*$", " nosuchevent "),
    (r"[이가]\s?아니(?:라|고)|[이가]\s?아닌|[이가]\s?아닙니다", " isnot "),
    (r"(?<!\w)(?:다른|그\s?외)(?!\w)", " other "),
    (r"없(?:습니다|음|다|어요|었\w{0,4})", " nosuchthing "),
    (r"지\s?않\w{0,8}", " does not "),
    (r"전까지|이전", " before "),
    (r"이후", " after "),
    (r"정정|사실은?|실제로는?|아니,", " actually "),
    (r"그러나|하지만", " but "),
    (r"또는|혹은", " or "),
    (r"(?<=\d)\s?밀리초", " ms "),
    (r"(?<=\d)\s?초", " s "),
    (r"(?<=\d)\s?분", " min "),
    (r"(?<=\d)\s?시간", " h "),
    (r"(?<=\d)\s?프레임", " frames "),
    (r"(?:비디오|영상|동영상)(?:의)?\s?(?:총\s?)?(?:길이|재생\s?시간)", " total duration "),
    (r"(?<=[s\dn]\s)\s?(?:부터|에서)\s?(?:시작\w{0,4})", " start "),
    (r"(?<=[s\dn]\s)\s?(?:부터|에서)(?=[^\d\n]{0,6}\d)|(?<=\d)(?:부터|에서)(?=[^\d\n]{0,6}\d)", " to "),
    (r"(?<=[s\dn]\s)\s?까지|(?<=\d)까지", " "),
    (r"(?<=[s\dn]\s)\s?[와과](?=\s?[^\d\n]{0,3}\d)", " and "),
    (r"사이", " amid "),
    (r"약(?=\s?\d)|대략|쯤|정도", " about "),
    (r"(?<=[s\dn]\s)\s?에?\s?시작\w{0,4}", " start "),
    (r"(?<=[s\dn]\s)\s?에?\s?(?:끝나\w{0,4}|끝납\w{0,4}|종료\w{0,4})", " end "),
    (r"(?:시작|개시)\s?(?:시간|시각|시점|초|지점)?", " start "),
    (r"(?:종료|끝|마침)\s?(?:시간|시각|시점|초|지점)?", " end "),
    (r"발생\w{0,6}|일어\w{1,6}|나타\w{1,6}", " happens "),
    (r"(?:정답|최종\s?답|답변|답)(?:은|:)", " answer: "),
    (r"(?:이|해당|그)\s(?:사건|이벤트)[은는이가]?", " the event "),
    (r"사건|이벤트", " event "),
    (r"구간|시간대", " segment "),
    (r"시간|타임스탬프", " time "),
    (r"경계\s?상자|바운딩\s?박스", " bbox "),
    (r"라벨|레이블", " label "),
    (r"존재(?:\s?여부)?", " exists "),
    (r"발견됨|찾음", " found "),
    (r"결과", " result "),
    (r"상태", " status "),
    (r"그리고|및", " and "),
    (r"(?<=s )\s?(?:입니다|이다|이며|에는|에)", " "),
]

#: Verbs and negations that follow their times, moved to where English has them.
VERB_LAST = [
    (
        rf"({_TIME})\s{{0,3}}start\s{{0,3}},?\s{{0,3}}({_TIME})\s{{0,3}}end\b(?!\s{{0,3}}(?:at|:|\d))",
        r" start at \1, end at \2 ",
    ),
    (rf"({_TIME})\s{{0,3}}and\s{{1,3}}({_TIME})\s{{0,3}}amid", r" \1 to \2 "),
    (rf"({_TIME}\s{{0,3}}(?:to|until|[-–—~到至])\s{{0,3}}{_TIME})\s{{0,3}}(?:amid\s{{0,3}})?isnot\b", r" not \1, but "),
    (r"\b(start|end)\s{0,3}(?=:?\s{0,3}\d)", r"\1 at "),
    (rf"(?<!at )\b({_TIME})\s{{0,3}}(start|end)\b(?!\s?:| at)", r" \2 at \1 "),
    (rf"({_TIME})\s{{0,3}},\s{{0,3}}to\b", r"\1 to"),
    (r"\b(start|end) at (?=:)", r"\1 "),
    (r"\bisnot\b", "not"),
    (r"\bamid\b", " "),
]

#: Words from which each language is told; a text counts as in the language that most of its words are of.
MARKS = {
    "german": word_set("""
        von bis zwischen und nicht kein keine keinen keiner keines das der dem den ist wird beginnt endet anfang ende
        ereignis sekunde sekunden antwort gefunden sondern ab im zu es gibt findet statt kommt vor tritt auf startzeit
        endzeit nichts nie niemals niemand szene startet zum zur bei zeitraum eigentlich nein keins beginn ungefähr
    """),
    "spanish": word_set("""
        desde hasta el la los las entre de del al segundo segundos inicio fin comienza termina empieza ocurre evento
        encontró encontrado encuentra ningún ninguna ninguno sino un una en que se es respuesta nunca nada aparece
        sucede hay tiempo minuto minutos vídeo finaliza realidad acaba
    """),
    "french": word_set("""
        de la le les du des à et entre jusqu depuis seconde secondes début fin commence termine se produit événement
        ne pas aucun aucune mais vidéo dans est introuvable trouvé jamais rien réponse il une un où débute finit
        en fait plutôt au
    """),
}
ENGLISH = word_set("""
    the is are was were of from to and at it this that in on with by for not no does do did has have event starts start
    ends end happens occurs between until about a an he she they man woman there video answer so i what when seconds
    second time happen be
""") - word_set("in no a second start end man video des is so")

#: What is done last: numbers with a decimal comma by what stands next to them, and denials in words.
FINISH = [
    (r"\bnosuchevent\b", "no such event"),
    (r"\bnosuchthing\b", "there is no thing"),
    (r"(?<![\d.,\[(])(\d{1,6}),(\d{1,3})(?=\s?(?:s\b|sec|min\b|minutes?\b|[-–—~]\s?\d|to\b|until\b|and\b))", r"\1.\2"),
    (r"(?<=\()(\d{1,6}),(\d{1,3})(?=\s?(?:s\b|sec|to\b|until\b|and\b|[-–—~]\s?\d))", r"\1.\2"),
    (
        r"((?:\b(?:from|to|until|and|between|start|end|starts|ends|at|second)|[-–—~])(?:\s?(?:time|at|the|"
        r"is))?\s?:?\s?)"
        r"(\d{1,6}),(\d{1,3})(?![\d,])",
        r"\1\2.\3",
    ),
    (r"(?<=: )(\d{1,6}),(\d{1,3})(?=\s?\}|,\s{0,3}\")", r"\1.\2"),
]
_NOW = r"(?=\s?(?:(?:la|el|los|le|les)\s)?(?:(?:second\w{0,2}|segundos?)\s)?\d)"
_SEEN_ES = (
    "(?:encontr|encuentr|produc|ocurr|aparec|suced|exist|detect|observ|identific|localiz|pudo encontr|puede encontr|"
    "ha encontrado|está present|está en el v[ií]deo)"
)

LATIN = {
    "german": [
        (
            r"\bnicht\s(?:gefunden|vorhanden|enthalten|vorgekommen|aufgetreten|lokalisiert|statt|stattgefunden|"
            r"im\svideo)\b",
            "nosuchevent",
        ),
        (r"\bnicht\s(?:auf|vor|statt)(?=\W*(?:[.,;!]|$))", "nosuchevent"),
        (
            r"\b(?:passiert|geschieht|existiert|erscheint)\s(?:[\w ]{0,30}\s)?nicht\b(?!\svor|\serst|\snach)",
            "nosuchevent",
        ),
        (
            r"\bkein\w{0,2}\s(?:(?:solche?|passende|entsprechende|relevante)\w{0,2}\s)?(?:ereignis|moment|szene|"
            r"abschnitt|übereinstimmung|treffer|segment|stelle|clip)\w{0,2}\b",
            "nosuchevent",
        ),
        (r"\A\W*kein\w{0,2}\W*\Z", "nosuchevent"),
        (r"\bes\sgibt\skein\w{0,2}\b", "nosuchthing"),
        (r"\bkein\w{0,2}\b", "no"),
        (r"\bnichts\b", "nothing"),
        (r"\bniemand\b", "nobody"),
        (r"\b(?:nie|niemals)\b", "never"),
        (r"\bzu\ssehen\b|\bsichtbar\b", "visible"),
        (r"\bsondern\b|\baber\b|\bjedoch\b", "but"),
        (r"\bnicht\s(?=(?:von|zwischen|bei|ab|\d))", "not "),
        (r"\bnicht\ssicher\b", "not sure"),
        (r"\bnicht\snur\b", "not only"),
        (r"\bnicht\b", "does not"),
        (r"\bnein\b,?", "no, actually"),
        (r"\beigentlich\b|\bgenauer\sgesagt\b|\bKorrektur\b|\btatsächlich\b", "actually"),
        (r"\b(?:erst|bevor)\b", "until"),
        (r"\bnach\b", "after"),
        (r"\banderen?[rs]?\b|\bsonst\b|\bweiteren?\b", "other"),
        (r"\bwieder\b", "again"),
        (r"(?<=\d)\.(?=\s(?:bis|und|sekunde))", ""),
        (r"\bsek(?:unden?\b|\b\.?)", "seconds"),
        (r"\bminuten?\b", "minutes"),
        (r"\bstunden?\b", "hours"),
        (r"\bbis\s(?:etwa\s)?(?:zum|zur|zu)?\b", "to "),
        (r"\b(?:von|ab)\b(?:\sder\b)?", "from"),
        (r"\bzwischen\b(?:\sder\b)?", "between"),
        (r"\bund\b", "and"),
        (r"\boder\b", "or"),
        (r"\betwa\b|\bungefähr\b|\bca\.", "about"),
        (r"\b(?:beginnt|startet|fängt|begann)\b", "starts"),
        (r"\b(?:endet|endete|aufhört)\b", "ends"),
        (r"\b(?:startzeit|anfang\w{0,4}|beginn|startzeitpunkt|startsekunde)\b", "start"),
        (r"\b(?:endzeit|ende|endzeitpunkt|endsekunde)\b", "end"),
        (r"\b(?:bei|um)\b", "at"),
        (r"\bdauert\b", "lasts"),
        (r"\b(?:findet|passiert|geschieht|erfolgt|tritt|ereignet)\b", "happens"),
        (r"\bdas\sereignis\b", "the event"),
        (r"\bereignis\b", "event"),
        (r"\bist\b", "is"),
        (r"\b(?:die\s)?(?:richtige\s)?antwort\b", "the answer"),
        (r"\bzeitraum\b|\bzeitspanne\b", "interval"),
        (r"\bdauer\sdes\svideos\b|\bvideolänge\b", "total duration"),
        (r"\bder\b|\bdie\b|\bdas\b", "the"),
    ],
    "spanish": [
        (rf"\bno\s(?:se\s)?(?:ha\s|han\s)?(?:sido\s)?{_SEEN_ES}\w{{0,6}}", "nosuchevent"),
        (r"\bno\s(?:está|hay)\s(?:present|visible)\w{0,2}", "nosuchevent"),
        (
            r"\b(?:no\shay\s)?ning[úu]n[ao]?\s(?:evento|momento|segmento|fragmento|escena|coincidencia|acci[óo]n)\b|"
            r"\bno\sencontrad[oa]\b|\bno\shay\scoincidencias?\b",
            "nosuchevent",
        ),
        (r"\A\W*(?:ningun[oa]|nada|ausente)\W*\Z", "nosuchevent"),
        (r"\bno\shay\b(?:\sning[úu]n[ao]?\b)?", "nosuchthing"),
        (r"\bno\s(?=(?:de|desde|entre|en|a|del)\b)", "not "),
        (r"\bno\ssolo\b", "not only"),
        (r"(?<=[.;])\s{0,2}no,", " no, actually"),
        (r"\bno\b(?!,|\W*$)", "does not"),
        (r"\bning[úu]n[ao]?\b", "no"),
        (r"\bnunca\b|\bjamás\b", "never"),
        (r"\bnada\b", "nothing"),
        (r"\bnadie\b", "nobody"),
        (r"\bsino\b|\bpero\b", "but"),
        (r"\ben\srealidad\b|\bmejor\sdicho\b|\bperdón\b|\bcorrección\b", "actually"),
        (r"\bantes\b", "before"),
        (r"\bdespués\b", "after"),
        (r"\botr[oa]s?\b", "other"),
        (r"\bde\snuevo\b", "again"),
        (r"(\d{1,4})[º°ª]\s?segundo\b", r"second \1"),
        (r"\bsegundo\b(?=\s\d)", "second"),
        (r"\bsegundos?\b|\bseg\b\.?", "seconds"),
        (r"\bminutos?\b", "minutes"),
        (r"\bhoras?\b", "hours"),
        (r"\bhasta\b(?:\s(?:el|la|los)\b)?", "to"),
        (r"(?:(?<=\d)|(?<=s))\s(?:a|al)\b" + _NOW, " to"),
        (r"\b(?:desde|de|del)\b" + _NOW, "from"),
        (r"\bdesde\b", "from"),
        (r"\bentre\b", "between"),
        (r"\by\b", "and"),
        (r"\bo\b", "or"),
        (r"\baproximadamente\b|\bunos\b|\balrededor\sde\b", "about"),
        (r"\b(?:comienza|empieza|inicia|comenzó)\b", "starts"),
        (r"\b(?:termina|finaliza|acaba|terminó)\b", "ends"),
        (r"\b(?:tiempo\sde\s|hora\sde\s)?(?:inicio|comienzo)\b", "start"),
        (r"\b(?:tiempo\sde\s|hora\sde\s)?(?:fin|final)\b", "end"),
        (r"\bdura\b", "lasts"),
        (r"\b(?:ocurre|sucede|aparece|tiene\slugar|se\sproduce|pasa)\b", "happens"),
        (r"\bel\sevento\b", "the event"),
        (r"\bevento\b", "event"),
        (r"\b(?:la\s)?respuesta\b", "the answer"),
        (r"\bes\b", "is"),
        (r"\b(?:en\s)?(?:el|la|los|las)\b", "the"),
        (r"\ben\b", "at"),
        (r"\bduración\s(?:total\s)?del\sv[íi]deo\b", "total duration"),
    ],
    "french": [
        (
            r"\b(?:introuvable|absente?\sde\sla\svidéo|non\strouvée?s?|pas\strouvée?s?|pas\sprésente?s?|"
            r"pas\svisibles?)\b",
            "nosuchevent",
        ),
        (
            r"\bn(?:e\s(?:se\s)?|')(?:apparaît|apparait|produit|existe|est|figure|correspond|survient|a|y\sa|trouve|"
            r"ai|déroule|contient|montre)\s(?:pas|jamais)\b"
            r"(?!\sseulement|\savant|\ssûr|\sde\s\d)(?:\s(?:été\s)?(?:trouvée?|lieu|présente?|visible|détectée?))?",
            "nosuchevent",
        ),
        (
            r"\baucune?\s(?:événement|moment|segment|extrait|scène|correspondance|passage|clip)\b|"
            r"\bpas\sde\s(?:tel\s|correspond)\w{0,6}",
            "nosuchevent",
        ),
        (r"\A\W*(?:aucune?|rien|absent|non)\W*\Z", "nosuchevent"),
        (r"\bil\sn'y\sa\s(?:pas|aucune?)\b", "nosuchthing"),
        (r"\baucune?\b", "no"),
        (r"\bjamais\b", "never"),
        (r"\brien\b", "nothing"),
        (r"\bpersonne\sne\b", "nobody"),
        (r"\bmais\b|\bcependant\b", "but"),
        (r"\b(?:non\s)?pas\s(?=(?:de|entre|à|du)\s\D{0,12}\d)", "not "),
        (r"\bpas\sseulement\b", "not only"),
        (r"\bn(?:e\b|')", ""),
        (r"\bpas\b", "does not"),
        (r"\ben\sfait\b|\bplutôt\b|(?<=[.;]\s)non,|\bcorrection\b", "actually"),
        (r"\bavant\b", "before"),
        (r"\baprès\b", "after"),
        (r"\bautres?\b", "other"),
        (r"\bà\snouveau\b|\bencore\b", "again"),
        (r"(\d{1,4})(?:e|ème|eme|nde|re)(?=\s(?:à|et|jusqu|seconde))", r"\1"),
        (r"\bsecondes?\b(?=\s\d)", "second"),
        (r"\bsecondes?\b", "seconds"),
        (r"\bminutes?\b", "minutes"),
        (r"\bheures?\b", "hours"),
        (r"\bjusqu'(?:à|au|aux)\b(?:\s(?:la|environ)\b)?", "to"),
        (r"(?:(?<=\d)|(?<=s))\s(?:à|au)\b" + _NOW, " to"),
        (r"\b(?:depuis|de|du|dès)\b" + _NOW, "from"),
        (r"\bentre\b", "between"),
        (r"\bet\b", "and"),
        (r"\bou\b", "or"),
        (r"\benviron\b", "about"),
        (r"\b(?:commence|débute|commençant|démarre)\b", "starts"),
        (r"\b(?:se\s)?(?:termine|finit|achève)\b", "ends"),
        (r"\b(?:heure\sde\s|temps\sde\s)?(?:début|départ)\b", "start"),
        (r"\b(?:heure\sde\s|temps\sde\s)?fin\b", "end"),
        (r"\bdure\b", "lasts"),
        (r"\b(?:se\sproduit|apparaît|a\slieu|survient|se\sdéroule|se\spasse)\b", "happens"),
        (r"\bl'événement\b", "the event"),
        (r"\bévénement\b", "event"),
        (r"\b(?:la\s)?réponse\b", "the answer"),
        (r"\best\b", "is"),
        (r"\bdurée\s(?:totale\s)?de\sla\svidéo\b", "total duration"),
        (r"\b(?:la|le|les)\b", "the"),
        (r"\bà\b", "at"),
    ],
}

#: Words of keys, without accents.
KEY_WORDS = {
    word: english
    for english, words in {
        "start": "startzeit anfang anfangszeit beginn startsekunde von inicio comienzo desde debut depart",
        "end": "endzeit ende endsekunde endzeitpunkt bis fin hasta",
        "time": "zeit tiempo temps hora heure zeitpunkt instante",
        "interval": "zeitraum zeitspanne zeitintervall intervalo intervalle periodo periode plage zeitabschnitt",
        "segment": "segmento abschnitt",
        "seconds": "sekunden sekunde segundos segundo secondes seconde",
        "duration": "dauer duracion duree",
        "found": "gefunden encontrado trouve",
        "present": "vorhanden presente",
        "exists": "existiert existe",
        "answer": "antwort respuesta reponse",
        "result": "ergebnis resultado resultat",
        "event": "ereignis evento evenement",
    }.items()
    for word in words.split()
}
