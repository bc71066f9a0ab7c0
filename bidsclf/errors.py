"""What can go wrong that the user can mend.

BidsclfError
├── ConfigError        the command line or the configuration contradicts itself
├── InputError         a file or an array is not what the step needs
│   └── NothingMatched no file, or no person, is left to work on
└── FitError           the data were fine, the fit was not (NaN loss, one class)

Anything else that escapes is a bug of ours and keeps its traceback.
A message says what was found, what was expected and what to do.
"""


class Terminated(KeyboardInterrupt):
    """The system asked the run to end, as a scheduler does when its time is up."""


class BidsclfError(Exception):
    """Something the user can mend; printed without a traceback."""

    exit_code = 4


class ConfigError(BidsclfError):
    """The command line or the configuration contradicts itself."""

    exit_code = 2


class InputError(BidsclfError):
    """A file or an array is not what the step needs.

    One that ends a run ends it by 3; one of a unit fails that unit alone, and the
    run by 4.
    """

    exit_code = 3


class NothingMatched(InputError):
    """No file, or no person, is left to work on."""


class FitError(BidsclfError):
    """The data were fine, the fit was not."""
