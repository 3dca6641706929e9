"""Lists the commands of README.md and what .ci/readme-commands.txt says of them: one line each, what and command, with a tab between.

Fails where a command has no line there, or a line no command.
"""

import re
import sys


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
    """What is said of each command."""
    for line in text.splitlines():
        if line and not line.startswith("#"):
            what, command = line.split("\t")
            if not re.match(r"(run|serve)$|(ci|cannot) ", what):
                sys.exit(f"what is to be done with {command!r}: {what!r}?")
            yield command, what


def main(readme, list_file):
    with open(readme, encoding="utf-8") as file:
        found = list(dict.fromkeys(commands(file.read())))
    with open(list_file, encoding="utf-8") as file:
        known = dict(listed(file.read()))
    unknown = [command for command in found if command not in known]
    stale = [command for command in known if command not in found]
    for command in unknown:
        print(f"{readme} has a command of which {list_file} says nothing: {command}", file=sys.stderr)
    for command in stale:
        print(f"{list_file} has a command that {readme} has not: {command}", file=sys.stderr)
    if unknown or stale or not found:
        sys.exit(1)
    for command in found:
        print(f"{known[command]}\t{command}")


if __name__ == "__main__":
    main(*sys.argv[1:])
