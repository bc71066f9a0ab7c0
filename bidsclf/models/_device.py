"""Where a model computes."""

from bidsclf.errors import ConfigError
from bidsclf.models._base import find


def device_of(option: str, asked: str) -> str:
    """Return 'cpu' or 'cuda' for a model.

    Only models that learn in epochs run on a GPU; the others are done on the
    CPU before a GPU has woken up.

    Parameters
    ----------
    option : str
        As ``--models`` names it.
    asked : {'auto', 'cpu', 'cuda'}

    Raises
    ------
    ConfigError
        'cuda' is asked for where there is none.

    Examples
    --------
    >>> device_of("fc-svm", "cuda"), device_of("meanmlp", "cpu")
    ('cpu', 'cpu')
    """
    if asked == "cpu" or "n_epochs" not in find(option).settings:
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if asked == "cuda":
        raise ConfigError(
            f"--device cuda: PyTorch {torch.__version__} finds no GPU here."
            " Give --device auto or cpu, or install PyTorch's CUDA build."
        )
    return "cpu"
