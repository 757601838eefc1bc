"""Recompute the board's headline number from the rows, with pandas alone.

python recompute.py data/DATASET.parquet
"""

import sys

import pandas as pd

NORM, EPS_255 = "", 0.0  # filled in when the site is built: the budget that ranks

rows = pd.read_parquet(sys.argv[1])
image = ["submission", "sample_id"]
rows[image] = rows[image].astype(str)

# Share of the judge's draws that were right; a deterministic defense has one draw. A gap has no share.
drawn = (rows["draws"] > 1) & rows["right_draws"].notna()
rows["share"] = (rows["right_draws"] / rows["draws"]).where(drawn, rows["correct"].astype("float64"))
rows.loc[rows["status"] != "ok", "share"] = float("nan")

# A skipped row repeats the draws with which the image was broken; at a larger budget nothing was measured.
broken_at = pd.to_numeric(rows["broken_by"].astype(str).str.rpartition("@")[2], errors="coerce")
missed = rows["skipped"].astype(bool) & (rows["correct"] == False)  # noqa: E712
broken_before = missed & ~(broken_at >= rows["eps_255"])
rows.loc[broken_before & (rows["status"] == "ok"), "share"] = 0.0

# An image that is wrong without any attack is not robust.
clean = rows[rows["track"] == "clean"].set_index(image)["correct"]
everywhere = rows[~rows["track"].isin(["clean", "corruption", "diagnostic"])]
attacked = everywhere[(everywhere["norm"] == NORM) & (everywhere["eps_255"] == EPS_255)].copy()
attacked = attacked[~attacked["unranked"].fillna(False).astype(bool)]
right_clean = clean.reindex(pd.MultiIndex.from_frame(attacked[image])).to_numpy(dtype=bool)
attacked.loc[~right_clean & attacked["share"].notna(), "share"] = 0.0

# One line per image, one column per attack; the worst attack decides. A missing verdict counts as misclassified, which
# gives a lower bound.
attacked["cell"] = attacked["track"].astype(str) + " " + attacked["attack"].astype(str)
for name, entry in attacked.groupby("submission"):
    verdicts = entry.pivot(index="sample_id", columns="cell", values="share")
    images = everywhere.loc[everywhere["submission"] == name, "sample_id"].unique()
    worst = verdicts.min(axis=1, skipna=False).reindex(images).fillna(0.0)
    print(f"{name},{worst.mean():.6f},{len(worst)}")
