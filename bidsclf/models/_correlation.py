"""Total correlation of salient and background latents, told by a discriminator."""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

PUBLISHED, ADVERSARIAL = "published", "adversarial"
DISCRIMINATORS = (PUBLISHED, ADVERSARIAL)
LEAST, TIMES = 0.1, 0.85  # of the source: its discriminator's score is (D + .1) * .85
N_UNITS = 64  # of the adversarial one; ours


class Correlation(nn.Module):
    """How far a discriminator tells latents of people from latents that were swapped.

    The people of a batch are halved, and each half gets the salient latents of the
    other: what those have in common with the background is lost.

    Parameters
    ----------
    n_latent : int
        Salient and background ones.
    how : {'published', 'adversarial'}
        'published': one dense layer, which learns in the same step as the encoders
        from the sum of both losses. It lowers gamma times the correlation as well,
        so that where gamma is large it says "swapped" of everything and the term is
        a constant: a defect of the source. 'adversarial' (Kim & Mnih 2018,
        arXiv:1802.05983): three layers learn to tell, and the encoders alone lower
        what they find.
    """

    def __init__(self, n_latent: int, how: str) -> None:
        super().__init__()
        self.is_adversarial = how == ADVERSARIAL
        self.told: nn.Module = nn.Linear(n_latent, 1)
        if self.is_adversarial:
            layers = [nn.Linear(n_latent, N_UNITS), nn.ReLU()]
            layers += [nn.Linear(N_UNITS, N_UNITS), nn.ReLU(), nn.Linear(N_UNITS, 1)]
            self.told = nn.Sequential(*layers)

    def forward(self, salient: Tensor, background: Tensor) -> tuple[Tensor, Tensor]:
        """Return the total correlation and the discriminator's loss, scalars.

        Parameters
        ----------
        salient, background : tensors of shape (n, d), float32
            Of patients; of an odd number the last is left out. Both results are 0
            for fewer than two people.
        """
        half = len(salient) // 2
        if not half:
            nothing = salient.new_zeros(())
            return nothing, nothing
        first, second = slice(half), slice(half, 2 * half)
        own = torch.cat([salient, background], dim=1)[: 2 * half]
        others = torch.cat([salient[second], salient[first]])
        swapped = torch.cat([others, background[: 2 * half]], dim=1)
        if self.is_adversarial:
            return self._adversarial(own, swapped)
        one, other = (
            (torch.sigmoid(self.told(each).float()) + LEAST) * TIMES
            for each in (own, swapped)
        )
        loss = -torch.log(one) - torch.log(1 - other)
        return torch.log(one / (1 - one)).mean(), loss.mean()

    def _adversarial(self, own: Tensor, swapped: Tensor) -> tuple[Tensor, Tensor]:
        fixed = {name: one.detach() for name, one in self.told.named_parameters()}
        correlation = functional_call(self.told, fixed, (own,)).float().mean()
        one = self.told(own.detach()).float()
        other = self.told(swapped.detach()).float()
        return correlation, (F.softplus(-one) + F.softplus(other)).mean()
