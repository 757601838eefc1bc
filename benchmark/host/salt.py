"""Whose random numbers are still drawn from public seeds.

A host sees seeds hashed with its own entry's hash, so that no entry can hold a table of them. The official rows
of these entries, which came before, were drawn from the seeds as they are; a hash names one content for ever.
"""

UNSALTED = {
    "46abcdf6ec4b896f261185a0ec2740811b92fed0783c9528ebba76269a03e2f6": "medrdf_sp_mf on isic2017_64",
    "ff3cfd30a4dc27c86e753dc6f81dc789d9d6b995964447d980298cc0a414c8da": "medrdf_sp_mf_pgd_at on isic2017_64",
    "b36cde094e70e0d77e4b98e3a01a135cca49d29281c55289d394ceb6aae76cd3": "random_rp on isic2017_64",
    "1daf8f5c637cb103f42e5ca60e28b178421c9a13b8fc9e1f7c8aabfa721f502b": "random_rp_pgd_at on isic2017_64",
    "e08c8ab78be58b9d30e08219ee1a68f507b413b1ecdc498c5aac736a6644ab75": "medrdf_sp_mf on pneumoniamnist",
    "a467d041b23df7dd5af195ef73f60e8b7f3ca87a305ecc098482e3357ab2512b": "medrdf_sp_mf_10k on pneumoniamnist",
    "1111121bc9149a5ed4aba9aa7d51b733b332d61878fd84ff702781da33bddd80": "medrdf_sp_mf_10k_pgd_at on pneumoniamnist",
    "58e9636683d308c1151dbfe7fce8583c63aaf6c10dbd954e03d43fd0cbaf4351": "medrdf_sp_mf_pgd_at on pneumoniamnist",
    "9ade9836d8896bf953f030b1656a016de46b270faa290fbc33a454a1e5be943f": "random_rp on pneumoniamnist",
    "d25673bfb3caa7c71b6c83463242d70ce95b3cc044d825e3ef844a79eb8bc1c4": "random_rp_pgd_at on pneumoniamnist",
    "c6f4bda9992555d5c35be2e04bffc843f1187fb7c4c2dca4b0fe3766a90ac317": "medrdf_sp_mf on synthetic_cxr",
}
"""submission_hash -> which entry on which data set."""


def salt_of(submission_hash: str) -> str:
    """What an entry's seeds are hashed with; nothing for one whose official rows were drawn without."""
    return "" if submission_hash in UNSALTED else submission_hash
