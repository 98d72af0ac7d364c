"""Words that tell what in a subtitle is no speech: sounds and ways of speaking, signs, credits."""

import re

# Stems of the words by which captions describe sounds and voices. Each is matched as a whole word.
_ENGLISH = r"""
    applau\w+ audience background bangs? banging barks? barking beat beep(?:s|ing)? bells? bleats?
    bleep(?:s|ed|ing)? booing boos breath(?:es|ing)? burps? burping buzz(?:es|ing)? chant(?:s|ing)?
    chatter(?:s|ing)? cheer(?:s|ing)? chimes? chiming chirps? chirping chuckl(?:es?|ing)
    clang(?:s|ing)? clap(?:s|ping)? clatter(?:s|ing)? click(?:s|ing)? clinks? clinking cont'd
    continues cough(?:s|ing)? crack(?:s|ling|les)? crash(?:es|ing)? creak(?:s|ing)? cries crosstalk
    crowd crunch(?:es|ing)? crying censored distorted echo(?:es|ing)? engine exclaims?
    expletive exhal(?:es?|ing)
    explosions? explod(?:es|ing) fanfare footsteps foreign gasp(?:s|ing)? giggl(?:es?|ing)
    groan(?:s|ing)? growl(?:s|ing)? grunt(?:s|ing)? gun(?:shots?|fire) hiccups? hiss(?:es|ing)?
    honk(?:s|ing)? horns? howl(?:s|ing)? humming hums imitat(?:es|ing) inaudible indistinct\w*
    inhal(?:es?|ing) instrumental intercom jingl(?:es?|ing) knock(?:s|ing)? laugh(?:s|ing|ter)?
    meows? moan(?:s|ing)? mumbl(?:es?|ing) murmur(?:s|ing)? music\w* mutter(?:s|ing)? neighs?
    noises?
    offscreen off-screen overlapping pant(?:s|ing) playing plays quacks? radio ratt(?:les|ling)
    redacted
    ring(?:s|ing)(?:tone)? roar(?:s|ing)? rumbl(?:es?|ing) rustl(?:es?|ing) scoff(?:s|ing)?
    scream(?:s|ing)? screech(?:es|ing)? shatter(?:s|ing)? shout(?:s|ing)? shriek(?:s|ing)?
    shush(?:es|ing)? sigh(?:s|ing)? silence singing sings sirens? sizzl(?:es|ing) slam(?:s|ming)?
    slurp(?:s|ing)? sneez(?:es?|ing) snicker(?:s|ing)? sniff(?:s|ing|les?|ling)? snor(?:es|ing)
    snort(?:s|ing)? sob(?:s|bing)? softly song speaking speaks splash(?:es|ing)? squawk(?:s|ing)?
    squeak(?:s|ing)? squeal(?:s|ing)? stammer(?:s|ing)? static stutter(?:s|ing)? thud(?:s|ding)?
    theme thunder(?:s|ing)? ticking translat(?:ed|ing|or|es) tuts tutting unintelligible
    v\.?o\.? vibrat(?:es|ing) vocali[sz](?:es?|ing) voice-?over voices? wail(?:s|ing)?
    weep(?:s|ing)? wheez(?:es|ing) whimper(?:s|ing)? whirr(?:s|ing)? whisper(?:s|ing)?
    whistl(?:es?|ing) whoop(?:s|ing)? whoosh(?:es|ing)? yawn(?:s|ing)? yell(?:s|ing)? yelp(?:s|ing)?
    over\s(?:the\s)?(?:phone|p\.?a\.?|radio|speakers?|tv) on\s(?:the\s)?(?:phone|radio|speaker|tv)
"""
_OTHERS = r"""
    applaus applaudiert beifall donner flüster\w* gelächter geräusch\w* hust\w+ jubel klingel\w*
    klopf\w* lach(?:t|en) musik\w* musique musica música müzik schreit? schritte schrei\w* seufz\w*
    sirenen? stöhn\w* schluchz\w* weint
    applaudissements bruits? chuchot\w* cris? crie gémi\w* rires? rit rumeurs? sanglot\w* sonnerie
    soupir\w* tousse tonnerre
    aplausos gemid\w+ gime grit(?:a|an|os?) ríe risas? ruidos? sollozos? suena suspir\w* susurr\w*
    tose truenos? applausi risate sospir\w* risos suspiros
    аплодисменты взд(?:ох|ыхает) выстрел\w* звон(?:ок|ит) кашляет кашель крик\w* кричит музыка
    песня плач\w* рыда\w* смех смеется смеётся стон\w* стук\w* шепч?\w* шум
"""
_SOUND = re.compile(
    rf"(?<![\w'])(?:{'|'.join((_ENGLISH + _OTHERS).split())})(?![\w])"
    "|[笑泣叫嘆叹声聲音曲歌楽乐樂鳴鸣咳]|拍手|鼓掌|ため息|悲鳴|웃음|박수|음악|소리|한숨|비명|노래|흐느|기침",
    re.I,
)
_LANGUAGE = re.compile(r"(?:in|en|auf|на)\s+\w{4,}", re.I)

