"""Discovery of one person in a dataset of many, beside a full pybids index.

Makes an fMRIPrep tree of empty files in a temporary folder, and measures each way
in a process of its own: wall time and growth of memory, imports left out.

    python benchmarks/discovery.py [--people 1000]
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

MEASURE = """
import resource, sys, time
from pathlib import Path
from bids.layout import BIDSLayout
from bidsclf.config import SelectionConfig
from bidsclf.files.discover import discover
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
root, before, start = Path(sys.argv[1]), peak(), time.perf_counter()
{work}
print(time.perf_counter() - start, peak() - before, peak(), found)
"""
WAYS = {
    "bidsclf, one person": (
        "found = len(discover(root, None,"
        " SelectionConfig(participant_label=('0500',))).scans)"
    ),
    "bidsclf, everybody": "found = len(discover(root, None, SelectionConfig()).scans)",
    "pybids, full index": (
        "layout = BIDSLayout(root, validate=False, config=['bids', 'derivatives'])\n"
        "found = len(layout.get(suffix='bold', extension='.nii.gz'))"
    ),
}
SPACE = "space-MNI152NLin2009cAsym"
FILES = (  # 17 a person, as in a small fMRIPrep run
    "anat/{s}_desc-preproc_T1w.nii.gz",
    "anat/{s}_desc-preproc_T1w.json",
    "anat/{s}_desc-brain_mask.nii.gz",
    "anat/{s}_dseg.nii.gz",
    f"anat/{{s}}_{SPACE}_desc-preproc_T1w.nii.gz",
    f"anat/{{s}}_{SPACE}_dseg.nii.gz",
    f"anat/{{s}}_{SPACE}_label-GM_probseg.nii.gz",
    "anat/{s}_from-T1w_to-fsnative_mode-image_xfm.txt",
    f"func/{{s}}_task-rest_{SPACE}_boldref.nii.gz",
    f"func/{{s}}_task-rest_{SPACE}_desc-preproc_bold.nii.gz",
    f"func/{{s}}_task-rest_{SPACE}_desc-preproc_bold.json",
    f"func/{{s}}_task-rest_{SPACE}_desc-brain_mask.nii.gz",
    f"func/{{s}}_task-rest_{SPACE}_desc-brain_mask.json",
    "func/{s}_task-rest_desc-confounds_timeseries.tsv",
    "func/{s}_task-rest_desc-confounds_timeseries.json",
    "figures/{s}_dseg.svg",
    "figures/{s}_task-rest_desc-carpetplot_bold.svg",
)


def make_tree(root: Path, n_people: int) -> None:
    """Make empty files; sidecars hold a repetition time."""
    (root / "dataset_description.json").write_text(
        '{"Name": "x", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}'
    )
    for number in range(1, n_people + 1):
        person = root / f"sub-{number:04d}"
        for folder in ("anat", "func", "figures"):
            (person / folder).mkdir(parents=True)
        for name in FILES:
            path = person / name.format(s=person.name)
            path.write_text('{"RepetitionTime": 2.0}' if path.suffix == ".json" else "")


def main() -> None:
    """Print one line a way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=1000)
    n_people = parser.parse_args().people
    with tempfile.TemporaryDirectory() as folder:
        make_tree(Path(folder), n_people)
        print(f"{n_people} people, {n_people * len(FILES)} files")
        for name, work in WAYS.items():
            command = [sys.executable, "-c", MEASURE.format(work=work), folder]
            answer = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds, grown, peak, found = map(float, answer.stdout.split())
            print(
                f"{name:22s} {seconds:7.2f} s  +{grown:5.0f} MB"
                f" (peak {peak:4.0f} MB)  {found:5.0f} images"
            )


if __name__ == "__main__":
    main()
