"""How a study is simulated: light, so that ``--help`` stays fast."""

from dataclasses import asdict, dataclass
from typing import Any

from bidsclf.errors import ConfigError

GRAYMATTER = "graymatter"
KINDS = ("static", "dynamic", "volume", GRAYMATTER)
MOST_SUBTYPES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyConfig:
    """How a study is simulated.

    Attributes
    ----------
    effect : float
        Strength of the diagnosis; 0 gives groups that do not differ.
    effect_kind : {'static', 'dynamic', 'volume', 'graymatter'}
        Static, on the planted edges: their correlation differs. Dynamic, on
        the direction of a travelling wave: only the order in time differs.
        Volume, in two spheres outside the atlas: their mean, and a wave.
        Graymatter, in grey-matter maps: there is no functional image.
    n_subtypes : int
        Kinds of patients in a study of kind graymatter; 1 plants a continuum.
    site_effect : float
        Strength of what differs between scanners; 0 makes them equal.
    n_sites, n_subjects, n_volumes, n_runs, n_sessions : int
        ``n_subjects`` counts all sites together; ``n_volumes`` is a typical
        run's, sites differ around it. A study of kind graymatter has one map a
        person and reads none of the last three.
    resolution_mm : int
        Voxel size of the standard grid.
    seed : int
        Root of every random stream.
    """

    effect: float = 1.0
    effect_kind: str = "static"
    n_subtypes: int = 1
    site_effect: float = 1.0
    n_sites: int = 4
    n_subjects: int = 56
    n_volumes: int = 140
    n_runs: int = 1
    n_sessions: int = 1
    resolution_mm: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        atleast = (
            ("--effect", self.effect, 0),
            ("--site-effect", self.site_effect, 0),
            ("--n-sites", self.n_sites, 1),
            ("--n-volumes", self.n_volumes, 60),
            ("--n-runs", self.n_runs, 1),
            ("--n-sessions", self.n_sessions, 1),
            ("--seed", self.seed, 0),
        )
        problems = [
            f"{option} is {value}; it takes {low} or more."
            for option, value, low in atleast
            if not value >= low
        ]
        if not 2 <= self.resolution_mm <= 8:
            problems.append(
                f"--resolution-mm is {self.resolution_mm}; it lies between 2 and 8."
            )
        if self.effect_kind not in KINDS:
            problems.append(
                f"--effect-kind is {self.effect_kind!r}; it is one of"
                f" {', '.join(KINDS)}."
            )
        problems += self._wrong_subtypes()
        needed = 2 * max(self.n_sites, 1)
        if self.n_subjects < needed:
            problems.append(
                f"--n-subjects is {self.n_subjects}; it takes {needed} or more, a"
                f" patient and a control at each of {needed // 2} sites. Raise it, or"
                " lower --n-sites."
            )
        if problems:
            raise ConfigError("\n".join(problems))

    def _wrong_subtypes(self) -> list[str]:
        n, problems = self.n_subtypes, []
        if not 1 <= n <= MOST_SUBTYPES:
            problems.append(
                f"--n-subtypes is {n}; it lies between 1 and {MOST_SUBTYPES}."
            )
        elif n > self.n_subjects // 2:
            problems.append(
                f"--n-subtypes is {n} and --n-subjects {self.n_subjects}: not one"
                " patient of each kind. Raise --n-subjects."
            )
        if n != 1 and self.effect_kind != GRAYMATTER:
            problems.append(
                f"--n-subtypes is {n} and --effect-kind {self.effect_kind}; only"
                f" {GRAYMATTER} plants kinds of patients. Choose it, or leave"
                " --n-subtypes out."
            )
        return problems

    def to_dict(self) -> dict[str, Any]:
        """Return the settings, as saved with the study.

        A static study does not name its kind: it is the same study as before
        there was another. What a kind does not read is left out.
        """
        values, unread = asdict(self), ["n_subtypes"]
        if self.effect_kind == GRAYMATTER:
            unread = ["n_volumes", "n_runs", "n_sessions"]
        if self.effect_kind == "static":
            unread.append("effect_kind")
        return {name: value for name, value in values.items() if name not in unread}
