"""What a campaign counts, and the table it becomes."""

import json
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

LIMIT = 30  # seconds after which a try counts as hanging
OURS = (ValueError, TypeError, OSError, ImportError, MemoryError)  # with one sentence


@dataclass
class Tally:
    """What came of one kind of fault."""

    fault: str
    tries: int = 0
    refusals: int = 0  # in one sentence, as it should be
    lost_rows: int = 0
    mixed_files: int = 0
    hangs: int = 0
    strangers: int = 0
    slowest: float = 0.0
    notes: list[str] = field(default_factory=list)  # the first few of what went wrong
    begin: float = 0.0  # of the try that is under way

    def note(self, words: object) -> None:
        if len(self.notes) < 10:
            self.notes.append(str(words)[:500])

    @contextmanager
    def trial(self) -> Iterator[None]:
        """One try: its time, and whatever leaves it."""
        self.begin = time.monotonic()
        before = signal.signal(signal.SIGALRM, _too_long)
        signal.setitimer(signal.ITIMER_REAL, 2 * LIMIT)
        try:
            yield
        except _HangError:
            self.note("ended from outside after twice the limit")
        except Exception as error:
            self.strange(error)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            seconds = time.monotonic() - self.begin
            self.tries += 1
            self.hangs += seconds > LIMIT
            self.slowest = round(max(self.slowest, seconds), 2)

    def from_now(self) -> None:
        """The time of this try counts from here, where the fault happens."""
        self.begin = time.monotonic()

    def refused(self, error: Exception) -> None:
        """An error that was to be expected: it must be one of ours, and one sentence."""
        if not isinstance(error, OURS) or "\n" in str(error) or not str(error):
            self.strange(error)
        else:
            self.refusals += 1

    def strange(self, what: object) -> None:
        self.strangers += 1
        self.note(f"{type(what).__name__}: {what}")

    @property
    def good(self) -> bool:
        return self.tries > 0 and not (self.lost_rows or self.mixed_files or self.hangs or self.strangers)


class _HangError(BaseException):
    pass


def _too_long(number: int, frame: FrameType | None) -> None:
    raise _HangError


def table(tallies: Sequence[dict[str, Any]]) -> str:
    """A campaign as the book shows it."""
    columns = {
        "fault": "fault",
        "tries": "tries",
        "refusals": "refused in a sentence",
        "lost_rows": "lost rows",
        "mixed_files": "mixed files",
        "hangs": f"hangs over {LIMIT} s",
        "strangers": "others' exceptions",
        "slowest": "slowest try, s",
    }
    counts = [name for name in columns if name not in ("fault", "slowest")]
    total = {name: sum(t[name] for t in tallies) for name in counts}
    total |= {"fault": "all", "slowest": max(t["slowest"] for t in tallies)}
    lines = [f"| {' | '.join(columns.values())} |", f"| --- |{' ---: |' * (len(columns) - 1)}"]
    for row in (*tallies, total):
        cells = [f"{row[n]:,}" if isinstance(row[n], int) else str(row[n]) for n in columns]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def save(tallies: Sequence[Tally], file: Path, **about: Any) -> None:
    """A campaign's record."""
    file.parent.mkdir(parents=True, exist_ok=True)
    record = about | {"tallies": [asdict(tally) | {"begin": 0.0} for tally in tallies]}
    file.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf8")