# Before and after the film, subtitles name those who made them; some sites write between the lines.
_MAKERS = re.compile(
    r"\b(?:sub(?:title[sd]?|bed)?|caption(?:s|ed|ing)?|sync(?:ed|hroni[sz]ed)?|transcri(?:bed|pt)"
    r"|translat(?:ed|ion)|encoded|ripped|timed|timing|corrected|corrections?|resync(?:ed)?"
    r"|improved|edited|adapted|created|uploaded)"
    r"(?:\s+(?:and|&)\s+\w+)?\s*(?:by|:)|untertitel(?:ung)?\s*(?:von|:|im auftrag)"
    r"|sous-titr\w*\s*(?:par|:|st')|subtítulos?\s*(?:por|de|:)|legendas?\s*(?:por|de|:)"
    r"|traduc\w+\s*(?:por|:)|traduzione|sottotitoli|napisy|titulky|перевод\s*:|субтитры|превод|обрад[аи]|prevod|obrada|preuzeto"
    r"|字幕|翻译[:：]|翻譯[:：]|校对|時間軸|时间轴|자막",
    re.I,
)
_SITES = re.compile(
    r"opensubtitles|addic7ed|subscene|titlovi\.com|podnapisi|tvsubtitles|yify|\byts\b|subdivx"
    r"|amara\.org|osdb\.link|legendas\.tv|zimuku|subhd|shooter\.cn|argenteam|italiansubs|seriessub"
    r"|advertise your product",
    re.I,
)
LONGEST_CREDIT = 15
_ADDRESS = re.compile(
    r"(?:https?://|www\.)\S+|(?<![\w.-])[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{2,64}"
    r"|(?<![\w-])[\w-]{2,63}\.(?:com|net|org|tv|ru|cn|de|fr|es|it|io|me|info)\b(?:/\S*)?",
    re.I,
)

_SIGN_STYLE = re.compile(
    r"sign|title|credit|typeset|logo|episode|eyecatch|staff|on.?screen|^(?:t[ln][\W_]?)?notes?$"
    r"|(?:^|[\W_])ts(?:[\W_]|$)",
    re.I,
)
_SONG_STYLE = re.compile(
    r"(?i:karaoke|kara\b|songs?|lyrics?|opening|ending|romaji|insert)|(?:^|[\W_\d])(?:OP|ED)(?:[\W_\d]|$)"
)


def is_sound(text: str) -> bool:
    """Whether what stands in brackets describes a sound or a way of speaking."""
    return bool(_SOUND.search(text) or _LANGUAGE.fullmatch(text.strip()))


def is_credit(text: str, at_the_edge: bool) -> bool:
    """Whether a cue names who made the subtitles, or is an address and little else.

    `at_the_edge`: it is one of the first or last cues of the file.
    """
    if _SITES.search(text):
        return True
    short = len(text.split()) <= LONGEST_CREDIT and not text.endswith(".")
    if at_the_edge and short and _MAKERS.search(text):
        return True
    rest, addresses = _ADDRESS.subn("", text)
    return addresses > 0 and len(re.findall(r"\w+", rest)) <= 1


def why_of_style(style: str) -> str:
    """Why an ASS event of this style is no speech; "" where nothing says so."""
    if _SONG_STYLE.search(style):
        return "sung"
    return "a sign" if _SIGN_STYLE.search(style) else ""
