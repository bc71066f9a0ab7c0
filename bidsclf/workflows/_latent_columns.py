"""What the columns of the tables of latent spaces mean."""

from collections.abc import Mapping
from types import MappingProxyType

FIT = (
    "everyone: the final model, which learned from these people (where embeddings are"
    " harmonized, the first of its networks, which learned from part of them);"
    " crossfitted: each person by a network of repeat 1 that had not seen them"
)
SPACE = "Latent space; salient - background: the statistic of one less the other's"
TRAITS: Mapping[str, str] = MappingProxyType(
    {
        "fit": FIT,
        "space": SPACE,
        "trait": "Column of participants.tsv",
        "kind": "number or category",
        "n": "Patients of whom it is known, of folds that have a value; of all folds"
        " where none has",
        "p": "(permutations of patients with as much or more + 1) / (permutations + 1);"
        " of a difference of spaces, as far from the middle of the permuted ones",
        "p_holm": "p value, corrected by Holm's method over all rows of the fit",
    }
)
WORDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "latents": {
            "fit": FIT,
            "fold": "Fold of repeat 1; 0 is the model fitted on everyone. Numbers of"
            " two folds are of two spaces, and cannot be compared",
        },
        "rsa": TRAITS
        | {
            "tau": "Kendall's tau-b between distances of pairs of patients in the space"
            " and in the trait (how much they differ, or whether they do); crossfitted:"
            " pairs of the same fold, the mean over folds",
        },
        "silhouette": TRAITS
        | {
            "silhouette": "Mean silhouette of patients in groups of the trait; of a"
            " number, those above its median and the others",
        },
        "mixture": {
            "fit": FIT,
            "space": SPACE,
            "n_components": "Gaussians in the mixture",
            "shape": "full: each has covariances of its own; tied: all share theirs",
            "n_axes": "Principal axes that are used: those with more than 5 % of the"
            " variance of the first, at most one for five patients",
            "bic": "Bayesian information criterion; less is better",
            "apart": "Standard deviations between the closest two components",
            "is_best": "1 for the least BIC of mixtures whose components are kinds: no"
            " two of them closer than 3.5 standard deviations",
        },
        "plane": {
            "fit": FIT,
            "space": SPACE,
            "pca_1": "First principal component of the patients of the fit",
            "pca_2": "Second principal component",
            "umap_1": "First axis of UMAP, a picture: no distance in it is measured",
            "umap_2": "Second axis",
        },
    }
)
