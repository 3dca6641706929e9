"""Lists the commands of documents and what .ci/readme-commands.txt says of them: one line each, what and command, with a tab between.

Usage: readme.py LIST DOCUMENT...

Fails if a command has no line in LIST, if a line has no command, or if a link in a document of this repository leads to a missing file
or heading.
"""

import re
import sys
from pathlib import Path


def commands(text):
    """The commands in blocks of sh, and those of the numbered steps that begin with a program's name."""
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S):
        for line in block.splitlines():
            command = re.sub(r"\s+#.*", "", line).strip()
            if command:
                yield command
    for step in re.findall(r"^\d+\. .*", text, re.M):
        yield from re.findall(r"`((?:cargo|cp|docker|kubectl) [^`]+)`", step)


def listed(text):
    """The entry of each command in the list."""
    for line in text.splitlines():
        if line and not line.startswith("#"):
            what, command = line.split("\t")
            if not re.match(r"(run|serve)$|(ci|cannot) ", what):
                sys.exit(f"what is to be done with {command!r}: {what!r}?")
            yield command, what


def anchors(text):
    """The anchors of a document's headings, as GitHub and GitLab generate them."""
    for heading in re.findall(r"^#+ (.*)$", text, re.M):
        yield re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def broken_links(document):
    """The broken links of a document to files of this repository."""
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        target = document.parent / path if path else document
        if not target.exists():
            yield link
        elif anchor and anchor not in anchors(target.read_text(encoding="utf-8")):
            yield link


def main(list_file, *documents):
    texts = [Path(document).read_text(encoding="utf-8") for document in documents]
    found = list(dict.fromkeys(command for text in texts for command in commands(text)))
    known = dict(listed(Path(list_file).read_text(encoding="utf-8")))
    objections = [f"{list_file} does not say what to do with this command: {command}" for command in found if command not in known]
    objections += [f"{list_file} has a command that no document has: {command}" for command in known if command not in found]
    for document in [*Path().glob("*.md"), *Path("docs").glob("*.md"), Path("kubernetes/chart/README.md")]:
        objections += [f"{document} has a link that leads nowhere: {link}" for link in broken_links(document)]
    for objection in objections:
        print(objection, file=sys.stderr)
    if objections or not found:
        sys.exit(1)
    for command in found:
        print(f"{known[command]}\t{command}")


if __name__ == "__main__":
    main(*sys.argv[1:])
