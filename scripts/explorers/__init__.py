"""What the explorers show, as plain numbers: one file each, beside the script of the same name that draws them.

`book/_static/explorers/path.js` shows what `path.py` computes, and so on. `make_explorers.py` writes the numbers down,
`tests/unit/test_explorers.py` holds them against the package.
"""

from explorers import compare, erasure, live, meter, opening, path

EXPLORERS = {
    "path": path.build,
    "meter": meter.build,
    "erasure": erasure.build,
    "compare": compare.build,
    "live": live.build,
    "opening": opening.build,
}
