"""``--models FAMILY-all``: every member of a family, before anything else is asked."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bidsclf.config import Config
from bidsclf.config.analysis import ALL
from bidsclf.errors import ConfigError
from bidsclf.models._base import PACKAGE, find
from bidsclf.models._settings import parted
from bidsclf.options import did_you_mean, load


def expanded(config: Config) -> Config:
    """Return the settings with each ``FAMILY-all`` as the models it stands for.

    Folders, keys, bundles and tables so know real models only. What
    ``--model-settings`` says of ``FAMILY-all`` is said of each member that has the
    setting, unless the member has its own word.

    Raises
    ------
    ConfigError
        A family or member is unknown, a model is named twice, or no member has a
        setting; everything that is wrong, one problem a line.
    """
    analysis = config.analysis
    members = {name: members_of(name) for name in analysis.models}
    models = [model for found in members.values() for model in found]
    problems = [*_twice(members), *_unknown(members, analysis.settings)]
    if problems:
        raise ConfigError("\n".join(problems))
    settings = tuple(_settings(members, analysis.settings))
    made = replace(analysis, models=tuple(models), settings=settings)
    return replace(config, analysis=made)


def members_of(name: str) -> tuple[str, ...]:
    """Return the models that a word of ``--models`` stands for, in the family's order.

    Raises
    ------
    ConfigError
        The family or the member is unknown; the nearest one is proposed.

    Examples
    --------
    >>> members_of("lstm-all")
    ('lstm-s', 'lstm-d', 'lstm-h', 'lstm-dg')
    >>> members_of("lstm-dg")
    ('lstm-dg',)
    """
    known = load(PACKAGE, name).VARIANTS
    if name.partition("-")[2] == ALL and name not in known:
        return tuple(known)
    find(name)
    return (name,)


def _twice(members: dict[str, tuple[str, ...]]) -> Iterator[str]:
    for name in members:
        for word, found in members.items():
            if word != name and name in found:
                yield f"--models {word} holds {name}, which is named too; drop {name}."


def _unknown(
    members: dict[str, tuple[str, ...]], words: Sequence[str]
) -> Iterator[str]:
    """Say which settings no member of a family has."""
    for word in words:
        model, name, _ = parted(word)
        found = members.get(model, ())
        known = list(dict.fromkeys(s for one in found for s in find(one).settings))
        if model in found or model not in members or name in known:
            continue
        there = f"there are: {', '.join(known)}" if known else "they have none"
        yield (
            f"--model-settings {word}: none of {', '.join(found)} has a setting"
            f" {name!r}; {there}.{did_you_mean(name, known)}"
        )


def _settings(
    members: dict[str, tuple[str, ...]], words: Sequence[str]
) -> Iterator[str]:
    """Yield the words with those of families given to the members that have them."""
    own = {parted(word)[:2] for word in words}
    for word in words:
        model, name, text = parted(word)
        if model in members.get(model, (model,)):
            yield word
            continue
        for member in members[model]:
            if name in find(member).settings and (member, name) not in own:
                yield f"{member}:{name}={text}"
