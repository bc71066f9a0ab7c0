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
- PyTorch, where methods.md names a network: Paszke et al. (2019), NeurIPS 32,
  8024-8035
- The interval of the AUC: DeLong et al. (1988), Biometrics 44(3), 837-845,
  doi:10.2307/2531595
- Tests over folds: Nadeau and Bengio (2003), Machine Learning 52(3), 239-281,
  doi:10.1023/A:1024068626366
- Calibration by a temperature: Guo et al. (2017), ICML, PMLR 70, 1321-1330
""",
}
COMBAT = """- ComBat: Johnson et al. (2007), Biostatistics 8(1), 118-127,
  doi:10.1093/biostatistics/kxj037; of brain images, Fortin et al. (2018), NeuroImage
  167, 104-120, doi:10.1016/j.neuroimage.2017.11.024
- neuroHarmonize: Pomponio et al. (2020), NeuroImage 208, 116450,
  doi:10.1016/j.neuroimage.2019.116450
"""
CITATION_OF_METHOD = {
    "none": "",
    "combat": COMBAT,
    "combat-gam": COMBAT,
    "covbat": COMBAT
    + """- CovBat: Chen et al. (2022), Human Brain Mapping 43(4), 1179-1195,
  doi:10.1002/hbm.25688
""",
}


def citation(level: str, method: str = "none") -> str:
    """Return CITATION.md of a run at this level, with this ``--harmonize``."""
    of_level = CITATION_OF.get(level, CITATION_OF["group"])
    head = CITATION.format(version=__version__, level=level)
    return head + of_level + CITATION_OF_METHOD[method]
