"""Makes `demo/book.epub`, the small EPUB 3 that the demo reads: `python demo/make_book.py`.

Needs Pillow for the cover. With the same Pillow the same bytes come out.
"""

import io
import math
import zipfile
from html import escape
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

HERE = Path(__file__).resolve().parent
TITLE = "The Kettle That Kept Time"
AUTHOR = "The Voxloom Project"
IDENTIFIER = "urn:uuid:5f0c2f5e-3c0e-4d55-9a53-7d0f1c7a2b10"
MODIFIED = "2026-01-01T00:00:00Z"
SCENE_BREAK = "* * *"

CHAPTERS = [
    (
        "One",
        "The Kettle",
        [
            "Every morning at six, before the gulls had found their voices, Nora lit the lamp in"
            " the ferry house and put the kettle on. It was a dented old thing, and it sang.",
            "It did not whistle, as other kettles do. It began with a low note, like a cello in"
            " the next room, and climbed slowly until the lid began to dance. Nora could tell the"
            " time by it. When it reached the highest note, four minutes had passed, and the first"
            " passenger would be standing on the pier.",
            "“You should buy a clock,” said the baker, stamping the frost from his boots.",
            "“A clock only counts,” said Nora. “This one keeps me company.”",
            "The baker laughed, but he held his hands to the steam, and he stayed for a second"
            " cup.",
            SCENE_BREAK,
            "That winter the river froze for 23 days. No boat went out, and nobody came. Still, at"
            " six, the kettle sang, and Nora set two cups on the table.",
        ],
    ),
    (
        "Two",
        "The Song Across the Ice",
        [
            "On the last evening of the frost, a boy walked over the ice from the far bank. He"
            " carried a lantern in one hand and a small fiddle under his coat.",
            "“Please,” he said, “what is that music? We hear it every morning, my grandmother and"
            " I. She says it is the river, dreaming.”",
            "Nora did not answer. She filled the kettle and moved a chair nearer to the stove. The"
            " boy listened to the first low note with his eyes closed. Then he tucked the fiddle"
            " under his chin and found it, and followed it up, step by step, until the lid danced"
            " and the window shone with steam.",
            SCENE_BREAK,
            "In spring the ice broke with a sound like applause. The ferry ran again, and the"
            " baker came, and the boy, and his grandmother in her best blue hat.",
            "“So it was never the river,” the old woman said.",
            "“Oh, I think it was,” said Nora, and poured the tea.",
        ],
    ),
]

STYLE = """body { font-family: serif; line-height: 1.4; margin: 1em 8%; }
h1, h2, hgroup p { text-align: center; }
p { margin: 0; text-indent: 1.2em; }
hr { border: 0; margin: 1.5em; }
.front p { text-indent: 0; text-align: center; }
img { display: block; margin: 0 auto; max-width: 100%; }
"""


