"""Words that the chunker of nouns knows: closed classes, and verbs and adjectives that are common in captions.

Whatever is in none of these lists is taken for a noun, because most words of a caption that no list could hold are
nouns (brands, animals, dishes). Verbs are listed in their base form; their other forms are built by rule.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Words that begin a noun phrase and are no part of it as it is given back.
DETERMINERS = _words(
    """a an the these those some any no every each either neither another both all several many few more most lot lots
    much such other my your his her its our their zero one two three four five six seven eight nine ten eleven
    twelve thirteen fourteen fifteen twenty thirty forty fifty hundred hundreds thousand thousands dozen dozens"""
)
#: Determiners that are more often the subject of the verb that follows them ("a dog that runs", "this shows").
RELATIVES = _words("this that which what whose")
#: Words that stand for a noun and are no noun.
PRONOUNS = _words(
    """i you he she it we they me him them us myself yourself himself herself itself ourselves themselves someone
    somebody something anyone anybody anything everyone everybody everything nobody nothing none who whom ones there
    here mine yours hers ours theirs others"""
)
#: Words before which a new clause may begin.
CONJUNCTIONS = _words(
    """and or but nor so yet then if because although though when where why how whether while as until till since than
    before after once & plus"""
)
PREPOSITIONS = _words(
    """of in on at by for with without from to into onto upon over under above below beside besides behind between among
    amongst across through throughout along around round near inside outside within toward towards against off out up
    down about during via per past beyond beneath underneath atop amid like next"""
)
ADVERBS = _words(
    """away aside apart together forward forwards backward backwards back forth also too very really quite rather just
    only even still again ever never always often sometimes twice now later soon first finally meanwhile afterwards
    not n't maybe perhaps almost already well straight indoors outdoors overhead upside ahead etc instead somewhere
    everywhere nearby offscreen onscreen alone right-handed left-handed home upstairs downstairs"""
)
AUXILIARIES = _words(
    """be am is are was were been being do does did done doing have has had having can could will would shall should may
    might must let lets 's 're 've 'd 'll 'm isn't aren't wasn't weren't don't doesn't didn't can't cannot won't"""
)
ADJECTIVES = _words(
    """red green blue yellow purple orange pink brown black white grey gray golden silver cyan turquoise beige violet
    crimson scarlet dark light bright pale colourful colorful striped dotted checked checkered plain spotted
    patterned big small large little tiny huge giant tall short long wide narrow thick thin fat slim round
    square-shaped flat young old elderly new ancient modern middle-aged male female blond blonde bald bearded
    pregnant good bad nice beautiful pretty handsome ugly cute adorable lovely happy sad angry funny scary hot cold
    warm cool wet dry clean dirty muddy snowy sunny rainy cloudy foggy windy stormy icy sandy dusty rocky grassy
    soft hard loud quiet calm busy empty full open closed broken raw fresh ripe frozen cooked boiled fried baked
    grilled chopped sliced diced melted spicy sweet sour salty delicious tasty wooden metal plastic wool woolen
    leather stone-built concrete electric electronic digital acoustic fast slow quick heavy sharp smooth rough deep
    shallow steep straight curved curly same different various multiple single double entire whole half main front
    rear upper lower left right top bottom middle inner outer last next final second third fourth fifth animated
    cartoon live aerial underwater urban rural public private professional american british chinese japanese indian
    african asian european french german italian mexican spanish russian homemade traditional famous popular special
    different important free safe ready alone asleep awake alive dead drunk masked armed shirtless barefoot
    well-dressed close-up slow-motion time-lapse high low"""
)
#: Adjectives that are a noun where they end a phrase alone ("peels an orange").
ADJECTIVE_NOUNS = _words("orange light plastic metal leather wool elderly")
#: Verbs in their base form.
VERBS = _words(
    """add adjust aim answer appear apply approach argue arrive ask attach attack attempt bake balance bark bathe beat
    become begin bend bite blink blow boil bounce bow bowl break breathe bring brush build bump burn burst bury buy
    call capture care carry carve cast catch celebrate change chase chat check cheer chew choose chop circle clap
    clean clear climb close collect comb come compete complete contain continue cook cool count cover crack crash
    crawl create cross crouch cry curl cut dance decorate deliver demonstrate describe destroy dig dip discuss display
    dive do drag draw dress dribble drink drip drive drop drum dry eat emerge enjoy enter examine exercise exit
    explain explode explore face fall feature feed feel fight fill film find finish fish fix flip float flow fly fold
    follow fry gather get give grab glance glide go graze greet grill grin grind grow guide hang happen have hear help
    hide hike hit hold hop hug hunt hurry illustrate inspect install interact interview introduce iron jog joke juggle
    jump keep kick kiss kneel knit knock know land laugh lay lead lean leap learn leave lick lie lift light listen
    live load look lose make march mark measure meet melt mix move mow nap narrate nod occur offer open operate order
    pack paddle paint park pass pat pause pedal peel perform pet pick pinch place plant play point pose pour practice
    pray prepare present press pretend promote provide pull pump punch push put race raise reach react read receive
    record recite relax remove repair repeat replace rest return review ride ring rinse rise roam roast rob roll
    rotate row rub run sail salute save say score scrape scratch scream scroll scrub search see seem sell send serve
    set sew shake shave shine shoot shop shout shove show shrink sign sing sip sit skate skateboard skip ski slap
    sleep slice slide slip smash smell smile smoke snap sniff snore snorkel snowboard soar spar speak speed spill spin
    splash spray spread squat squeeze stack stand stare start stay steal steer step stick stir stop stretch stroll
    strum stumble suck surf surround swallow sweep swim swing take talk tap taste teach tear tease tell test thank
    think throw tickle tie tilt toss touch tour train travel trim try tumble tune turn twirl twist type unload unpack
    unwrap use vacuum wag wait wake walk wander warm wash watch water wave wear weigh whip whisk whisper win wipe work
    wrap wrestle write yawn yell zoom include involve showcase depict reveal portray compare highlight gallop trot
    fetch retrieve sprint somersault cartwheel vault assemble disassemble hammer drill saw mince season drizzle
    sprinkle garnish marinate saute simmer whirl sway stomp crumble crumple unfold zip unzip button buckle lace plug
    unplug rehearse compose accompany admire adopt announce applaud arrange assist broadcast clutch comfort conduct
    consume cough cruise cuddle dab dangle dart dash decide descend design direct discover dunk edit embrace escape
    exchange exhale expand express extend fasten flee flex flick frown gaze gesture giggle glare grasp groom growl
    gulp handle haul howl hum inhale inject insert invite knead lather launch lecture lower lunge manage massage mash
    moan nibble notice nudge observe pan peek peer perch plunge polish pop pounce prick propel protect rake refuse
    remain reply request rescue retreat reverse rip roar rush scan scatter scoop scramble screw shatter shift shiver
    shovel shrug shuffle sigh signal sketch skid slam slump smear snatch sneak sneeze soak sob spit squirt stab
    startle straighten strike strip struggle sweat switch tackle thrust tidy tighten tip tiptoe tow trace transfer
    transform translate trip trudge tuck tug unlock usher vanish vibrate volley wade weave weep weld whistle wiggle
    wink witness wobble worry yank creep crush dice drown dump entertain erupt fan flap flatten gobble grate grip
    hatch hover hurl lasso loosen munch nail pitch plow poke pluck punt rappel scold sculpt shear slurp smack splatter
    stuff swat swipe tape toast tremble twitch unbox uncover varnish wax whack whittle shape"""
)
#: Forms of irregular verbs that no rule builds.
IRREGULAR = _words(
    """ate began bent bit blew broke brought built bought caught chose came dealt drew drank drove ate eaten fell fallen
    fed felt fought found flew flown forgot froze gave given went gone grew grown hung heard hid hidden held kept knelt
    knew known laid led left lost made met paid put ran rang rode ridden rose risen said saw seen sold sent shook shaken
    shot showed shown sang sat slept slid spoke spoken spun stood stole stuck struck swam swept swung took taken taught
    tore torn told thought threw thrown understood woke wore worn won wrote written lay lain shone sewn dug drunk begun
    swum sung sprang split spread shut"""
)
#: Participles of verbs without an object: before a noun they belong to it ("falling snow", not "cutting onions").
INTRANSITIVE = _words(
    """falling running boiling burning flowing moving rising setting floating flying smiling blooming growing crashing
    sleeping standing sitting dancing glowing spinning rotating swimming crying laughing barking changing melting
    blinking flashing shining sparkling swirling drifting passing"""
)
#: Words that are nouns although they look like a form of a verb.
FIRM_NOUNS = _words(
    """shot shots building buildings painting paintings ring rings king kings wedding weddings clothing ceiling ceilings
    string strings wing wings evening evenings morning mornings railing railings swing swings spring springs thing
    things sibling siblings earring earrings drawing drawings meeting meetings duckling ducklings pudding puddings
    stuffing stocking stockings icing frosting filling topping toppings seasoning dressing sling slings awning awnings
    crossing crossings opening openings landing parking hearing lightning dumpling dumplings bowling clearing setting
    sterling viking vikings flooring wiring offspring handwriting tubing bedding lining boxing wrestling cooking
    fishing surfing skiing snowboarding skating skateboarding gymnastics rowing diving swimming-pool ping-pong
    shooting training engineering gaming pan bed beds fan fans"""
)
#: Nouns that look like an adverb, an adjective or a verb's form by their ending.
NOUNS = _words(
    """family families belly bellies jelly fly butterfly butterflies dragonfly trolley lily lilies bully assembly ally
    reply supply monopoly rally alley valley bed shed sled sleds weed seed seeds breed feed reed steed thread bread head
    heads seaweed speed hundred kindred native natives detective detectives locomotive olive olives hive hives relative
    relatives table tables vegetable vegetables cable cables stable fable bubble pebble jungle island bus buses glass
    glasses grass class dress dresses chess mattress actress waitress gas canvas bass boss cross moss compass princess
    news series species scissors pants jeans shorts glasses trousers binoculars goggles pliers headphones"""
)
#: Plurals that no rule turns into their singular.
PLURALS = {
    "men": "man", "women": "woman", "children": "child", "people": "person", "feet": "foot", "teeth": "tooth",
    "geese": "goose", "mice": "mouse", "oxen": "ox", "policemen": "policeman", "firemen": "fireman",
    "fishermen": "fisherman", "businessmen": "businessman", "knives": "knife", "wives": "wife", "wolves": "wolf",
    "leaves": "leaf", "loaves": "loaf", "shelves": "shelf", "halves": "half", "calves": "calf", "thieves": "thief",
    "scarves": "scarf", "hooves": "hoof", "lives": "life", "elves": "elf", "potatoes": "potato", "tomatoes": "tomato",
    "heroes": "hero", "echoes": "echo", "mangoes": "mango", "cacti": "cactus", "dice": "die", "buses": "bus",
    "shoes": "shoe", "toes": "toe", "horses": "horse", "houses": "house", "noses": "nose", "roses": "rose",
    "vases": "vase", "hoses": "hose", "movies": "movie", "cookies": "cookie", "ties": "tie", "pies": "pie",
    "axes": "axe", "bases": "base", "faces": "face", "cases": "case", "purses": "purse", "nurses": "nurse",
    "selfies": "selfie", "zombies": "zombie", "brownies": "brownie", "smoothies": "smoothie", "caches": "cache",
    "canoes": "canoe",
}  # fmt: skip
#: Nouns in -s that are one thing or have no singular.
UNCHANGED = _words(
    """bus gas glass grass class dress chess mattress actress waitress canvas bass boss cross moss compass princess news
    series species scissors pants jeans shorts trousers binoculars goggles pliers headphones glasses gymnastics tennis
    lens iris cactus octopus walrus circus campus virus bonus"""
)
