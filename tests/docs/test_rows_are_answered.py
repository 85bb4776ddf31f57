"""Every requirement that asks for a sentence, or is a client's own affair, is answered in the docs; links hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

ANSWERS: dict[str, tuple[str, str, str]] = {
    # row: page, heading, words that answer it
    "E2": ("docs/anthropic.md", "Which way in", "per token"),
    "E7": ("docs/anthropic.md", "Prompt caching", "never overrides it"),
    "E8": ("docs/anthropic.md", "Prompt caching", "with a login of Claude Code a TTL has no effect"),
    "E9": ("docs/anthropic.md", "Prompt caching", '`"5m"` or `"1h"`'),
    "E10": ("docs/anthropic.md", "Prompt caching", "extended-cache-ttl-2025-04-11"),
    "E12": ("docs/anthropic.md", "A subscription", "on any machine that has Claude Code"),
    "E27": ("docs/anthropic.md", "When something is wrong", "the login is on another machine"),
    "E35": ("docs/anthropic.md", "When something is wrong", "More: `tokenward doctor`"),
    "P1": ("docs/anthropic.md", "What programs send", "passes no request on"),
    "P3": ("docs/anthropic.md", "An API key", "starts with `sk-ant-`"),
    "P8": ("docs/anthropic.md", "Models", "what the founding documents said"),
    "P12": ("docs/anthropic.md", "Images and documents", "tool definitions and tool results"),
    "P13": ("docs/anthropic.md", "Images and documents", "tool definitions and tool results"),
    "P14": ("docs/anthropic.md", "Images and documents", "as the SDK builds them"),
    "P15": ("docs/anthropic.md", "Images and documents", "let the program warn"),
    "P16": ("docs/anthropic.md", "Prompt caching", "long system prompt"),
    "P17": ("docs/anthropic.md", "Prompt caching", "last message"),
    "P18": ("docs/anthropic.md", "Prompt caching", "last tool"),
    "P19": ("docs/anthropic.md", "Prompt caching", "the program's to set"),
    "P36": ("docs/anthropic.md", "Images and documents", "resize or compress"),
    "P37": ("docs/anthropic.md", "Prompt caching", "anthropic-version: 2023-06-01"),
    "P38": ("LICENSE", "", "Apache License"),
    "L1": ("README.md", "tokenward", "One daemon per user"),
    "L7": ("docs/anthropic.md", "Models", "`tokenward models`"),
    "L8": ("docs/anthropic.md", "Models", "**Sonnet** is the recommended default"),
    "L9": ("docs/anthropic.md", "Models", "read images and use tools"),
    "L10": ("docs/anthropic.md", "Prompt caching", "the program's to set"),
    "L11": ("docs/anthropic.md", "Prices", "$15.00"),
    "L12": ("docs/anthropic.md", "Prices", "90 % less"),
    "L38": ("docs/anthropic.md", "Models", "Extended thinking raises the number of output tokens"),
    "L39": ("docs/anthropic.md", "Models", "escalate"),
    "L40": ("docs/anthropic.md", "A subscription", "Max is the better choice for many agents"),
    "N2": ("docs/anthropic.md", "Models", "All current ones read images and use tools"),
    "N3": ("docs/anthropic.md", "Which way in", "the subscription's quota"),
    "N4": ("docs/anthropic.md", "An API key", "*Create Key*"),
    "N6": ("docs/anthropic.md", "When something is wrong", "`tokenward doctor --probe`"),
    "N7": ("docs/anthropic.md", "Models", "what the founding documents said"),
    "N8": ("docs/anthropic.md", "Models", "what the founding documents said"),
    "N10": ("docs/anthropic.md", "Models", "**Haiku** for fast"),
    "N17": ("docs/anthropic.md", "What programs send", "neither adds nor removes"),
    "N19": ("docs/anthropic.md", "Which way in", "personal and development use"),
    "N25": ("docs/anthropic.md", "A subscription", "sign-in page"),
    "N45": ("docs/anthropic.md", "Models", "thinking level"),
    "N46": ("docs/anthropic.md", "Models", "thinking level"),
    "N47": ("docs/anthropic.md", "Models", "between it and the API"),
    "N48": ("docs/models.md", "Models, tiers and headers", "beta_features = true"),
    "N50": ("docs/anthropic.md", "Images and documents", "Images, PDFs"),
    "N51": ("docs/anthropic.md", "Images and documents", "Images, PDFs"),
    "N52": ("docs/anthropic.md", "Images and documents", "Images, PDFs"),
    "N53": ("docs/anthropic.md", "Models", "use tools"),
    "N54": ("docs/anthropic.md", "What programs send", "neither adds nor removes"),
    "N55": ("docs/anthropic.md", "What programs send", "passes no request on"),
    "N67": ("docs/anthropic.md", "When something is wrong", "a raised limit from Anthropic"),
    "N70": ("docs/anthropic.md", "Secrets", "Never commit a key"),
    "A2": ("docs/anthropic.md", "Claude Code beside tokenward", "Node.js 18"),
    "A4": ("docs/anthropic.md", "A gateway", "counts as the model's, not the key's"),
    "A9": ("docs/anthropic.md", "Secrets", "edits no shell profile"),
    "A12": ("docs/anthropic.md", "Secrets", "Never commit a key"),
    "A13": ("docs/anthropic.md", "Prompt caching", "ENABLE_PROMPT_CACHING_1H=1"),
    "A14": ("docs/anthropic.md", "Prices", "twice the input price"),
    "A15": ("docs/anthropic.md", "Prompt caching", "CLAUDE_CODE_ATTRIBUTION_HEADER=0"),
    "A17": ("docs/anthropic.md", "Claude Code beside tokenward", "`claude --version`"),
    "A19": ("docs/anthropic.md", "Claude Code beside tokenward", "`/status`"),
    "A20": ("docs/anthropic.md", "Claude Code beside tokenward", "`POST /v1/messages`"),
    "A26": ("docs/anthropic.md", "Claude Code beside tokenward", "try a fresh prompt"),
    "A27": ("docs/anthropic.md", "Betas that a gateway does not know", "closes nothing"),
    "A28": ("docs/anthropic.md", "Claude Code beside tokenward", "compacted by itself"),
    "A29": ("docs/anthropic.md", "A gateway", "`billing_url`"),
}


def sections(page: Path) -> dict[str, str]:
    """The text under each heading, up to the next one of any level; a comment in a code block is no heading."""
    found: dict[str, list[str]] = {"": []}
    heading, fenced = "", False
    for line in page.read_text(encoding="utf-8").splitlines():
        fenced ^= line.startswith("```")
        if not fenced and (title := re.match(r"#+ (.+)$", line)) is not None:
            heading = title[1]
            found[heading] = []
        found[heading].append(line)
    return {heading: " ".join(" ".join(lines).split()) for heading, lines in found.items()}


@pytest.mark.parametrize("row", ANSWERS)
def test_it_is_answered_under_its_heading(row: str) -> None:
    """The heading is there, and the words that answer the row stand under it."""
    page, heading, words = ANSWERS[row]
    assert words in sections(ROOT / page)[heading]


LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]+)?\)")


def anchors(page: Path) -> set[str]:
    """The anchors that a code host makes of a page's headings."""
    return {"#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in sections(page)}


@pytest.mark.parametrize(
    "page", sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
)
def test_every_link_leads_somewhere(page: str) -> None:
    """Within the project: the file is there, and the heading in it."""
    here = ROOT / page
    for target, anchor in LINK.findall(here.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        file = here if not target else (here.parent / target).resolve()
        assert file.exists(), f"{page} links to {target}, which is not there"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{page} links to {target}{anchor}, which has no such heading"
