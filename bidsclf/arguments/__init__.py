"""The command line: what can be asked for, and how it becomes settings."""

from bidsclf.arguments.boutiques import descriptor as descriptor
from bidsclf.arguments.parser import parse as parse
from bidsclf.arguments.parser import parser as parser
from bidsclf.arguments.reading import to_config as to_config
from bidsclf.arguments.reading import unknown_models as unknown_models
