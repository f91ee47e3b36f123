"""Two hundred words of English, German and French, and a few phrases."""
from .grammar import Sample, cap, is_held, rough

# English/German/French; nouns without their article.
WORDS = [tuple(w.replace("_", " ").split("/")) for w in """
house/Haus/maison dog/Hund/chien cat/Katze/chat tree/Baum/arbre water/Wasser/eau bread/Brot/pain
milk/Milch/lait sun/Sonne/soleil moon/Mond/lune star/Stern/étoile book/Buch/livre table/Tisch/table
chair/Stuhl/chaise door/Tür/porte window/Fenster/fenêtre friend/Freund/ami mother/Mutter/mère
father/Vater/père brother/Bruder/frère sister/Schwester/sœur child/Kind/enfant man/Mann/homme
woman/Frau/femme boy/Junge/garçon girl/Mädchen/fille school/Schule/école teacher/Lehrer/professeur
city/Stadt/ville village/Dorf/village street/Straße/rue river/Fluss/rivière sea/Meer/mer
mountain/Berg/montagne forest/Wald/forêt field/Feld/champ garden/Garten/jardin flower/Blume/fleur
bird/Vogel/oiseau fish/Fisch/poisson horse/Pferd/cheval cow/Kuh/vache pig/Schwein/cochon
sheep/Schaf/mouton mouse/Maus/souris bear/Bär/ours fox/Fuchs/renard wolf/Wolf/loup rabbit/Hase/lapin
apple/Apfel/pomme pear/Birne/poire cherry/Kirsche/cerise cheese/Käse/fromage egg/Ei/œuf
butter/Butter/beurre salt/Salz/sel sugar/Zucker/sucre tea/Tee/thé coffee/Kaffee/café wine/Wein/vin
beer/Bier/bière soup/Suppe/soupe cake/Kuchen/gâteau meat/Fleisch/viande rice/Reis/riz
head/Kopf/tête hand/Hand/main foot/Fuß/pied eye/Auge/œil ear/Ohr/oreille nose/Nase/nez
mouth/Mund/bouche tooth/Zahn/dent heart/Herz/cœur arm/Arm/bras leg/Bein/jambe back/Rücken/dos
day/Tag/jour night/Nacht/nuit morning/Morgen/matin evening/Abend/soir week/Woche/semaine
month/Monat/mois year/Jahr/année hour/Stunde/heure time/Zeit/temps spring/Frühling/printemps
summer/Sommer/été autumn/Herbst/automne winter/Winter/hiver rain/Regen/pluie snow/Schnee/neige
wind/Wind/vent fire/Feuer/feu earth/Erde/terre sky/Himmel/ciel cloud/Wolke/nuage stone/Stein/pierre
gold/Gold/or silver/Silber/argent money/Geld/argent work/Arbeit/travail car/Auto/voiture
train/Zug/train boat/Boot/bateau plane/Flugzeug/avion bicycle/Fahrrad/vélo road/Weg/chemin
bridge/Brücke/pont key/Schlüssel/clé letter/Brief/lettre word/Wort/mot language/Sprache/langue
song/Lied/chanson music/Musik/musique game/Spiel/jeu ball/Ball/balle king/König/roi queen/Königin/reine
bed/Bett/lit kitchen/Küche/cuisine room/Zimmer/chambre wall/Wand/mur roof/Dach/toit knife/Messer/couteau
fork/Gabel/fourchette spoon/Löffel/cuillère plate/Teller/assiette glass/Glas/verre bottle/Flasche/bouteille
shirt/Hemd/chemise shoe/Schuh/chaussure hat/Hut/chapeau coat/Mantel/manteau red/rot/rouge
blue/blau/bleu green/grün/vert yellow/gelb/jaune black/schwarz/noir white/weiß/blanc brown/braun/brun
grey/grau/gris big/groß/grand small/klein/petit old/alt/vieux new/neu/nouveau good/gut/bon
bad/schlecht/mauvais hot/heiß/chaud cold/kalt/froid beautiful/schön/beau young/jung/jeune long/lang/long
short/kurz/court high/hoch/haut deep/tief/profond strong/stark/fort weak/schwach/faible fast/schnell/rapide
slow/langsam/lent happy/glücklich/heureux sad/traurig/triste tired/müde/fatigué free/frei/libre
full/voll/plein empty/leer/vide one/eins/un two/zwei/deux three/drei/trois four/vier/quatre
five/fünf/cinq six/sechs/six seven/sieben/sept eight/acht/huit nine/neun/neuf ten/zehn/dix
to_eat/essen/manger to_drink/trinken/boire to_sleep/schlafen/dormir to_go/gehen/aller
to_come/kommen/venir to_see/sehen/voir to_hear/hören/entendre to_speak/sprechen/parler
to_read/lesen/lire to_write/schreiben/écrire to_give/geben/donner to_take/nehmen/prendre
to_sing/singen/chanter to_laugh/lachen/rire to_work/arbeiten/travailler to_play/spielen/jouer
to_buy/kaufen/acheter to_love/lieben/aimer Monday/Montag/lundi Tuesday/Dienstag/mardi
Wednesday/Mittwoch/mercredi Thursday/Donnerstag/jeudi Friday/Freitag/vendredi
Saturday/Samstag/samedi Sunday/Sonntag/dimanche today/heute/aujourd'hui tomorrow/morgen/demain
yesterday/gestern/hier yes/ja/oui no/nein/non and/und/et or/oder/ou always/immer/toujours
never/nie/jamais here/hier/ici thank_you/danke/merci please/bitte/s'il_vous_plaît hello/hallo/bonjour
good_morning/guten_Morgen/bonjour good_night/gute_Nacht/bonne_nuit goodbye/auf_Wiedersehen/au_revoir
""".split()]
LANGUAGES = ("English", "German", "French")


def sample(r):
    row = r.of(WORDS)
    to = r.randint(1, 2)
    back = r.p(0.25)
    src, dst = (to, 0) if back else (0, to)
    w, t = row[src], row[dst]
    # A foreign word that stands for several rows ("argent") is asked only the way it is unambiguous.
    if back and sum(x[src] == w for x in WORDS) > 1:
        return sample(r)
    q = r.x("[[How do you say|How does one say|What is|Translate|How would you say|Say|"
            "What's the word for|Tell me] {w} [in|in|into|to] {L}[?|.|?]|Translate {w} [to|into] {L}[.|, please.]|"
            "What is the {L} word for {w}?|{w} in {L}?|What does {w} mean in {L}?|What is the {L} for {w}?]",
            w=r.of([w, w, f'"{w}"', f"'{w}'"]) if "'" not in w else f'"{w}"', L=LANGUAGES[dst])
    for wrong, right in (("What is %s into", "What is %s in"), ("What is %s to", "What is %s in")):
        q = q.replace(wrong % w, right % w)
    if is_held(cap(q).strip("?.")) != r.held:
        return sample(r)
    return Sample("translation", rough(r, cap(q)), f'"{w}" in {LANGUAGES[dst]} is "{t}".',
                  {"has": [f'"{t}"']}, key="", think=f"Translate {w} into {LANGUAGES[dst]}: {t}.")


def short(r):
    """(question, answer) for follow.py."""
    while True:
        row, to = r.of(WORDS), r.randint(1, 2)
        q = r.x("[What is|How do you say] {w} in {L}?", w=row[0], L=LANGUAGES[to])
        if is_held(q.strip("?.")) == r.held:
            return q, row[to]
