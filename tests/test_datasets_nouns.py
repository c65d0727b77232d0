"""The chunker of noun phrases on captions written by hand in the styles of several sets, and the file of nouns."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whenwhere.datasets.nouns import cached_nouns, noun_phrases, open_extractor, singular
from whenwhere.errors import SettingError

#: Caption | its noun phrases as a reader marks them. The first half was at hand when the rules were written.
CAPTIONS = """
a man is playing a guitar | man, guitar
a woman is slicing an onion | woman, onion
two dogs are running in the snow | dogs, snow
a group of people is dancing on a stage | group, people, stage
a cat is playing with a ball of yarn | cat, ball, yarn
the man in the red shirt rides a brown horse | man, red shirt, brown horse
a little girl eats an ice cream | little girl, ice cream
someone is chopping garlic with a knife | garlic, knife
a person is folding paper | person, paper
kids play soccer in the park | kids, soccer, park
a man drives a car down the road | man, car, road
a chef adds chopped tomatoes to a pan | chef, chopped tomatoes, pan
the baby laughs at the dog | baby, dog
people walk across a bridge over the river | people, bridge, river
a band performs a song for a large crowd | band, song, large crowd
a news reporter talks about the weather | news reporter, weather
an orange cat jumps over a wooden fence | orange cat, wooden fence
a boy peels an orange | boy, orange
the camera zooms in on a person's face | camera, person, face
a white van parked near the swimming pool | white van, swimming pool
a parked car is covered with leaves | parked car, leaves
Aerial view of a tropical beach at sunset | aerial view, tropical beach, sunset
Close-up of female hands typing on a laptop keyboard | female hands, laptop keyboard
Young couple walking along the city street at night | young couple, city street, night
Waves crashing on rocks, slow motion | waves, rocks, slow motion
Happy family having breakfast in a modern kitchen | happy family, breakfast, modern kitchen
Time lapse of clouds over mountains | time lapse, clouds, mountains
Business people shaking hands in the office | business people, hands, office
Fresh vegetables falling into water on a black background | fresh vegetables, water, black background
Woman applying makeup in front of a mirror | woman, makeup, mirror
SOMEONE stares at the letter in his hand. | letter, hand
She opens the door and steps into the dark hallway. | door, dark hallway
He takes off his hat and sits down on the bed. | hat, bed
SOMEONE's car pulls up outside the house. | car, house
They run down the stairs, and the lights go out. | stairs, lights
the bird flies out of frame | bird, frame
the girl in the pink dress turns around first | girl, pink dress
a dog shakes off water | dog, water
the train passes a red signal | train, red signal
the man's left hand touches the window | man, left hand, window
A man is seen speaking to the camera while holding a tennis racket. | man, camera, tennis racket
The woman then puts contact lenses into her eyes. | woman, contact lenses, eyes
Several people are seen riding horses around a field. | people, horses, field
He mixes the flour, sugar and butter in a bowl. | flour, sugar, butter, bowl
A young boy throws a ball to his father who catches it. | young boy, ball, father
the red circle moves left and the striped blue square grows | red circle, striped blue square
the checked purple cross grows then the dotted blue circle shrinks | checked purple cross, dotted blue circle
Add salt and pepper to the boiling water. | salt, pepper, boiling water
Cut the cucumber into thin slices. | cucumber, thin slices
a video game character fights a dragon | video game character, dragon
a race car drives past the finish line | race car, finish line
a soccer player scores a goal against the other team | soccer player, goal, team
men are fishing from a small boat | men, small boat
there is a woman with long hair in a blue sweater | woman, long hair, blue sweater
a bunch of bananas hangs from the ceiling | bunch, bananas, ceiling
a monkey grabs the tourist's glasses and runs away | monkey, tourist, glasses
three children jump on a trampoline in the backyard | children, trampoline, backyard
an old man with a grey beard smokes a pipe | old man, grey beard, pipe
a woman does yoga exercises on a purple mat | woman, yoga exercises, purple mat
a cartoon mouse dances with a broom | cartoon mouse, broom
the painting shows a building with tall windows | painting, building, tall windows
a machine that cuts metal sheets | machine, metal sheets
"""
#: Captions by which the rules were mended a second time; precision was .92 and recall .96 before.
MENDED = """
a guy is fixing his bike with a wrench | guy, bike, wrench
the two men shake hands and smile at each other | men, hands
a woman brushes her teeth in the bathroom | woman, teeth, bathroom
a kitten licks milk from a saucer | kitten, milk, saucer
the player kicks the ball past the goalkeeper | player, ball, goalkeeper
a waiter serves drinks to customers at a table | waiter, drinks, customers, table
an elephant sprays water with its trunk | elephant, water, trunk
a train is moving along the tracks through a forest | train, tracks, forest
a teacher writes on the blackboard | teacher, blackboard
the boat sails across the blue lake | boat, blue lake
a skier falls down a snowy slope | skier, snowy slope
children are painting pictures with watercolors | children, pictures, watercolors
the mechanic changes the oil of a truck | mechanic, oil, truck
a young woman wearing sunglasses poses for the camera | young woman, sunglasses, camera
a fireman sprays foam on a burning house | fireman, foam, burning house
an airplane takes off from the runway | airplane, runway
the judges applaud the singer | judges, singer
a dog catches a frisbee in midair | dog, frisbee, midair
a baker kneads dough and shapes it into rolls | baker, dough, rolls
the crowd cheers as the runner crosses the finish line | crowd, runner, finish line
a person opens a drawer and takes out a spoon | person, drawer, spoon
someone pours hot coffee into a paper cup | hot coffee, paper cup
Top view of business woman working on laptop in cafe | top view, business woman, laptop, cafe
Cute golden retriever puppy sleeping on a sofa | cute golden retriever puppy, sofa
Fireworks over the city skyline at midnight | fireworks, city skyline, midnight
Farmer driving a tractor in a wheat field | farmer, tractor, wheat field
Blurred traffic lights on a rainy night | blurred traffic lights, rainy night
Senior couple walking on the beach holding hands | senior couple, beach, hands
Macro shot of a bee collecting pollen from a flower | macro shot, bee, pollen, flower
Hands of a potter shaping clay on a wheel | hands, potter, clay, wheel
Slow motion of a surfer riding a big wave | slow motion, surfer, big wave
Seamless loop of falling snow | seamless loop, falling snow
SOMEONE glances at her watch and sighs. | watch
He pulls a gun from his coat pocket. | gun, coat pocket
The taxi speeds off into the night. | taxi, night
She wraps a towel around her head and leaves the bathroom. | towel, head, bathroom
Outside, SOMEONE climbs into the passenger seat. | passenger seat
the guy in the hat walks past the sign | guy, hat, sign
camera pans left to show the stage | camera, stage
the baby drops the spoon for the second time | baby, spoon, second time
a bird lands on a branch then flies away | bird, branch
An athlete runs down a track and jumps into a sand pit. | athlete, track, sand pit
The lady in black continues dancing on the floor while others watch. | lady, floor
He then lifts the weights over his head and drops them. | weights, head
A man is seen kneeling on the ground with a tool box beside him. | man, ground, tool box
Kids are sitting around a table decorating cookies with icing. | kids, table, cookies, icing
They continue playing the game until one team wins. | game, team
Whisk the eggs with milk in a large bowl. | eggs, milk, large bowl
Place the chicken on the grill and cook for ten minutes. | chicken, grill, minutes
Peel and slice the carrots. | carrots
Transfer the mixture to a baking tray. | mixture, baking tray
a minecraft player builds a castle | minecraft player, castle
a clip from a movie shows a car chase | clip, movie, car chase
two cartoon characters argue about money | cartoon characters, money
a judge on the voice turns her chair | judge, voice, chair
a man in a suit and tie gives a speech | man, suit, tie, speech
there are many fish in the aquarium | fish, aquarium
the small brown dog with a red collar barks loudly | small brown dog, red collar
the green triangle moves up and the plain white ring shrinks | green triangle, plain white ring
a yellow school bus stops at the crossing | yellow school bus, crossing
"""
#: Written afterwards, and left as they were.
UNSEEN = """
a clip of a football match between two teams | clip, football match, teams
two guys wrestle in a ring while the referee watches | guys, ring, referee
a lady pours olive oil into the frying pan | lady, olive oil, frying pan
a squirrel climbs up a tree trunk | squirrel, tree trunk
a toddler pushes a toy truck across the floor | toddler, toy truck, floor
the president gives a speech to a cheering crowd | president, speech, cheering crowd
a fashion model walks down the runway | fashion model, runway
a black and white photo of a soldier | white photo, soldier
Drone shot of a winding road through the forest | drone shot, winding road, forest
Coffee beans pouring into a glass jar | coffee beans, glass jar
Blonde girl with headphones listening to music on the train | blonde girl, headphones, music, train
Colorful hot air balloons flying over a valley at dawn | colorful hot air balloons, valley, dawn
SOMEONE leans against the wall and lights a cigarette. | wall, cigarette
He hands the keys to the old woman. | keys, old woman
The kids hide under the kitchen table. | kids, kitchen table
the rider falls off the bull and runs to the fence | rider, bull, fence
a hand reaches for the remote control | hand, remote control
the ferris wheel stops turning | ferris wheel
A gymnast does a backflip on the balance beam and lands on the mat. | gymnast, backflip, balance beam, mat
The man demonstrates how to change a bicycle tire. | man, bicycle tire
A crowd watches as two sumo wrestlers push each other. | crowd, sumo wrestlers
He is seen washing dishes in the sink. | dishes, sink
Boil the potatoes and mash them with butter. | potatoes, butter
Sprinkle grated cheese over the pasta. | grated cheese, pasta
a man plays chess with his grandson | man, chess, grandson
two girls braid each other's hair | girls, hair
a cook flips a pancake in a skillet | cook, pancake, skillet
a nurse checks the patient's blood pressure | nurse, patient, blood pressure
the cyclist rides down a steep mountain trail | cyclist, steep mountain trail
an otter swims on its back | otter
a carpenter sands a wooden board | carpenter, wooden board
the lion chases a zebra across the savanna | lion, zebra, savanna
a drummer plays a solo on stage | drummer, solo, stage
a toddler blows bubbles in the garden | toddler, bubbles, garden
Autumn leaves floating on a pond | autumn leaves, pond
Portrait of a smiling grandmother with glasses | portrait, smiling grandmother, glasses
Cargo ship entering the harbor at dusk | cargo ship, harbor, dusk
Doctor in white coat using a tablet computer | doctor, white coat, tablet computer
Heavy rain falling on a window | heavy rain, window
Steaming cup of tea on a table near the fireplace | steaming cup, tea, table, fireplace
SOMEONE slams the phone down and storms out of the office. | phone, office
Her eyes fill with tears. | eyes, tears
He tosses the newspaper onto the kitchen counter. | newspaper, kitchen counter
the kid in the yellow coat jumps off the swing | kid, yellow coat, swing
the fish swims to the left side of the tank | fish, left side, tank
a bus comes into view behind the truck | bus, view, truck
Two teams are playing a game of beach volleyball. | teams, game, beach volleyball
A woman shows how to knit a scarf using two needles. | woman, scarf, needles
The gymnast swings on the bars and dismounts. | gymnast, bars
Drain the pasta and toss it with the sauce. | pasta, sauce
Spread peanut butter on a slice of bread. | peanut butter, slice, bread
a girl group performs a dance routine in matching outfits | girl group, dance routine, outfits
a screenshot of a computer game with a racing car | screenshot, computer game, racing car
an officer directs traffic at a busy intersection | officer, traffic, busy intersection
"""


def marked(text: str) -> list[tuple[str, list[str]]]:
    rows = [line.split(" | ") for line in text.strip().splitlines()]
    return [(caption, nouns.split(", ")) for caption, nouns in rows]


def agreement(text: str) -> tuple[float, float, list[str]]:
    """Precision and recall of whole phrases, and the captions in which something is wrong."""
    right = found = there = 0
    wrong = []
    for caption, nouns in marked(text):
        got = noun_phrases(caption)
        right += len(set(got) & set(nouns))
        found, there = found + len(got), there + len(nouns)
        if got != nouns:
            wrong.append(f"{caption}: {got}, not {nouns}")
    return right / found, right / there, wrong


@pytest.mark.parametrize(("text", "least"), [(CAPTIONS, 0.95), (MENDED, 0.95), (UNSEEN, 0.9)])
def test_noun_phrases_agree_with_a_reader(text: str, least: float) -> None:
    precision, recall, wrong = agreement(text)
    print(f"{len(marked(text))} captions: precision {precision:.3f}, recall {recall:.3f}", *wrong, sep="\n")
    assert precision >= least and recall >= least


def test_what_the_rules_tell_apart() -> None:
    assert noun_phrases("people walk") == ["people"] and noun_phrases("a walk in the park") == ["walk", "park"]
    assert noun_phrases("a running man") == ["running man"] and noun_phrases("a man running") == ["man"]
    assert noun_phrases("a dog that barks") == ["dog"] and noun_phrases("") == noun_phrases("...!") == []
    assert noun_phrases("it is there and they are here") == []
    assert noun_phrases("A DOG, a dog and the dog\u2019s ball") == ["dog", "ball"]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_any_text_gives_phrases_of_its_own_words(text: str) -> None:
    words = set(text.replace("\u2019", "'").lower().replace("'", " ").split())
    for phrase in noun_phrases(text):
        assert phrase == phrase.strip().lower() and phrase
        assert all(any(part in word for word in words) for part in phrase.replace("'", " ").split())


@pytest.mark.parametrize(
    ("plural", "one"),
    [("dogs", "dog"), ("boxes", "box"), ("babies", "baby"), ("men", "man"), ("glass", "glass"), ("tennis", "tennis"),
     ("bus", "bus"), ("red shoes", "red shoe"), ("dishes", "dish"), ("leaves", "leaf"), ("ties", "tie")],
)  # fmt: skip
def test_singular(plural: str, one: str) -> None:
    assert singular(plural) == one == singular(one)


def shouting(caption: str) -> list[str]:
    return [caption.split()[-1].upper()]


def test_nouns_are_extracted_once_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "nouns.jsonl"
    captions = ["a dog runs", "a dog runs", "a cat sleeps"]
    assert cached_nouns(captions, file=file) == {"a dog runs": ("dog",), "a cat sleeps": ("cat",)}
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["caption"] for line in lines] == ["a dog runs", "a cat sleeps"]
    # what the file says is taken; what it lacks is added to it
    file.write_text(file.read_text().replace('["dog"]', '["hound"]'))
    assert cached_nouns([*captions, "two birds"], file=file)["a dog runs"] == ("hound",)
    assert len(file.read_text().splitlines()) == 3
    # another function's nouns are its own, and both stay
    own = f"{__name__}:shouting"
    assert cached_nouns(captions, own, file)["a dog runs"] == ("RUNS",)
    assert cached_nouns(captions, file=file)["a dog runs"] == ("hound",)


@pytest.mark.parametrize("name", ["rule", "nowhere:f", "json:nothing", "json:__name__", ":f", "json:"])
def test_a_name_that_is_no_function_is_refused(name: str) -> None:
    with pytest.raises(SettingError, match="nouns is"):
        open_extractor(name)


def test_a_function_must_return_texts() -> None:
    for name in ("builtins:len", "builtins:str", "builtins:ascii"):
        with pytest.raises(SettingError, match="list of texts"):
            cached_nouns(["a dog"], name)
