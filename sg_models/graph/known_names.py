"""Names of things that are several words, so that "red fire hydrant" is a fire hydrant that is red.

The 537 names of two or three words that Visual Genome's annotators gave at least 50 times, less those whose first
word merely describes (colour, material, size, place, state): "wooden table" is a table. Lemmas: plural forms are found
by their singular. Source: Visual Genome (Krishna et al. 2017), CC BY 4.0.
"""

LONGEST = 3  # words

_NAMES = """
    air conditioner, air vent, alarm clock, american flag, apartment building, apple logo, apple slice, area rug,
    arm band, arm rest, arrow key, back pack, baked good, ball cap, ball player, banana bunch, banana leaf, banana
    peel, banana slice, bar stool, barbed wire, baseball bat, baseball cap, baseball diamond, baseball field,
    baseball game, baseball glove, baseball hat, baseball helmet, baseball jersey, baseball mitt, baseball player,
    baseball uniform, basil leaf, bath tub, bathing suit, bathroom floor, bathroom sink, bathroom wall, batter box,
    beach chair, beach umbrella, bed cover, bed frame, bed sheet, bed spread, beer bottle, bell pepper, bike rack,
    bike seat, bikini top, birthday cake, boogie board, book shelf, bottle cap, bow tie, box car, brake light, bread
    slice, broccoli floret, bulletin board, bus door, bus driver, bus stop, bus window, butter knife, cabinet door,
    candle holder, car door, car seat, car window, cardboard box, carrot slice, cat ear, cat eye, ceiling fan,
    ceiling light, cell phone, chain link, chair leg, chalk line, cheese cube, cheese pizza, cherry tomato,
    chocolate cake, christmas light, christmas tree, city bus, clock face, clock hand, clock tower, coca cola,
    cockpit window, coffee cup, coffee maker, coffee mug, coffee pot, coffee table, coin slot, computer keyboard,
    computer monitor, computer mouse, computer screen, computer tower, control panel, conveyor belt, counter top,
    cowboy hat, cross walk, curtain rod, cutting board, desk chair, desk lamp, dining room, dining table, dinner
    plate, dirt bike, dirt road, dish towel, display case, dog collar, door frame, door handle, door knob, double
    decker, drawer pull, dress shirt, drinking glass, duffel bag, duffle bag, dump truck, dvd player, elbow pad,
    electric line, electrical outlet, electronic device, elephant leg, elephant trunk, elephant tusk, end table,
    entertainment center, evergreen tree, exhaust pipe, exit sign, eye glass, face mask, fence pole, fence post,
    fighter jet, finger nail, fire escape, fire extinguisher, fire hydrant, fire place, fire truck, flag pole, flip
    flop, flip phone, floor lamp, floor tile, flower bed, flower bud, flower design, flower petal, flower pot,
    flower vase, folding chair, food truck, foot print, freezer door, french fry, fruit stand, frying pan, game
    control, game controller, garage door, garbage bag, garbage can, gas station, gas tank, giraffe head, giraffe
    leg, giraffe neck, grill mark, grout line, guard rail, hair band, hair dryer, hair tie, hand rail, hand soap,
    hand towel, handle bar, hard hat, head band, head board, head light, head rest, high chair, high heel, home
    base, home plate, horse head, hot dog, hotdog bun, hotel room, hour hand, hub cap, ice cream, index finger, jet
    engine, jet plane, jet ski, ketchup bottle, khaki pant, kick stand, kitchen cabinet, kitchen counter, kitchen
    sink, kite string, kite tail, knee brace, knee guard, knee pad, knick knack, knife block, lamp post, lamp shade,
    landing gear, lap top, laptop computer, laptop screen, lawn chair, licence plate, license plate, life jacket,
    life preserver, life vest, light bulb, light fixture, light glare, light house, light pole, light post, light
    switch, living room, lounge chair, love seat, luggage cart, mail box, manhole cover, microwave oven, mini blind,
    mini van, minute hand, mobile phone, motor bike, motorcycle helmet, mountain range, mountain top, mouse pad, mud
    flap, nail polish, name tag, neck tie, night stand, nike logo, ocean wave, office chair, onion ring, oven door,
    oven mitt, overhead light, paddle board, palm tree, panda bear, pant leg, paper bag, paper plate, paper towel,
    park bench, parking lot, parking meter, parking sign, parking space, passenger car, passenger train, passenger
    window, peace sign, peanut butter, pepper shaker, phone number, pickup truck, picnic table, picture frame,
    pillow case, pine needle, pine tree, pizza box, pizza crust, pizza cutter, pizza slice, place mat, plane tail,
    plane wing, polar bear, police car, police officer, polka dot, polo shirt, pom pom, pony tail, post it, post it
    note, pot holder, potato chip, powdered sugar, power button, power cord, power line, power pole, price tag,
    railroad track, railway line, rain drop, rearview mirror, refrigerator door, remote control, river bank, road
    sign, rock wall, rocking chair, roman number, roman numeral, roof top, rubber band, safety cone, safety helmet,
    safety vest, sail boat, salt shaker, satellite dish, school bus, sea foam, sea gull, seat cover, semi truck,
    sesame seed, shin guard, shirt sleeve, shoe lace, shopping bag, shore line, shoulder bag, shower curtain, shower
    door, shower head, side table, side walk, sideview mirror, sign board, sign post, signal light, sink faucet,
    skate board, skate park, skate ramp, skateboard ramp, skateboard wheel, ski boot, ski glove, ski goggles, ski
    jacket, ski lift, ski pant, ski pole, ski slope, ski stick, ski suit, ski track, sliding door, smoke detector,
    smoke stack, snow board, snow boarder, snow boot, snow pant, snow pile, snow ski, snow suit, soap dish, soap
    dispenser, soap holder, soccer ball, soccer field, soccer player, soda can, solar panel, space bar, spare tire,
    spray bottle, station wagon, steering wheel, sticky note, stop light, stop sign, store sign, store window, stove
    top, street corner, street lamp, street light, street pole, street sign, stuffed animal, stuffed bear, suit
    case, suit jacket, sun glass, sun visor, support beam, support pole, surf board, sweat band, sweet potato, swim
    trunk, t shirt, table cloth, table lamp, table leg, table top, tail feather, tail fin, tail light, tail wing,
    tank top, taxi cab, tea cup, tea kettle, tea pot, teddy bear, tee shirt, telephone pole, telephone wire, tennis
    ball, tennis court, tennis match, tennis net, tennis player, tennis racket, tennis racquet, tennis shoe, throw
    pillow, tire track, tissue box, tissue paper, toaster oven, toe nail, toilet bowl, toilet brush, toilet lid,
    toilet paper, toilet seat, toilet tank, tomato sauce, tomato slice, tooth brush, top hat, towel bar, towel
    holder, towel rack, traffic cone, traffic light, traffic sign, traffic signal, train car, train door, train
    engine, train platform, train station, train track, train window, trash bag, trash bin, trash can, tree branch,
    tree leaf, tree limb, tree line, tree stump, tree top, tree trunk, truck bed, turn signal, tv screen, tv stand,
    utility pole, vending machine, video camera, video game, walk way, wall paper, wall tile, warning sign, washing
    machine, waste basket, water body, water bottle, water drop, water droplet, water glass, water ski, water tank,
    water tower, wax paper, weather vane, wedding band, wedding cake, wedding ring, wet suit, whipped cream, wii
    controller, wii remote, window blind, window frame, window pane, window panel, window sill, windshield wiper,
    wine bottle, wine glass, wrist band, wrist watch, zebra ear, zebra head, zebra leg, zebra tail
"""
KNOWN_NAMES = frozenset(" ".join(name.split()) for name in _NAMES.split(","))


def is_known_name(words: list[str]) -> bool:
    """Whether these words, in any case, singular or plural, are the name of one thing: ["Fire", "Hydrants"]."""
    *first, last = (word.casefold() for word in words)
    return any(" ".join((*first, form)) in KNOWN_NAMES for form in _singular_forms(last))


def _singular_forms(word: str) -> list[str]:
    """The word itself and what it may be the plural of: lights → light, benches → bench, batteries → battery."""
    forms = [word]
    for ending, singular in (("s", ""), ("es", ""), ("ies", "y"), ("ves", "f"), ("ves", "fe")):
        if word.endswith(ending):
            forms.append(word.removesuffix(ending) + singular)
    return forms
