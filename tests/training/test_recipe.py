"""Recipes on disk: found, resolved, and refused in one sentence."""

import pytest

from benchmark.errors import BenchError
from benchmark.root import Root
from benchmark.training import find_recipes, read_recipe, resolve
from benchmark.training.plans import read_plan

RECIPE = """method = "natural"
datasets = ["tiny"]
architecture = "narrow-resnet18"
seed = 1
epochs = 2
"""


@pytest.fixture
def root(tmp_path):
    """A project with three submissions of which two share a network, and one surrogate."""
    for name, text in {"natural": RECIPE, "jpeg": 'same_as = "natural"\n', "chain": 'same_as = "jpeg"\n'}.items():
        (tmp_path / "submissions" / name).mkdir(parents=True)
        (tmp_path / "submissions" / name / "recipe.toml").write_text(text)
    (tmp_path / "datasets" / "tiny" / "surrogates").mkdir(parents=True)
    (tmp_path / "datasets" / "tiny" / "surrogates" / "small.toml").write_text(RECIPE)
    return Root(tmp_path)


def test_defaults_are_those_of_the_documentation(root):
    recipe = read_recipe(root.submissions / "natural" / "recipe.toml")
    assert (recipe.batch_size, recipe.momentum, recipe.shift, recipe.flip) == (64, 0.9, 2, False)
    assert recipe.weights.format(dataset="tiny") == "weights/tiny.safetensors"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("epochs = 2", "", "field 'epochs' is missing; add it"),
        ("epochs = 2", "epochs = 0", "'epochs'"),
        ("epochs = 2", "epoch = 2", "field 'epoch' is unknown. Did you mean 'epochs'?"),
        ('"natural"', '"tradse"', "'natural', 'pgd_at'"),
        ('"natural"', '"pgd_at"', "method 'pgd_at' needs an [adversary] table"),
        ("seed = 1", "seed = 1\nmomentum = 1.0", "'momentum'"),
        ("seed = 1", "seed = 1\nlearning_rate = -1", "'learning_rate'"),
        ("epochs = 2", "epochs = 2\n[adversary]\neps_255 = 8\nalpha_255 = 2\nsteps = 1", "takes no [adversary] table"),
        ('"natural"', '"natural"\nregulariser = { beta = 6 }', "method 'natural' takes no [regulariser] table"),
        ('"natural"', '"defensive_distillation"', "method 'defensive_distillation' needs a [distillation] table"),
        ("epochs = 2", "epochs = 2\n[ema]\ndecay = 1", "'ema.decay'"),
        ("epochs = 2", "epochs = 2\n[augment]\nrotat = 1", "field 'augment.rotat' is unknown. Did you mean 'rotate'?"),
        ("seed = 1", "seed = 1\npatience = 0", "'patience'"),
        ('["tiny"]', "[]", "'datasets'"),
        ("seed = 1", "seed = ", "is not valid TOML"),
    ],
)
def test_a_bad_recipe_is_one_sentence_that_names_the_file_and_the_field(root, old, new, words):
    path = root.submissions / "natural" / "recipe.toml"
    path.write_text(RECIPE.replace(old, new))
    with pytest.raises(BenchError) as refusal:
        read_recipe(path)
    message = str(refusal.value)
    assert words in message
    assert str(path) in message
    assert "\n" not in message


ADVERSARIAL = RECIPE + "[adversary]\neps_255 = 8\nalpha_255 = 2\nsteps = 1\n"


@pytest.mark.parametrize(
    ("method", "tables", "words"),
    [
        ("hat", "", "method 'hat' needs a [helper] table"),
        ("ard", "", "method 'ard' needs a [distillation] table"),
        ("ard", "[distillation]\ntemperature = 3\n", "method 'ard' needs a [teacher] table"),
        ("ssat", "", "method 'ssat' needs a [semi_supervised] table"),
        ("ensemble_at", "", "method 'ensemble_at' needs a [[surrogates]] table"),
        ("pgd_at", "[margins]\n", "method 'pgd_at' takes no [margins] table"),
        ("pgd_at", "[[surrogates]]\nweights = 'a'\n", "method 'pgd_at' takes no [[surrogates]] table"),
        ("trades", "[regulariser]\nbeta = -1\n", "'regulariser.beta'"),
        ("hat", "[helper]\nweights = 'a'\noptions = { width = 2 }\n", "'a' has options but no architecture"),
        ("mpadvt", "[perturbations]\nsteps = [5, 2]\n", "[perturbations] steps runs from 5 down to 2"),
        ("mpadvt", "[perturbations]\nepsilon = [1, 2]\n", "field 'perturbations.epsilon' is unknown"),
        ("ssat", "[semi_supervised]\nlabelled = 1.5\nepochs = 1\n", "'semi_supervised.labelled'"),
        ("fat", "[friendly]\ntau = -1\n", "'friendly.tau'"),
        ("trades", "[awp]\ngamma = 0\n", "'awp.gamma'"),
    ],
)
def test_each_method_says_which_tables_it_needs_and_takes(root, method, tables, words):
    path = root.submissions / "natural" / "recipe.toml"
    path.write_text(ADVERSARIAL.replace('"natural"', f'"{method}"') + tables)
    with pytest.raises(BenchError) as refusal:
        read_recipe(path)
    message = str(refusal.value)
    assert words in message
    assert "\n" not in message


