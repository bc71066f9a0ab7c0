"""What is known of people: numbers, or categories."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bidsclf.files.people import BLANK

MISSING = (-999.0, -9999.0)  # codes of the published tables
LEAST = 10  # people who know a trait, below which nothing is said; ours


@dataclass(frozen=True, slots=True, eq=False)
class Trait:
    """What is known of people.

    Attributes
    ----------
    name : str
    values : float array of shape (n_people,)
        Numbers, or codes of categories; NaN where missing.
    is_number : bool
    """

    name: str
    values: np.ndarray
    is_number: bool

    @property
    def known(self) -> np.ndarray:
        """Whose value is known, bool of shape (n_people,)."""
        known: np.ndarray = ~np.isnan(self.values)
        return known

    @property
    def is_said(self) -> bool:
        """Whether enough people know it, and not all have one value."""
        told = self.values[self.known]
        return len(told) >= LEAST and len(np.unique(told)) > 1

    def distances(self) -> np.ndarray:
        """Return (n_people, n_people): by how much two differ, or whether they do."""
        apart: np.ndarray = np.abs(self.values[:, None] - self.values[None])
        return apart if self.is_number else np.where(np.isnan(apart), apart, apart > 0)

    def grouped(self) -> "Trait":
        """Return categories: as they are, or whether a number is above the median.

        Where half of the people or more have the largest value, it is above.
        """
        found = np.unique(self.values[self.known])
        if not self.is_number or len(found) <= 2:
            return replace(self, is_number=False)
        above = self.values > min(np.nanmedian(self.values), found[-2])
        return Trait(self.name, np.where(self.known, above, np.nan), is_number=False)


def read_trait(name: str, cells: pd.Series, *, is_category: bool = False) -> Trait:
    """Return a column as a trait.

    Parameters
    ----------
    name : str
    cells : Series of shape (n_people,)
        Numbers are numbers where all known cells are; else words are categories.
        Blank cells, n/a, -999 and -9999 are missing.
    is_category : bool
        Numbers are names, as a scanner's are.

    Examples
    --------
    >>> read_trait("iq", pd.Series(["101", "-999", "98"])).values.tolist()
    [101.0, nan, 98.0]
    """
    text = cells.astype("string").str.strip()
    text = text.mask(text.isin(BLANK))
    numbers = pd.to_numeric(text, errors="coerce").astype("Float64")
    is_missing = text.isna() | numbers.isin(MISSING).fillna(value=False)
    is_number = bool((numbers.notna() | is_missing).all()) and not is_category
    if is_number:
        values = numbers.mask(is_missing).to_numpy(float, na_value=np.nan)
        values = np.where(np.isfinite(values), values, np.nan)
    else:
        codes = pd.factorize(text.mask(is_missing), sort=True)[0]
        values = np.where(codes < 0, np.nan, codes)
    return Trait(name, values, is_number)
