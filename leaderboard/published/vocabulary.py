"""What the papers call things, in this benchmark's words."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """A paper: its short name, title and year."""

    short: str
    title: str
    year: int


PAPERS = {
    "medrdf": Paper(
        "MedRDF",
        "MedRDF: A Robust and Retrain-Less Diagnostic Framework for Medical Pretrained Models Against Adversarial "
        "Attack",
        2022,
    ),
    "medical_aegis": Paper(
        "Medical Aegis", "Medical Aegis: Robust adversarial protectors for medical images", 2021
    ),
    "survey_mia": Paper(
        "Survey",
        "Survey on Adversarial Attack and Defense for Medical Image Analysis: Methods and Challenges",
        2024,
    ),
    "robust_eval": Paper(
        "Robust evaluation",
        "Towards Evaluating the Robustness of Deep Diagnostic Models by Adversarial Attack",
        2021,
    ),
}  # fmt: skip
"""``source`` of a transcribed table -> the paper."""


@dataclass(frozen=True)
class Images:
    """What a paper's images are: modality, side in pixels and number of test images, None where it does not say."""

    modality: str
    size: int | None
    test: int | None


IMAGES = {
    ("medrdf", "COVID-19 Radiography"): Images("chest X-ray", 224, None),
    ("medrdf", "DermaMNIST"): Images("dermatoscopy", 28, None),
    ("medical_aegis", "Kaggle Fundoscopy (APTOS2019)"): Images("fundus photograph", None, None),
    ("medical_aegis", "Kaggle Chest X-Ray (Pneumonia)"): Images("chest X-ray", None, None),
    ("survey_mia", "Messidor"): Images("fundus photograph", 299, 240),
    ("survey_mia", "ISIC2017"): Images("dermatoscopy", 224, 750),
    ("survey_mia", "COVID-19 lung (covidSeg)"): Images("chest X-ray", 256, 750),
    ("survey_mia", "ChestX-ray14 (10k subset)"): Images("chest X-ray", 224, 2000),
    ("survey_mia", "ChestX-ray14"): Images("chest X-ray", 224, None),
    ("survey_mia", "CheXpert"): Images("chest X-ray", 224, None),
    ("survey_mia", "PadChest"): Images("chest X-ray", 224, None),
    ("robust_eval", "ISIC2016 Melanoma"): Images("dermatoscopy", 224, 379),
    ("robust_eval", "Messidor"): Images("fundus photograph", 299, None),
    ("robust_eval", "ChestX-ray14"): Images("chest X-ray", 224, 22433),
}
"""(source, data set without what stands behind its name) -> its images."""

_BEHIND = re.compile(r" (\[train images\]|Robust-Benchmark)$")


def images(source: str, dataset: str) -> Images | None:
    """Return what is known of a paper's data set; None for one that nobody has described."""
    return IMAGES.get((source, _BEHIND.sub("", dataset)))


FAMILIES = {
    "natural": "none",
    "pgd_at": "adversarial training",
    "trades": "adversarial training",
    "mart": "adversarial training",
    "hat": "adversarial training",
    "mpadvt": "adversarial training",
    "maadvt": "adversarial training",
    "tecoa": "adversarial training",
    "pmg_ft": "adversarial training",
    "fare": "adversarial training",
    "comdefend": "pre-processing",
    "median_filter": "pre-processing",
    "gaussian_smoothing": "pre-processing",
    "cushion": "pre-processing",
    "random_rp": "randomisation",
    "medrdf": "randomisation",
    "aegis": "detection",
    "shield": "detection",
    "kd": "detection",
    "lid": "detection",
    "maha": "detection",
    "dnn": "detection",
}
"""First part of a defense's name -> defense family, as manifests call it."""

_PLAIN = {
    "none": "natural", "PGD-AT": "pgd_at", "AT": "pgd_at", "TRADES": "trades", "MART": "mart", "HAT": "hat",
    "MPAdvT": "mpadvt", "MAAdvT": "maadvt", "TeCoA": "tecoa", "PMG-FT": "pmg_ft", "FARE": "fare",
    "ComDefend": "comdefend", "Random R-P": "random_rp", "Medical Aegis": "aegis", "Shield": "shield", "KD": "kd",
    "LID": "lid", "MAHA": "maha", "DNN": "dnn",
}  # fmt: skip
_NOISES = {"salt_pepper": "sp", "gaussian": "gaussian", "poisson": "poisson"}
_DENOISERS = {"median": "mf", "gaussian_smoothing": "gs", "none": "bare"}
_PRINTED = re.compile(r"^(?P<name>[^(+]+)(\((?P<setting>[^)]*)\))?(\+(?P<more>.+))?$")


