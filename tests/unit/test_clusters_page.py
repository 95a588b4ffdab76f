"""The scripts of the page on clusters: SLURM's is executed against a stand-in for sbatch, the other is compiled."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from udig_lab.experiments import grid, recorded

PAGE = Path(__file__).parents[2] / "book" / "clusters.md"
SBATCH = """#!/bin/sh
# A stand-in: a job is a process of this machine. As SLURM does, it keeps the script: the caller deletes it.
folder=$(dirname "$0")
cp "$1" "$folder/job.$$.sh"
setsid sh "$folder/job.$$.sh" > "$folder/job.$$.log" 2>&1 &
echo $! >> "$folder/jobs"
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
for job; do kill -TERM -"$job" 2> /dev/null; done
echo "$@" >> "$(dirname "$0")/cancelled"
"""


def scripts():
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf8"), re.DOTALL)


def test_slurms_script_records(tmp_path):
    pytest.importorskip("dask_jobqueue")
    for name, script in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "record.py").write_text(scripts()[0])
    package = str(Path(__file__).parents[2])
    environment = os.environ | {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")])),
        "JOBS": "2",
    }
    command = [sys.executable, "record.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    logs = "".join(file.read_text() for file in tmp_path.glob("job.*.log"))
    assert done.returncode == 0, done.stderr + logs
    rows = recorded("trec", profile="mini", folder=tmp_path / "results")
    assert rows.groupby("cell").size().tolist() == [60, 60]
    assert len((tmp_path / "jobs").read_text().split()) == 2
    assert (tmp_path / "cancelled").is_file()


def test_the_line_for_own_texts_makes_cells():
    """As it stands on the page: cells of the file's name, which say where model and texts lie."""
    _, own, _ = scripts()
    names = {"grid": grid}
    exec(own, names)
    assert {cell.dataset for cell in names["cells"]} == {"reviews"}
    assert {cell.model for cell in names["cells"]} == {"/shared/models/final"}
    assert {cell.data for cell in names["cells"]} == {"/shared/reviews.parquet"}


def test_the_other_script_compiles():
    *_, kubernetes = scripts()
    compile(kubernetes, str(PAGE), "exec")
    assert "KubeCluster" in kubernetes
