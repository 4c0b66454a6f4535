"""Let pages link to files of the repository outside docs/, such as `../../reports/quick/report.md`.

The site has each linked file at its path in the repository; published reports are pages of it. mkdocs then checks these
links as it checks all others.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)")


def on_files(files: Files, config: Any) -> Files:
    """Add what pages link to outside docs/, and what those files link to in turn."""
    waiting = [(f"docs/{file.src_uri}", file.content_string) for file in files.documentation_pages()]
    while waiting:
        page, text = waiting.pop()
        for target in LINK.findall(text):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(page), target))
            if path.startswith("docs/") or path in files.src_uris or not (ROOT / path).is_file():
                continue
            files.append(
                File(path, str(ROOT), config.site_dir, use_directory_urls=False, inclusion=InclusionLevel.NOT_IN_NAV)
            )
            if path.endswith(".md"):
                waiting.append((path, (ROOT / path).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Rewrite links between docs/ and the rest of the repository: on the site, docs/ is the root."""
    inside = page.file.abs_src_path is not None and Path(page.file.abs_src_path).is_relative_to(ROOT / "docs")
    here = posixpath.dirname(f"docs/{page.file.src_uri}" if inside else page.file.src_uri)

    def on_site(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(here, match[1]))
        return posixpath.relpath(path.removeprefix("docs/"), posixpath.dirname(page.file.src_uri))

    return LINK.sub(on_site, markdown)
