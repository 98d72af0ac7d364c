"""What a document's style sheets hide: `display: none` and `visibility: hidden`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import cssselect2
import tinycss2
from lxml import etree

from tasks.epub_markup import local_name, named

# More than any book needs, and little enough to be quick.
MAX_RULES = 2000
MAX_SELECTOR = 300
MAX_DEPTH = 200
MAX_IMPORTS = 20
SCREENS = {"", "all", "screen"}

# The text of another sheet by its address, or None.
Fetch = Callable[[str], str | None]


def hidden_elements(root: etree._Element, fetch: Fetch) -> set[etree._Element]:
    """The elements that the linked and inner style sheets of a document hide.

    Only selectors of elements, classes, ids, attributes and their nesting count; what depends on
    state or position (`:hover`, `:nth-child`, `~`) is taken as not hiding. Line breaks are not in
    the result: where one is hidden, something else begins a line there.
    """
    rules = [rule for sheet in _sheets(root, fetch) for rule in sheet]
    if not any(_hides(declared) for _, declared in rules):
        return set()
    matcher = cssselect2.Matcher()
    for selector, declared in rules:
        matcher.add_selector(selector, declared)
    hidden: set[etree._Element] = set()
    waiting = [(cssselect2.ElementWrapper.from_xml_root(root), 0)]
    while waiting:
        wrapper, depth = waiting.pop()
        element = wrapper.etree_element
        if not isinstance(element.tag, str):
            continue
        if local_name(element) != "br" and _is_hidden(matcher.match(wrapper)):
            hidden.add(element)
        elif depth < MAX_DEPTH:
            waiting += [(child, depth + 1) for child in wrapper.iter_children()]
    return hidden


# One rule: a compiled selector, and what it declares: property -> (value, whether important).
_Declared = dict[str, tuple[str, bool]]
_Rule = tuple[Any, _Declared]


def _sheets(root: etree._Element, fetch: Fetch) -> Iterator[list[_Rule]]:
    for element in named(root, "link", "style"):
        if element.get("media", "").strip().lower() not in SCREENS:
            continue
        if local_name(element) == "style":
            yield _rules("".join(element.itertext()), fetch, [])
        elif "stylesheet" in element.get("rel", "").lower().split():
            if "alternate" in element.get("rel", "").lower().split():
                continue
            yield _imported(element.get("href", ""), fetch, [])


def _imported(address: str, fetch: Fetch, seen: list[str]) -> list[_Rule]:
    if not address or address in seen or len(seen) >= MAX_IMPORTS:
        return []
    seen.append(address)
    text = fetch(address)
    return _rules(text, fetch, seen) if text else []


def _rules(text: str, fetch: Fetch, seen: list[str]) -> list[_Rule]:
    """The rules of a sheet that say something of display or visibility."""
    found: list[_Rule] = []
    namespaces: dict[str | None, str] = {}
    waiting = list(_parsed(text))
    for rule in waiting:
        if len(found) > MAX_RULES:
            break
        if rule.type == "at-rule":
            keyword = rule.lower_at_keyword
            said = [token for token in rule.prelude if token.type not in ("whitespace", "comment")]
            if keyword == "namespace" and said and said[-1].type in ("string", "url"):
                prefix = said[0].value if said[0].type == "ident" else None
                namespaces[prefix] = said[-1].value
            elif keyword == "import" and said and said[0].type in ("string", "url"):
                if _is_for_screens(said[1:]):
                    found += _imported(said[0].value, fetch, seen)
            elif keyword == "media" and rule.content and _is_for_screens(rule.prelude):
                inner = tinycss2.parse_rule_list(
                    rule.content, skip_comments=True, skip_whitespace=True
                )
                waiting += [one for one in inner if one.type == "qualified-rule"]
            continue
        if rule.type == "qualified-rule" and (declared := _declared(rule.content)):
            found += [(one, declared) for one in _selectors(rule.prelude, namespaces)]
    return found


@lru_cache(maxsize=16)  # the documents of a book share their sheets
def _parsed(text: str) -> tuple[Any, ...]:
    return tuple(tinycss2.parse_stylesheet(text, skip_comments=True, skip_whitespace=True))


def _is_for_screens(media: Sequence[Any]) -> bool:
    return tinycss2.serialize(media).strip().lower() in SCREENS


def _selectors(prelude: Sequence[Any], namespaces: dict[str | None, str]) -> list[Any]:
    """The simple ones of a rule's selectors, compiled."""
    kept: list[Any] = []
    one: list[Any] = []
    for token in [*prelude, None]:
        if token is None or token == ",":
            simple = one and all(part != ":" and part != "~" for part in one)
            if simple and len(tinycss2.serialize(one)) <= MAX_SELECTOR:
                with suppress(cssselect2.SelectorError):
                    kept += cssselect2.compile_selector_list(one, namespaces)
            one = []
        else:
            one.append(token)
    return kept


def _declared(content: Sequence[Any]) -> _Declared:
    declared: _Declared = {}
    for one in tinycss2.parse_blocks_contents(content, skip_comments=True, skip_whitespace=True):
        if one.type == "declaration" and one.lower_name in ("display", "visibility"):
            value = tinycss2.serialize(one.value).strip().lower()
            declared[one.lower_name] = (value, one.important)
    return declared


def _hides(declared: _Declared) -> bool:
    return (
        declared.get("display", ("", False))[0] == "none"
        or declared.get("visibility", ("", False))[0] == "hidden"
    )


def _is_hidden(matches: Sequence[tuple[Any, int, str | None, _Declared]]) -> bool:
    """Whether the declarations that win, which come last unless others are important, hide."""
    winning: _Declared = {}
    for _, _, pseudo, declared in matches:
        if pseudo is not None:
            continue
        for name, (value, important) in declared.items():
            if important or not winning.get(name, ("", False))[1]:
                winning[name] = (value, important)
    return _hides(winning)
