"""Settings: one frozen part a stage, checked when made, saved with the results.

Every message names the command-line option, since that is what a user can change.
A setting's default, bounds and choices stand here and nowhere else.
"""

from bidsclf.checks import from_plain, to_plain
from bidsclf.config.analysis import (
    AnalysisConfig,
    CohortConfig,
    FoldConfig,
    HarmonizeConfig,
    InterpretConfig,
)
from bidsclf.config.extraction import (
    FEATURES,
    DenoiseConfig,
    ExtractConfig,
    GreyMatterConfig,
    SelectionConfig,
    VolumeConfig,
)
from bidsclf.config.run import LEVELS, MAPS, Config, RunConfig

__all__ = [
    "FEATURES",
    "LEVELS",
    "MAPS",
    "AnalysisConfig",
    "CohortConfig",
    "Config",
    "DenoiseConfig",
    "ExtractConfig",
    "FoldConfig",
    "GreyMatterConfig",
    "HarmonizeConfig",
    "InterpretConfig",
    "RunConfig",
    "SelectionConfig",
    "VolumeConfig",
    "from_plain",
    "to_plain",
]
