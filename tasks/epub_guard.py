"""The door of an EPUB: the ZIP is checked for damage, bombs and DRM before anyone reads it."""

import posixpath
import re
import zipfile
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote

from configs.errors import UserError
from tasks.epub_markup import named, parse

MEBIBYTE = 1 << 20
MAX_MEMBERS = 10_000
MAX_MEMBER_BYTES = 64 * MEBIBYTE
MAX_TOTAL_BYTES = 2048 * MEBIBYTE
MAX_READ_BYTES = 256 * MEBIBYTE
MAX_RATIO = 100
# Below this size a high ratio harms nobody: blank images and empty style sheets pack very well.
RATIO_MATTERS_FROM = 4 * MEBIBYTE
MAX_NAME = 1024

CONTAINER = "META-INF/container.xml"
# Publishers scramble embedded fonts with these; text stays readable, so they are no DRM.
FONT_ALGORITHMS = {
    "http://www.idpf.org/2008/embedding",
    "http://ns.adobe.com/pdf/enc#RC",
}
DRM_FILES = {
    "META-INF/rights.xml": "Adobe DRM",
    "META-INF/license.lcpl": "Readium LCP",
    "META-INF/sinf.xml": "Apple FairPlay",
}
READ_AGAIN = "copy or download it again"
CONVERT = "convert it to EPUB first, for example with Calibre"


@dataclass
class Archive:
    """A checked EPUB container; `read` finds members as forgivingly as reading systems do.

    `warnings` collects what was odd but tolerable. Use as a context manager.
    """

    path: Path
    zip: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo]
    warnings: list[str] = field(default_factory=list)
    bytes_read: int = 0

    @cached_property
    def folded(self) -> dict[str, str]:
        """Member names by their names without case."""
        return {member.casefold(): member for member in reversed(self.members)}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.zip.close()

    def find(self, name: str) -> str | None:
        """The member that `name` means: as written, percent-decoded, or in another case."""
        for candidate in (name, unquote(name)):
            normal = _normal_name(candidate)
            if normal in self.members:
                return normal
        return self.folded.get(_normal_name(unquote(name)).casefold())

    def read(self, name: str) -> bytes | None:
        """A member's bytes, or None when the book has no such member.

        Raises UserError when the member is damaged or larger than it says.
        """
        found = self.find(name)
        if found is None:
            return None
        info = self.members[found]
        _check_member(self.path, info)
        try:
            with self.zip.open(info) as stream:
                content = stream.read(MAX_MEMBER_BYTES + 1)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            OSError,
            ValueError,
            RuntimeError,
        ) as error:
            raise UserError(
                f"{self.path.name} is damaged ({found} cannot be unpacked); {READ_AGAIN}."
            ) from error
        self.bytes_read += len(content)
        if len(content) > MAX_MEMBER_BYTES or self.bytes_read > MAX_READ_BYTES:
            raise _bomb(self.path)
        return content


def open_archive(path: Path) -> Archive:
    """Open an EPUB and check it: a whole ZIP, sane sizes and names, no DRM.

    Raises UserError with one sentence that says what is wrong and what to do.
    """
    try:
        opened = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, RuntimeError) as error:
        raise UserError(_why_no_zip(path)) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    archive = Archive(path, opened, {})
    try:
        _check_members(archive)
        _check_kind(archive)
        _check_drm(archive)
    except BaseException:
        opened.close()
        raise
    return archive


