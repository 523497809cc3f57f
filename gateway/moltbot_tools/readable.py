"""`python -m moltbot_tools.readable ADDRESS [CHARSET]`: a stranger's HTML on standard input, what a reader
wants of it on standard output.

A process for one page: a parser fed by strangers runs outside the gateway, with little memory and time, with nothing in its environment,
and what it needed is given back when it ends. The answer is one JSON object: `title`, `byline`, `markdown`.
"""

from __future__ import annotations

import codecs
import html
import json
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moltbot_tools.confinement import confine

# Seconds of CPU and bytes of address space: a page of 5 MB takes a tenth of them.
MAX_CPU = 10
MAX_MEMORY = 512 * 2**20
# What the program that started this one takes at most.
MAX_MARKDOWN = 400_000
# Characters of HTML that are converted at once, and at most.
MAX_PIECE = 200_000
MAX_CONVERTED = 1_000_000
# Below so many characters of text, or a fifth of the page's, the extraction found an ornament and not the article: an index, a form, a
# very short page. Then the whole page is given without its navigation.
LEAST_ARTICLE = 300
LEAST_SHARE = 0.2

_NEVER_READ = "script|style|noscript|template|iframe|object|embed|svg|canvas|form//select|input|button|dialog"
_AROUND = "nav|header[not(ancestor::article)]|footer|aside"
_HIDDEN = "@hidden or @aria-hidden='true' or contains(translate(@style, ' ', ''), 'display:none')"


def readable(page: bytes, address: str, charset: str | None) -> dict[str, str]:
    """Raises ValueError where there is no text at all."""
    from lxml import html as lxml_html
    from readability import Document

    text = _decode(page, charset)
    # As bytes: lxml refuses text that declares an encoding of its own.
    parser = lxml_html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    tree = lxml_html.document_fromstring(text.replace("\0", "").encode("utf-8", "replace"), parser=parser)
    title, byline = _title(tree), _byline(tree)
    _remove(tree, _NEVER_READ)
    for element in tree.xpath(f"//body//*[{_HIDDEN}]"):
        _drop(element)
    tree.make_links_absolute(address, resolve_base_href=True, handle_failures="ignore")
    body = tree.find("body") if tree.find("body") is not None else tree
    whole = len(_words(body))
    article = _article(Document, lxml_html, tree)
    if article is None or len(_words(article)) < max(LEAST_ARTICLE, LEAST_SHARE * whole):
        article = body
        _remove(article, _AROUND)
        if not _words(article):
            raise ValueError("the page has no text: perhaps a program in the browser would make it")
    return {"title": title, "byline": byline, "markdown": _markdown(lxml_html, article)[:MAX_MARKDOWN]}


def _decode(page: bytes, charset: str | None) -> str:
    """By the first of these that fits: byte order mark, the server's word, the page's own word, UTF-8, Windows-1252 (HTML standard,
    13.2.3)."""
    from bs4.dammit import EncodingDetector

    unmarked, marked = EncodingDetector.strip_byte_order_mark(page)
    declared = EncodingDetector.find_declared_encoding(page, is_html=True)
    for name in (marked, charset, declared, "utf-8"):
        try:
            # Whoever says Latin-1 means its superset (Encoding standard).
            label = "windows-1252" if name and codecs.lookup(name).name in ("iso8859-1", "ascii") else name
            if label:
                return bytes(unmarked).decode(label)
        except (LookupError, UnicodeDecodeError):
            continue
    return page.decode("windows-1252", "replace")


def _article(document: Any, lxml_html: Any, tree: Any) -> Any:
    """What the readability algorithm takes for the article; `None` where it finds none."""
    try:
        summary = document(lxml_html.tostring(tree, encoding="unicode")).summary(html_partial=True)
        return lxml_html.fragment_fromstring(summary, create_parent="div")
    except Exception:  # noqa: BLE001 - the library raises whatever its parser does; the whole page is the answer then
        return None


def _markdown(lxml_html: Any, article: Any) -> str:
    from markdownify import markdownify

    for image in article.xpath(".//img"):
        if not (image.get("alt") or "").strip() or (image.get("src") or "").startswith("data:"):
            _drop(image)
    for link in article.xpath(".//a[@href]"):
        if not re.match(r"(https?|mailto):", link.get("href")):
            del link.attrib["href"]
    parts: list[str] = []
    left = MAX_MARKDOWN
    for piece in _pieces(lxml_html, article):
        try:
            part = str(markdownify(piece, heading_style="ATX", bullets="-", bs4_options="lxml"))
        except RecursionError:
            # Nested deeper than any page that was written by hand: its words are worth more than its shape.
            part = lxml_html.fromstring(piece).text_content()
        parts.append(part.strip("\n"))
        left -= len(part)
        if left <= 0:
            break
    text = re.sub(r"[ \t]+\n", "\n", "\n\n".join(parts))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _pieces(lxml_html: Any, element: Any) -> Iterator[str]:
    """The element as HTML, in pieces where it is large: the converter's tree takes eighty times what it is made of."""
    text = lxml_html.tostring(element, encoding="unicode", with_tail=False)
    if len(text) <= MAX_PIECE or len(element) == 0 or element.tag in ("table", "pre", "ul", "ol"):
        yield text[:MAX_CONVERTED]
        return
    gathered = html.escape(element.text or "")
    for child in element:
        if len(gathered) > MAX_PIECE // 4:
            yield gathered
            gathered = ""
        if len(child) and len(lxml_html.tostring(child)) > MAX_PIECE:
            yield gathered
            gathered = ""
            yield from _pieces(lxml_html, child)
            gathered = html.escape(child.tail or "")
        else:
            gathered += lxml_html.tostring(child, encoding="unicode")
    yield gathered


def _title(tree: Any) -> str:
    named = tree.xpath("string(//meta[@property='og:title']/@content)") or tree.xpath("string(//title)") or tree.xpath("string(//h1)")
    return _line(named, 300)


def _byline(tree: Any) -> str:
    named = tree.xpath("string(//meta[@name='author']/@content)") or tree.xpath("string(//*[@rel='author' or @itemprop='author'])")
    return _line(named, 200)


def _line(text: str, most: int) -> str:
    return " ".join(str(text).split())[:most]


def _words(element: Any) -> str:
    return " ".join(element.text_content().split())


def _remove(tree: Any, names: str) -> None:
    for element in tree.xpath("|".join(f".//{name}" for name in names.split("|"))):
        _drop(element)


def _drop(element: Any) -> None:
    if element.getparent() is not None:
        element.drop_tree()


def main(arguments: list[str]) -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU, MAX_CPU))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    address, charset = arguments[0], (arguments[1] if len(arguments) > 1 else None)
    try:
        # No workspace at all: whoever takes a parser over finds nothing to write and nothing of the assistant's to read.
        confine(Path("/dev/null"))
        answer = readable(sys.stdin.buffer.read(), address, charset)
    except Exception as error:  # noqa: BLE001 - the task's boundary: whatever a page does to the parsers is an answer of one line
        answer = {"error": f"{type(error).__name__}: {error}"[:500]}
    sys.stdout.write(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
