"""What a run asks to be cited."""

from bidsclf import __version__

CITATION = """# What to cite

This run used bidsclf {version} at the {level} level, and:

- BIDS: Gorgolewski et al. (2016), Scientific Data 3, 160044, doi:10.1038/sdata.2016.44
- BIDS Apps: Gorgolewski et al. (2017), PLoS Computational Biology 13(3), e1005209,
  doi:10.1371/journal.pcbi.1005209
- Nipype: Gorgolewski et al. (2011), Frontiers in Neuroinformatics 5, 13,
  doi:10.3389/fninf.2011.00013
"""
CITATION_OF = {
    "participant": """- fMRIPrep: Esteban et al. (2019), Nature Methods 16, 111-116,
  doi:10.1038/s41592-018-0235-4
- PyBIDS: Yarkoni et al. (2019), Journal of Open Source Software 4(40), 1294,
  doi:10.21105/joss.01294
- Nilearn: Abraham et al. (2014), Frontiers in Neuroinformatics 8, 14,
  doi:10.3389/fninf.2014.00014
""",
    "group": """- scikit-learn: Pedregosa et al. (2011), JMLR 12, 2825-2830
- PyTorch: Paszke et al. (2019), NeurIPS 32, 8024-8035
- The interval of the AUC: DeLong et al. (1988), Biometrics 44(3), 837-845,
  doi:10.2307/2531595
""",
}


def citation(level: str) -> str:
    """Return CITATION.md of a run at this level."""
    of_level = CITATION_OF.get(level, CITATION_OF["group"])
    return CITATION.format(version=__version__, level=level) + of_level