def check_file(path: Path) -> None:
    """Raise UserError with one sentence for what is no file with something in it."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the book's file itself.")
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}; check the name of the book.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    if not path.is_file():
        raise UserError(f"{path} is not a regular file; give the file of a book.")
    if size == 0:
        raise UserError(f"{path.name} is an empty file; {READ_AGAIN}.")


def _why_no_zip(path: Path) -> str:
    """One sentence on a file that does not open as a ZIP."""
    with path.open("rb") as stream:
        head = stream.read(128)
    if head.startswith(b"PK"):
        return f"{path.name} is cut off or damaged (a ZIP without its end); {READ_AGAIN}."
    if head.startswith(b"%PDF"):
        return f"{path.name} is a PDF, not an EPUB; {CONVERT}."
    if head[60:68] in (b"BOOKMOBI", b"TEXtREAd"):
        return f"{path.name} is a Kindle or Mobipocket book, not an EPUB; {CONVERT}."
    return f"{path.name} is not an EPUB; give a book with the ending .epub, or {CONVERT}."


def _normal_name(name: str) -> str:
    name = name.replace("\\", "/").lstrip("/")
    return posixpath.normpath(name) if name else name


def _check_members(archive: Archive) -> None:
    infos = [info for info in archive.zip.infolist() if not info.filename.endswith("/")]
    if len(infos) > MAX_MEMBERS:
        raise UserError(
            f"{archive.path.name} holds {len(infos)} files where a book has at most {MAX_MEMBERS};"
            " make the EPUB again without the surplus."
        )
    # Every member's stated size counts, so that members that share their bytes count each time.
    total = sum(info.file_size for info in infos)
    packed = max(archive.path.stat().st_size, 1)
    if total > MAX_TOTAL_BYTES or (total > MAX_MEMBER_BYTES and total / packed > MAX_RATIO):
        raise _bomb(archive.path)
    twice = set()
    for info in infos:
        name = info.filename
        normal = _normal_name(name)
        if len(name) > MAX_NAME or normal.split("/")[0] == ".." or re.match(r"[A-Za-z]:", name):
            raise UserError(
                f"{archive.path.name} holds a file with an unsafe path ({name[:60]!r});"
                " do not trust it, and get the book from its publisher."
            )
        _check_member(archive.path, info)
        if normal in archive.members:
            twice.add(normal)
        archive.members[normal] = info
    for normal in sorted(twice):
        archive.warnings.append(f"The file {normal} is in the book twice; the last one is read.")


def _check_member(path: Path, info: zipfile.ZipInfo) -> None:
    """Refuse members that unpack into far more than they are; large media may be just large."""
    packed = max(info.compress_size, 1)
    if info.file_size > RATIO_MATTERS_FROM and info.file_size / packed > MAX_RATIO:
        raise _bomb(path)
    if info.flag_bits & 0x1:
        raise UserError(
            f"{path.name} is locked with a password; unpack it with the password and make it a"
            " plain EPUB."
        )


def _bomb(path: Path) -> UserError:
    return UserError(
        f"{path.name} unpacks to far more than a book holds (a ZIP bomb); do not trust it, and"
        " get the book from its publisher."
    )


def _check_kind(archive: Archive) -> None:
    mimetype = archive.read("mimetype")
    if CONTAINER not in archive.members:
        packages = [name for name in archive.members if name.lower().endswith(".opf")]
        if len(packages) != 1:
            raise UserError(
                f"{archive.path.name} is a ZIP file but not an EPUB (it has no {CONTAINER});"
                f" give an EPUB, or {CONVERT}."
            )
        archive.warnings.append(f"The book has no {CONTAINER}; {packages[0]} is read.")
    if (mimetype or b"").strip() != b"application/epub+zip":
        archive.warnings.append("The book does not say application/epub+zip in its mimetype file.")


def _check_drm(archive: Archive) -> None:
    scheme = next((scheme for name, scheme in DRM_FILES.items() if archive.find(name)), None)
    encryption = archive.read("META-INF/encryption.xml")
    if scheme is None and encryption is not None:
        methods = named(parse(encryption, is_html=False)[0], "encryptionmethod")
        if any(method.get("Algorithm") not in FONT_ALGORITHMS for method in methods):
            scheme = "an unknown scheme"
    if scheme:
        raise UserError(
            f"{archive.path.name} is protected by DRM ({scheme}) and cannot be read; use an EPUB"
            " without DRM, as its publisher or a library of free books offers."
        )
