"""What models take of people that these have not, or have once for several scans."""

from bidsclf.cohort import Cohort
from bidsclf.config import Config
from bidsclf.errors import ConfigError, InputError
from bidsclf.files.images import GREY
from bidsclf.files.inputs import LOADERS
from bidsclf.models._base import find

MOTION = "motion"
FILES = {MOTION: "quality"}  # column of an input that has another name


def check(config: Config, cohort: Cohort) -> None:
    """Refuse models of files that nobody has, and maps that would come once a run.

    Raises
    ------
    ConfigError
        Runs are kept, and a map is in several rows because models of scans are
        fitted beside those of maps: it would be learned from as several people.
    InputError
        Beside models of maps, nobody has what one of the models takes.
    """
    taken = {model: find(model).input for model in config.analysis.models}
    if GREY not in taken.values():
        return
    read = {model: name for model, name in taken.items() if name in LOADERS}
    for model, name in read.items():
        column = FILES.get(name, name)
        if column not in cohort.files or cohort.files[column].isna().all():
            raise InputError(
                f"{model} takes {name}, and nobody has a file of {column} below sub-*/"
                " beside those that other models take. Run the participant level for"
                " it, or drop that model."
            )
    others = [model for model, name in read.items() if name != GREY]
    is_copy = cohort.files[GREY].duplicated()
    if config.cohort.runs == "keep" and is_copy.any():
        raise ConfigError(
            f"--runs keep gives each run a row, and {int(is_copy.sum())} rows repeat"
            " the grey-matter map of another: a person would count once a run, and"
            f" models of maps would change with the others ({', '.join(others)}). Fit"
            " them in analyses of their own (--analysis-id), or use --runs average."
        )