def test_weight_perturbation_needs_an_adversary(root):
    path = root.submissions / "natural" / "recipe.toml"
    path.write_text(RECIPE + "[awp]\n")
    with pytest.raises(BenchError, match=r"method 'natural' takes no \[awp\] table"):
        read_recipe(path)


@pytest.mark.parametrize(("kind", "words"), [("filters", "Did you mean 'filter'"), (3, "Known: classifier, filter")])
def test_a_kind_of_recipe_that_does_not_exist_is_refused(root, kind, words):
    path = root.submissions / "natural" / "recipe.toml"
    path.write_text(f"kind = {kind!r}\n" + RECIPE)
    with pytest.raises(BenchError, match=words):
        read_plan(root, path)


def test_a_recipe_that_says_filter_is_read_as_one(root):
    path = root.submissions / "natural" / "recipe.toml"
    path.write_text("kind = 'filter'\n" + RECIPE.replace('"natural"', '"comdefend"'))
    with pytest.raises(BenchError, match=r"field '(architecture|classifier)'"):
        read_plan(root, path)


def test_a_plan_follows_same_as(root):
    path, plan = read_plan(root, root.submissions / "jpeg" / "recipe.toml")
    assert path == root.submissions / "natural" / "recipe.toml"
    assert plan == read_recipe(path)


def test_same_as_leads_to_the_recipe_that_trains_the_network(root):
    path, recipe = resolve(root, root.submissions / "jpeg" / "recipe.toml")
    assert path == root.submissions / "natural" / "recipe.toml"
    assert recipe == read_recipe(path)


def test_same_as_leads_to_the_recipe_of_the_same_file_name(root):
    trained = root.submissions / "natural" / "recipe-other.toml"
    trained.write_text(RECIPE)
    named = root.submissions / "jpeg" / "recipe-other.toml"
    named.write_text('same_as = "natural"\n')
    assert resolve(root, named)[0] == trained


def test_a_recipe_of_its_own_resolves_to_itself(root):
    path = root.submissions / "natural" / "recipe.toml"
    assert resolve(root, path) == (path, read_recipe(path))


def test_a_comment_that_speaks_of_same_as_is_only_a_comment(root):
    path = root.submissions / "natural" / "recipe.toml"
    path.write_text("# others say same_as of this one\n" + RECIPE)
    assert resolve(root, path) == (path, read_recipe(path))


def test_a_chain_of_same_as_is_refused(root):
    with pytest.raises(BenchError, match="same_as"):
        resolve(root, root.submissions / "chain" / "recipe.toml")


def test_same_as_nobody_is_refused(root):
    path = root.submissions / "jpeg" / "recipe.toml"
    path.write_text('same_as = "nobody"\n')
    with pytest.raises(BenchError, match=r"there is no recipe .*nobody"):
        resolve(root, path)


def test_recipes_are_found_by_submission_by_file_and_for_all_surrogates(root):
    own = root.submissions / "natural" / "recipe.toml"
    assert find_recipes(root, "natural") == [own]
    assert find_recipes(root, str(own)) == [own]
    assert find_recipes(root, "surrogates") == [root.datasets / "tiny" / "surrogates" / "small.toml"]


def test_the_recipes_of_an_entry_are_found_by_its_folder_before_its_name(root, tmp_path, monkeypatch):
    folder = tmp_path / "mine" / "natural"
    folder.mkdir(parents=True)
    (folder / "submission.toml").write_text("")
    (folder / "recipe.toml").write_text(RECIPE)
    assert find_recipes(root, str(folder)) == [folder / "recipe.toml"]
    monkeypatch.chdir(folder.parent)
    assert find_recipes(root, "natural") == [folder / "recipe.toml"]


def test_a_recipe_of_the_current_folder_lies_in_a_folder_with_a_name(root, monkeypatch):
    monkeypatch.chdir(root.submissions / "natural")
    assert find_recipes(root, "recipe.toml")[0].parent.name == "natural"


def test_a_byte_order_mark_before_same_as_is_no_part_of_it(root):
    path = root.submissions / "jpeg" / "recipe.toml"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert resolve(root, path)[0] == root.submissions / "natural" / "recipe.toml"


@pytest.mark.parametrize("name", ["nobody", "", "../natural", "none.toml"])
def test_an_unknown_name_is_answered_with_the_known_ones(root, name):
    with pytest.raises(BenchError, match="give one of chain, jpeg, natural, surrogates"):
        find_recipes(root, name)
