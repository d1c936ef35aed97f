"""Follow the links between the pages of the built site: ``python docs/links.py docs/_build/html``.

Every page and every anchor that a page of ours links to must exist; other sites are not asked. Exit code 1 if one does not.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links of one page, and the anchors that it has."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], {"", "top"}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.anchors |= {attributes.get("id"), attributes.get("name")} - {None}
        self.links += [attributes[key] for key in ("href", "src") if attributes.get(key)]


def broken(folder):
    """Return (page, link) of each link inside the site that leads nowhere."""
    pages = {path.resolve(): Page(path) for path in sorted(folder.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = pages[target].anchors if target in pages else {parts.fragment}
            if not target.exists() or unquote(parts.fragment) not in anchors:
                found.append((path.relative_to(folder.resolve()), link))
    return found


def main(folder):
    """Print the broken links and return the exit code."""
    found = broken(folder)
    for page, link in found:
        print(f"{page}: {link} leads nowhere")
    print(f"{len(found)} broken links inside the site")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