def defense(printed: str) -> tuple[str, str] | None:
    """Return a printed defense's (name, setting) in this benchmark's vocabulary; None for an unknown one.

    MedRDF is named by noise and denoiser (``medrdf_sp_mf``: salt and pepper, median filter; ``gs`` Gaussian smoothing,
    ``bare`` no denoiser), Cushion by its code (``cushion_jpeg80``).
    """
    parts = _PRINTED.match(printed)
    if parts is None:
        return None
    name, setting = parts["name"].strip(), parts["setting"] or ""
    told = ", ".join(_setting(one) for one in setting.split(";") if one)
    if parts["more"]:
        told = ", ".join(one for one in (told, f"with {parts['more']}") if one)
    if name == "MedRDF":
        given = dict(one.split("=", 1) for one in setting.split(";"))
        noise, denoiser = _NOISES.get(given["noise"]), _DENOISERS.get(given["denoiser"])
        return f"medrdf_{noise}_{denoiser}" if noise and denoiser else "medrdf_other", told
    if name == "Cushion":
        return f"cushion_{setting.lower().replace('-', '')}", told
    if name == "denoiser_only":
        return {"median": "median_filter", "gaussian_smoothing": "gaussian_smoothing"}[setting], ""
    return (_PLAIN[name], told) if name in _PLAIN else None


def _setting(one: str) -> str:
    key, _, value = one.partition("=")
    if key == "n":
        return f"{float(value):.0f} votes"
    return f"{key} {value}".strip().replace("_", " ")


def family(name: str) -> str:
    """Return the family of a defense of this vocabulary; empty for a name that does not belong to it."""
    for first in sorted(FAMILIES, key=len, reverse=True):
        if name == first or name.startswith(f"{first}_"):
            return FAMILIES[first]
    return ""


_ATTACKS = {
    "none": "none", "FGSM": "fgsm", "BIM": "bim", "I-FGSM": "bim", "PGD": "pgd", "CW": "cw-linf", "C&W": "cw-linf",
    "CW-linf": "cw-linf", "SMA": "sma", "AA": "autoattack", "Square": "square", "SPSA": "spsa", "RayS": "rays",
    "GAP": "gap", "MIM": "mim", "DIM": "dim", "TIM": "tim", "PGD-l2": "pgd-l2", "CW-l2": "cw-l2", "Fea": "fea",
    "HFC": "hfc", "WB": "wb", "WB_d": "wb-d", "common_perturbations(14)": "mean",
    "TF(VGG-16 substitute)": "transfer-vgg", "PGD-BCE": "pgd-bce", "PGD-Dice": "pgd-dice", "PGD-IOU": "pgd-iou",
    "MIM+HFC": "mim-hfc", "BIM+HFC": "bim-hfc", "PGD+HFC": "pgd-hfc", "CW-linf+HFC": "cw-linf-hfc",
    "gaussian_noise(sigma=0.1)": "gaussian-noise-0.1", "salt_pepper_noise(sigma=0.1)": "salt-pepper-noise-0.1",
    "stress_test_feature_up": "stress-up", "stress_test_feature_down": "stress-down",
}  # fmt: skip
_NAMED_BY_STEPS = ("pgd", "bim")


def attack(printed: str, steps: int | None) -> str | None:
    """Return the cell that a printed attack corresponds to, else a name of the same manner; None for an unknown one."""
    name = _ATTACKS.get(printed)
    return f"{name}-{steps}" if name in _NAMED_BY_STEPS and steps else name


TRACKS = {
    "none": ("clean", "", ""),
    "linf_whitebox": ("white-box", "linf", "no"),
    "linf_whitebox(adaptivity_unstated)": ("white-box", "linf", "unstated"),
    "linf_whitebox(unstated)": ("white-box", "linf", "unstated"),
    "linf_whitebox_feature": ("white-box", "linf", "no"),
    "linf_whitebox_feature_bpda": ("adaptive", "linf", "yes"),
    "linf_adaptive": ("adaptive", "linf", "yes"),
    "linf_adaptive_bpda": ("adaptive", "linf", "yes"),
    "linf_blackbox_score": ("black-box", "linf", ""),
    "linf_blackbox_hard_label": ("black-box", "linf", ""),
    "linf_transfer": ("no-box", "linf", ""),
    "linf_transfer(MobileNetV2->ResNet-18)": ("no-box", "linf", ""),
    "linf_transfer(SegNet->U-Net)": ("no-box", "linf", ""),
    "linf_generative": ("gray-box", "linf", ""),
    "l2_whitebox": ("white-box", "l2", "no"),
    "common_noise": ("corruption", "", ""),
    "common_perturbation": ("corruption", "", ""),
}
"""Threat model of a transcribed table -> (track, norm, whether the attack knew of the defense)."""

