"""What the columns of an analysis mean, for the JSON file beside each table."""

from collections.abc import Mapping
from types import MappingProxyType

from bidsclf.workflows import _latent_columns

COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "participant_id": "Label of the participant",
        "site": "Site of acquisition",
        "model": "Model, as --models names it",
        "repeat": "Repeat of the cross-validation, or round of the bootstrap, from 1",
        "fold": "Fold within the repeat, from 1",
        "part": "What the fold uses the person for: train, valid or test; a person"
        " whom a bootstrap drew several times has as many rows",
        "truth": "1 for the positive label, 0 for the other",
        "score": "The model's own score of the positive label in [0, 1]; 0.5 is the"
        " decision boundary. Ranks, thresholds and tests are made of it",
        "probability": "The score after division of its logit by the temperature that"
        " people held out of training gave; the score itself where there is none;"
        " always on the score's side of 0.5 in a row, not after averaging over repeats",
        "harmonized": "What harmonization did to the person's features: none; site (the"
        " site was learned from training people); identity (the site was not, and the"
        " features stayed as they were); batch (the site was not, and was estimated"
        " from its own unlabelled people)",
        "label": "The label's name",
        "included": "Whether the person was studied: yes or no",
        "reason": "Why the person was not studied",
        "y": "1 for the positive label, 0 for the other",
        "group": "Family, or twins, whom no split takes apart",
        "n_runs": "Runs that were read",
        "n_missing_regions": "Regions without signal in any run",
        "age": "Age, as participants.tsv has it",
        "sex": "Sex, as participants.tsv has it",
        "mean_fd": "Mean framewise displacement in mm, the mean over runs",
        "n_volumes": "Volumes, the sum over runs",
        "metric": "Name of the metric",
        "low": "Lower end of the 95 % interval",
        "high": "Upper end of the 95 % interval",
        "method": "How the interval was found: delong, bootstrap or none",
        "n": "People",
        "p": "p value",
        "p_holm": "p value, corrected for all pairs by Holm's method",
        "test": "Name of the test",
        "n_permutations": "Permutations of the labels",
        "stage": "before or after",
        "features": "The input, and how it was prepared",
        "pc1": "First principal component of the features, people not learned from",
        "pc2": "Second principal component",
    }
)
WORDS: Mapping[str, Mapping[str, str]] = MappingProxyType(  # of one table alone
    {
        **_latent_columns.WORDS,
        "metrics": {
            "scope": "pooled over folds; one site, sex, age band or fold; fold mean:"
            " the mean of folds; within site: pairs of people of the same site only",
            "group": "The site, sex or age band; or repeat/fold; or all",
            "estimate": "Value of the metric",
            "sd": "Standard error (pooled, site, …) or deviation over folds",
            "n_positive": "People with the positive label",
        },
        "comparisons": {
            "model_a": "First model",
            "model_b": "Second model",
            "metric": "auc or accuracy",
            "test": "delong (AUC of the same people); mcnemar (exact, on pooled calls);"
            " nadeau-bengio (t over folds, variance corrected for shared training"
            " people); paired-t (t over folds, one-tailed, which takes folds for"
            " independent and so is too sure)",
            "difference": "Metric of the first less metric of the second",
            "p_holm": "p value, corrected by Holm's method over all pairs of this test"
            " and metric",
            "n": "People; of a test over folds, folds",
            "sided": "two, or 'a > b' for one-tailed",
        },
        "ablation": {
            "fold": "Fold, or repeat/fold; then mean and sd (deviation) over folds",
            "n_positive": "People with the positive label",
            "accuracy": "Share of people called rightly at a score of 0.5",
            "sensitivity": "The same among people with the positive label",
            "specificity": "The same among the others",
            "identity": "By how much accuracy misses the mean of sensitivity and"
            " specificity weighted by the share of each group; of the mean, the largest"
            " of the folds",
        },
        "permutations": {
            "null": "fixed scores: labels permuted within site, the scores stand;"
            " refit: labels permuted within site and test fold, and every fit of"
            " repeat 1 done again, inner choices included",
            "metric": "auc, accuracy or balanced_accuracy",
            "observed": "The metric with the true labels",
            "null_mean": "Mean over permutations",
            "null_sd": "Standard deviation over permutations",
            "p": "(permutations at least as good + 1) / (permutations + 1)",
        },
        "nulls": {
            "permutation": "Number of the permutation, from 1",
            "auc": "AUC of the folds of repeat 1 joined, fitted to permuted labels",
            "accuracy": "Their accuracy",
            "balanced_accuracy": "Their balanced accuracy",
        },
        "calibration": {
            "stage": "before (score) or after (probability) the temperature",
            "bin_low": "Lower end of the bin",
            "bin_high": "Upper end of the bin",
            "mean_score": "Mean score or probability in the bin",
            "share_positive": "Share of people with the positive label in the bin",
            "low": "Lower end of the share's 95 % interval (Wilson)",
            "high": "Upper end of the share's 95 % interval (Wilson)",
        },
        "experiment": {
            "n_splits": "Splits: rounds of the bootstrap, else folds",
            "mean": "Mean over splits",
            "sd": "Standard deviation over splits",
            "median": "Median over splits",
            "low": "2.5th percentile over splits",
            "high": "97.5th percentile over splits",
            "t": "One-sample t of the splits against chance",
            "p_t": "Its p value; it takes splits for independent and so is too sure",
            "p_nadeau_bengio": "p value with the variance corrected for shared training"
            " people",
            "p_percentile": "p value from the share of splits at or below chance",
            "chance": "What a model without skill reaches",
        },
        "roc": {
            "fpr": "False positive rate",
            "median": "Median over splits of the true positive rate",
            "mean": "Mean over splits of the true positive rate",
            "sd": "Standard deviation over splits",
            "p2_5": "2.5th percentile over splits",
            "p16": "16th percentile over splits",
            "p84": "84th percentile over splits",
            "p97_5": "97.5th percentile over splits",
        },
        "confounds": {
            "confound": "mean_fd, n_volumes or age",
            "r": "Spearman's correlation of score and confound",
            "low": "Lower end of its 95 % interval",
            "high": "Upper end of its 95 % interval",
            "p_holm": "p value, corrected by Holm's method",
            "r_within_site": "The same among people of one site",
            "r_given_truth": "The same with the truth held fixed (partial correlation)",
        },
        "sites": {
            "stage": "before or after harmonization",
            "accuracy": "Share of people whose site a linear SVM tells, out of fold",
            "balanced_accuracy": "Mean of the sites' shares",
            "chance": "Share of the largest site",
            "n_sites": "Sites",
            "p_change": "p value of the change by harmonization",
        },
        "site_map": {"stage": "before or after harmonization"},
        "qcfc": {
            "stage": "before or after harmonization",
            "n_edges": "Features",
            "median_abs_r": "Median over features of the absolute correlation with"
            " mean framewise displacement",
            "share_p05": "Share of features that correlate with it at p < 0.05",
            "share_fdr05": "Share that do so at a false discovery rate of 0.05",
        },
        "source": {"site": "Site of acquisition, where participants.tsv has it"},
        "predictions": {
            "before": "The score of the same networks with heads that no harmonizer"
            " stands before; n/a for a model whose embeddings were not harmonized",
        },
        "embedding": {
            "metric": "accuracy, balanced_accuracy, sensitivity, specificity or auc",
            "before": "Its value of the scores of unharmonized embeddings",
            "after": "Its value of the scores of harmonized embeddings",
            "difference": "After less before",
            "low": "Lower end of the difference's 95 % interval: bootstrap over people,"
            " the same for both",
            "high": "Upper end",
        },
        "learning": {
            "member": "Network of a model that has several, from 1; 0 of one that is"
            " a single network",
            "epoch": "Times that the training part was gone through, from 1",
            "measure": "loss, its parts, accuracy of samples, or auc of people",
            "train": "Of the training part, while it was learned from",
            "valid": "Of the validation part, after the epoch",
            "kept": "1 for the epoch whose weights were kept",
        },
        "regions": {
            "region": "Region of the atlas",
            "x": "Right of the origin, in mm (MNI)",
            "y": "In front of the origin, in mm (MNI)",
            "z": "Above the origin, in mm (MNI)",
            "network": "Network that holds most of the region",
        },
        "communities": {
            "fold": "Fold of repeat 1; 0 is the model fitted on everyone",
            "community": "Node of the first LSTM, from 1",
            "region": "Region of the atlas",
            "weight": "Weight from the community to the region in the generative path",
            "member": "1 where the weight is in the larger of two clusters",
        },
        "influence": {
            "fold": "Fold of repeat 1; 0 is the model fitted on everyone",
            "community": "Node of the first LSTM, from 1",
            "influence": "Sum of its absolute weights into the second LSTM, all gates",
            "rank": "1 for the largest influence",
            "n_members": "Regions that are members",
        },
        "overlap": {
            "fold": "0: the model fitted on everyone",
            "community": "Node of the first LSTM, from 1",
            "network": "Network of regions",
            "share": "Share of the members that lie in the network",
            "dice": "Dice coefficient of the members and the network's regions",
        },
        "robustness": {
            "method": "Model, or parafac: a tensor decomposition of training people",
            "fold": "Fold of repeat 1 that is compared with the first",
            "correlation": "Mean over communities of the best correlation of weights",
            "dice": "Mean over communities of the best Dice coefficient of members",
            "mean_size": "Mean number of members in this fold",
            "n_compared": "Communities of the first fold that were compared",
            "n_skipped": "Communities of the first fold without variance; 0 in means",
        },
        "decoding": {
            "community": "Node of the first LSTM, from 1",
            "term": "Term or topic of studies",
            "correlation": "Of its weight with activity in the members, over studies",
            "rank": "1 for the largest correlation",
        },
        "attributions": {
            "method": "integrated gradients (networks, people not learned from) or"
            " haufe (patterns of linear models, training people)",
            "region": "Region of the atlas",
            "signed": "Mean over folds of what the region adds to the log odds"
            " (gradients) or of its edges' patterns, half of each (haufe)",
            "absolute": "Share of the region in all magnitudes, mean over folds",
            "sd": "Standard deviation of that share over folds",
            "n_folds": "Folds",
        },
        "attribution_time": {
            "volume": "Volume of the window, from 1",
            "absolute": "Share of the volume in all magnitudes, mean over folds",
            "sd": "Standard deviation over folds",
        },
        "maps": {
            "method": "gradient x input or occlusion, of people not learned from",
            "n_people": "People looked at; counted again in each fold that tests them",
            "n_folds": "Folds",
            "x": "Where the magnitude is largest, mm from left to right",
            "y": "The same, from back to front",
            "z": "The same, from below to above",
            "size": "Magnitude there, log odds, mean over people and folds",
            "signed": "The same with its sign: above 0 speaks for the positive label",
            "correlation": "Correlation of the maps of magnitudes of two folds, mean"
            " over pairs",
        },
        "patterns": {
            "region_a": "One end of the edge",
            "region_b": "The other end",
            "pattern": "Covariance of edge and decision value over the standard"
            " deviation of the decision value, mean over folds (Haufe et al. 2014)",
            "sd": "Standard deviation over folds",
        },
    }
)