def page(title: str, body: str, kind: str) -> str:
    """An XHTML content document."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html>\n'
        '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"'
        f' lang="en" xml:lang="en">\n<head><title>{escape(title)}</title>'
        '<link rel="stylesheet" type="text/css" href="style.css"/></head>\n'
        f'<body epub:type="{kind}">\n{body}\n</body>\n</html>\n'
    )


def chapter_page(number: str, name: str, paragraphs: list[str], mark: str) -> str:
    """A chapter with its heading and its paragraphs; scene breaks become rules."""
    lines = [
        "<hr/>" if text == SCENE_BREAK else f"<p>{escape(text, quote=False)}</p>"
        for text in paragraphs
    ]
    heading = f'<hgroup><h2>Chapter {number}</h2><p epub:type="title">{escape(name)}</p></hgroup>'
    body = "\n".join([f'<section id="{mark}" epub:type="chapter">', heading, *lines, "</section>"])
    return page(f"Chapter {number}: {name}", body, "bodymatter")


def front_page(kind: str, *lines: str) -> str:
    """A page of front or back matter; its first line is a heading."""
    inside = "\n".join([f"<h1>{escape(lines[0])}</h1>", *(f"<p>{line}</p>" for line in lines[1:])])
    body = f'<section class="front" epub:type="{kind}">\n{inside}\n</section>'
    return page(lines[0], body, "backmatter" if kind == "colophon" else "frontmatter")


def navigation() -> str:
    """The table of contents and the landmarks."""
    entries = [("title.xhtml", "Title Page")]
    entries += [
        (f"chapter-{index}.xhtml", f"Chapter {number}: {name}")
        for index, (number, name, _) in enumerate(CHAPTERS, start=1)
    ]
    entries.append(("colophon.xhtml", "Colophon"))
    items = "\n".join(f'<li><a href="{href}">{escape(label)}</a></li>' for href, label in entries)
    marks = (
        '<li><a epub:type="cover" href="cover.xhtml">Cover</a></li>\n'
        '<li><a epub:type="bodymatter" href="chapter-1.xhtml">Start of the story</a></li>'
    )
    body = (
        f'<nav epub:type="toc" id="toc"><h1>Contents</h1><ol>\n{items}\n</ol></nav>\n'
        f'<nav epub:type="landmarks" hidden="hidden"><h2>Landmarks</h2><ol>\n{marks}\n</ol></nav>'
    )
    return page("Contents", body, "frontmatter")


def package() -> str:
    """The package document: metadata, manifest and spine."""
    names = [f"chapter-{index}" for index in range(1, len(CHAPTERS) + 1)]
    pages = ["cover", "title", *names, "colophon"]
    items = "\n".join(
        f'<item id="{name}" href="{name}.xhtml" media-type="application/xhtml+xml"/>'
        for name in pages
    )
    spine = "\n".join(f'<itemref idref="{name}"/>' for name in pages)
    return f"""<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" xml:lang="en">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:identifier id="id">{IDENTIFIER}</dc:identifier>