METRICS = {
    "accuracy_pct": ("accuracy", "share", 100.0),
    "auc_pct": ("auc", "share", 100.0),
    "auroc_pct": ("auc", "share", 100.0),
    "auc": ("auc", "share", 1.0),
    "miou": ("miou", "share", 1.0),
    "dice": ("dice", "share", 1.0),
    "tpr_at_90tnr_pct": ("tpr_at_90_tnr", "share", 100.0),
    "fooling_ratio_pct": ("fooling_rate", "share", 100.0),
    "flip_probability_pct": ("mean_flip_probability", "share", 100.0),
    "pct_correct_and_robust": ("right_and_sure", "share", 100.0),
    "pct_correct_not_robust": ("right_not_sure", "share", 100.0),
    "pct_incorrect_robust": ("wrong_and_sure", "share", 100.0),
    "pct_incorrect_not_robust": ("wrong_not_sure", "share", 100.0),
    "diagnosis_performance_pct": ("diagnosis_performance", "share", 100.0),
    "rfp": ("relative_flip_probability", "ratio", 1.0),
    "training_time_h": ("training_time", "h", 1.0),
    "train_time_s_per_epoch": ("training_time_per_epoch", "s", 1.0),
    "attack_time_s": ("attack_time", "s", 1.0),
    "test_time_s_per_image": ("inference_time_per_image", "s", 1.0),
}
"""Printed metric -> (metric here, its unit, what a printed 1 is divided by)."""

_OF_A_LAYER = {"mean_activation": ("activation", 1.0), "relative_change_pct": ("ratio", 100.0)}
"""Further printed metrics, behind which the layer stands in brackets."""


def metric(printed: str) -> tuple[str, str, float] | None:
    """Return (metric here, its unit, what a printed 1 is divided by); None for an unknown one."""
    name, bracket, layer = printed.partition("[")
    if bracket and name in _OF_A_LAYER:
        return f"{name.removesuffix('_pct')}[{layer}", *_OF_A_LAYER[name]
    return METRICS.get(printed)


DOUBTS = {
    "evaluated on training images": "measured on training images",
    "conflicts with table": "another table of the same paper contradicts it",
    "caption says s.p.+mf but matches": "its row and its caption contradict each other",
    "not a multiple of 1/": "no number of right answers out of the test images gives it",
    "printed sequence not monotone": "it grows with the budget, which the attack cannot do",
    "dataset inferred": "the paper does not say which data set it is about",
    "dataset and cw norm inferred": "the paper does not say which data set it is about",
    "column 'model'; caption says auc": "its column and its caption contradict each other",
}
"""What disqualifies a number, found in a transcribed note (lower case) -> why it is set aside."""

NORMALISED = "its budget is measured on normalised input, not on grey values"
FOREIGN_L2 = "its L2 budget is in another unit than the root-mean-square budgets here"
SUMMED = "its paper's code sums flips over frame pairs instead of averaging them"
OTHER_AUC = "its paper's code computes the AUC from hard labels or as a micro-average"
"""Reasons for which whole kinds of numbers are set aside."""

_IDLE_NOTES = ("percent decrease", "eps=16/256", "eps=4/256")


def caveat(note: str) -> str:
    """Return a transcribed note without what other columns already say."""
    parts = (part.strip() for part in note.split(";"))
    return "; ".join(part for part in parts if part and not part.lower().startswith(_IDLE_NOTES))


COMMONEST = {
    ("medrdf", "DermaMNIST", "multiclass7"): 1341 / 2005,
    ("survey_mia", "Messidor", "binary"): 126 / 240,
    ("survey_mia", "Messidor", "multiclass4"): 101 / 240,
    ("survey_mia", "ISIC2017", "binary"): 471 / 750,
    ("survey_mia", "ISIC2017", "multiclass3"): 471 / 750,
}
"""(source, data set, task) -> share of the commonest class among the test images, where these are public: MedMNIST's
split, and the lists of files that the survey's authors released."""

NEAR = 0.005
"""How near the commonest class's share an accuracy lies that always predicting one class gives."""


def as_a_constant(source: str, dataset: str, task: str, metric: str, value: float) -> str:
    """Return what to say of an accuracy that always predicting one class reaches; empty for any other."""
    share = COMMONEST.get((source, dataset, task))
    if metric != "accuracy" or share is None or abs(value - share) > NEAR:
        return ""
    return f"always predicting one class would score {100 * share:.1f} %"