<dc:title>{TITLE}</dc:title>
<dc:language>en</dc:language>
<dc:creator id="creator">{AUTHOR}</dc:creator>
<meta refines="#creator" property="role" scheme="marc:relators">aut</meta>
<dc:publisher>{AUTHOR}</dc:publisher>
<dc:date>2026</dc:date>
<dc:description>A ferry house, a frozen river, and a kettle that sings at six.</dc:description>
<meta property="dcterms:modified">{MODIFIED}</meta>
</metadata>
<manifest>
<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="cover-image" href="cover.jpg" media-type="image/jpeg" properties="cover-image"/>
<item id="style" href="style.css" media-type="text/css"/>
{items}
</manifest>
<spine>
{spine}
</spine>
</package>
"""


def draw_cover(size: int = 1200) -> bytes:
    """The cover as JPEG: a lit ferry house by a frozen river, steam rising to the moon."""
    big = 2 * size
    unit = big / 1000
    image = Image.new("RGB", (big, big))
    draw = ImageDraw.Draw(image)
    for y in range(big):
        share = y / big
        draw.line([(0, y), (big, y)], fill=_between((18, 28, 66), (98, 116, 164), share))

    def at(*points: float) -> list[float]:
        return [point * unit for point in points]

    glow = Image.new("RGB", (big, big))
    shine = ImageDraw.Draw(glow)
    shine.ellipse(at(660, 90, 880, 310), fill=(120, 118, 100))
    shine.ellipse(at(190, 560, 470, 840), fill=(170, 110, 30))
    glow = glow.filter(ImageFilter.GaussianBlur(60 * unit))
    image = ImageChops.add(image, glow)
    draw = ImageDraw.Draw(image)
    for x, y, radius in _stars():
        draw.ellipse(at(x - radius, y - radius, x + radius, y + radius), fill=(226, 230, 246))
    draw.ellipse(at(700, 130, 840, 270), fill=(250, 244, 216))
    hills = [(0, 700)] + [(x, 660 - 40 * math.sin(x / 150)) for x in range(0, 1001, 10)]
    draw.polygon([(x * unit, y * unit) for x, y in [*hills, (1000, 1000), (0, 1000)]], "#2b3a68")
    draw.polygon(at(0, 800, 1000, 740, 1000, 1000, 0, 1000), fill="#dfe8f5")
    draw.polygon(at(430, 1000, 560, 800, 760, 765, 1000, 752, 1000, 1000), fill="#a9c3e2")
    for x, y, length in [(640, 860, 110), (760, 820, 90), (820, 900, 120), (620, 930, 60)]:
        draw.line(at(x, y, x + length, y - 12), fill="#cfe0f2", width=round(4 * unit))
    draw.polygon(at(180, 640, 330, 540, 480, 640), fill="#f1f5fb")
    draw.rectangle(at(210, 640, 450, 800), fill="#4a2f2a")
    draw.rectangle(at(385, 530, 415, 610), fill="#4a2f2a")
    draw.rectangle(at(250, 680, 320, 750), fill="#ffd27a")
    draw.line(at(285, 680, 285, 750), fill="#4a2f2a", width=round(5 * unit))
    draw.line(at(250, 715, 320, 715), fill="#4a2f2a", width=round(5 * unit))
    draw.rectangle(at(360, 690, 415, 800), fill="#2a1a18")
    steam = Image.new("L", (big, big))
    pen = ImageDraw.Draw(steam)
    for step in range(220):
        share = step / 220
        x = 400 + 300 * share**1.4 + 34 * math.sin(9 * share)
        y = 525 - 300 * share
        radius = 6 + 16 * share
        box = at(x - radius, y - radius, x + radius, y + radius)
        pen.ellipse(box, fill=round(190 * (1 - share)))
    image.paste((244, 246, 252), mask=steam.filter(ImageFilter.GaussianBlur(5 * unit)))
    draw = ImageDraw.Draw(image)
    for text, y, height, colour in [
        ("The Kettle", 60, 96, "#fdf6e3"),
        ("That Kept Time", 165, 72, "#fdf6e3"),
        (AUTHOR, 925, 34, "#2b3a68"),
    ]:
        font = ImageFont.load_default(height * unit)
        draw.text((70 * unit, y * unit), text, font=font, fill=colour)
    stream = io.BytesIO()
    image.resize((size, size), Image.Resampling.LANCZOS).save(stream, "JPEG", quality=86)
    return stream.getvalue()


def _between(first: tuple[int, ...], last: tuple[int, ...], share: float) -> tuple[int, ...]:
    return tuple(round(a + (b - a) * share) for a, b in zip(first, last, strict=True))


def _stars() -> list[tuple[float, float, float]]:
    """(x, y, radius) of stars, scattered by the golden ratio, none behind the title."""
    golden = (math.sqrt(5) - 1) / 2
    sky = [(1000 * (n * golden % 1), 20 + 11 * n, 1.2 + n % 3) for n in range(46)]
    return [(x, y, radius) for x, y, radius in sky if x > 620 or y > 280]


def write_book(path: Path) -> None:
    """Write the EPUB; every time with the same order and dates."""
    front = front_page("titlepage", TITLE, f"by {AUTHOR}")
    colophon = front_page(
        "colophon",
        "Colophon",
        "This story was written for Voxloom, which reads books aloud. It belongs to the project"
        " and may be used under the project’s licence.",
    )
    cover = page(
        "Cover",
        f'<section epub:type="cover"><img src="cover.jpg" alt="{TITLE}"/></section>',
        "frontmatter",
    )
    contents: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<?xml version="1.0" encoding="utf-8"?>\n'
        '<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
        '<rootfiles><rootfile full-path="book/package.opf"'
        ' media-type="application/oebps-package+xml"/></rootfiles></container>\n',
        "book/package.opf": package(),
        "book/nav.xhtml": navigation(),
        "book/style.css": STYLE,
        "book/cover.jpg": draw_cover(),
        "book/cover.xhtml": cover,
        "book/title.xhtml": front,
        "book/colophon.xhtml": colophon,
    }
    for index, (number, name, paragraphs) in enumerate(CHAPTERS, start=1):
        mark = f"chapter-{index}"
        contents[f"book/{mark}.xhtml"] = chapter_page(number, name, paragraphs, mark)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            stored = name == "mimetype" or name.endswith(".jpg")
            info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            archive.writestr(info, content)


if __name__ == "__main__":
    write_book(HERE / "book.epub")
