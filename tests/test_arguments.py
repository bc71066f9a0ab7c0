"""The command line: spellings, levels, files of settings, all errors at once."""

from pathlib import Path

import pytest
import tomli_w

from bidsclf.arguments import parse, parser, to_config
from bidsclf.arguments.table import every, settings
from bidsclf.config import to_plain
from bidsclf.errors import ConfigError


@pytest.fixture
def folders(tmp_path):
    (tmp_path / "bids").mkdir()
    return [str(tmp_path / "bids"), str(tmp_path / "out")]


def config(*words):
    return to_config(parse([str(word) for word in words]))


def problems(*words):
    with pytest.raises(ConfigError) as caught:
        config(*words)
    return str(caught.value).splitlines()


def test_every_option_has_a_setting():
    assert {option.name for option in every()} <= set(settings())


def test_every_setting_with_an_option_can_be_asked_for():
    asked = {name for name in settings() if name.startswith("--")}
    assert asked <= {option.name for option in every()}


def test_no_spelling_means_two_things():
    flags = [flag for option in every() for flag in option.flags]
    assert len(set(flags)) == len(flags)


def test_defaults_are_those_of_the_settings(folders):
    made = config(*folders, "participant")
    assert made.folds.n_folds == settings()["--n-folds"][1].default


@pytest.mark.parametrize("flag", ["--participant-label", "--participant_label"])
@pytest.mark.parametrize(
    "labels", [["sub-01", "02"], ["01 sub-02"], ["01", "--participant_label", "02"]]
)
def test_people_are_named_as_fmriprep_names_them(folders, flag, labels):
    made = config(*folders, "participant", flag, *labels)
    assert made.selection.participant_label == ("01", "02")


@pytest.mark.parametrize(
    "words",
    [["-w", "W"], ["--work-dir", "W"], ["--work_dir", "W"], ["--work-dir=W"]],
)
def test_dashes_underscores_and_equals_signs_are_one(folders, words, monkeypatch):
    monkeypatch.chdir(Path(folders[0]).parent)
    made = config(*folders, "participant", *words)
    assert made.run.work_dir == Path(folders[0]).parent / "W"


def test_options_may_come_before_and_between(folders):
    made = config("--nprocs", "3", folders[0], "-vv", folders[1], "participant")
    assert (made.run.nprocs, made.run.verbose, made.level) == (3, 2, "participant")


@pytest.mark.parametrize(
    ("text", "gigabytes"),
    [("8G", 8), ("8000M", 8), ("8000", 8), ("8gb", 8), ("1T", 1e3)],
)
def test_memory_is_spelt_as_in_fmriprep(folders, text, gigabytes):
    made = config(*folders, "participant", "--mem", text)
    assert made.run.mem_gb == pytest.approx(gigabytes)


def test_a_group_reads_what_an_extraction_wrote(folders):
    words = ["--atlases", "cc-200", "--denoise-strategy", "simple+gsr"]
    words += ["--space", "MNI", "--participant-label", "sub-01", "--task-id", "rest"]
    made = config(*folders, "group", *words).cohort
    assert (made.atlas, made.desc, made.space) == ("cc200", "simplegsr", "MNI")
    assert (made.participant_label, made.task_id) == (("01",), ("rest",))


def test_a_strategy_file_is_read_back_by_its_stem(folders):
    made = config(*folders, "group", "--denoise-strategy", "/some/my_columns.json")
    assert made.cohort.desc == "mycolumns"


def test_a_group_may_read_the_output_itself(folders):
    assert config(folders[0], folders[0], "group").output_dir == Path(folders[0])


def test_dummy_scans_are_a_number_or_left_to_fmriprep(folders):
    words = [*folders, "participant", "--dummy-scans"]
    assert config(*words, "4").extract.denoise.dummy_scans == 4
    assert config(*words, "auto").extract.denoise.dummy_scans is None
    assert "'some'; it takes a whole number" in problems(*words, "some")[0]


def test_all_volumes_are_taken_where_a_word_says_so(folders):
    words = [*folders, "participant", "--features", "timeseries", "volume"]
    assert config(*words, "--volume-length", "all").extract.volume.length == 0
    made = config(*words, "--volume-length", "30", "--volume-zscore").extract.volume
    assert (made.length, made.size, made.pick, made.zscore) == (30, 34, "even", True)


@pytest.mark.parametrize("text", ["0", "-2", "many", "2.5", "", "1e2", "All"])
def test_fewer_than_one_volume_is_refused_by_what_is_taken(folders, text):
    words = [*folders, "participant", "--features", "volume"]
    (said,) = problems(*words, f"--volume-length={text}")
    assert said == f"--volume-length is {text!r}; it takes 1 or more, or all."


def test_a_group_chooses_among_grids(folders):
    assert config(*folders, "group", "--volume-size", "34").cohort.volume_size == 34
    assert config(*folders, "group").cohort.volume_size is None
    assert config(*folders, "group", "--volume-size", "own").cohort.volume_size == 0
    assert config(*folders, "group", "--volume-size", "Own").cohort.volume_size == 0
    (said,) = problems(*folders, "group", "--volume-size", "big")
    assert said.startswith("--volume-size is 'big'; it takes a whole number, or own")
    (said,) = problems(*folders, "group", "--volume-size", "257")
    assert said == "--volume-size is 257; it takes 0 or more and 256 or less."
    (said,) = problems(*folders, "participant", "--volume-size", "own")
    assert said == "--volume-size is 'own'; it takes a whole number."
    (said,) = problems(*folders, "group", "--volume-pick", "even")
    assert said.startswith("--volume-pick acts at participant")


@pytest.fixture
def saved(tmp_path, folders):
    made = config(*folders, "group", "--n-folds", "7", "--target", "dx", "--seed", "3")
    path = tmp_path / "bidsclf.toml"
    path.write_text(tomli_w.dumps(to_plain(made)))
    return path, made


def test_a_saved_run_is_run_again_from_its_file_alone(saved):
    assert config("--config-file", saved[0]) == saved[1]


def test_the_command_line_wins_over_the_file(saved, folders):
    made = config(*folders, "group", "--config-file", saved[0], "--n-folds", "4")
    assert (made.folds.n_folds, made.folds.seed, made.cohort.target) == (4, 3, "dx")


def test_auto_wins_over_a_number_in_the_file(tmp_path, folders):
    path = tmp_path / "a.toml"
    path.write_text("[extract.denoise]\ndummy_scans = 4\n")
    words = [*folders, "participant", "--config-file", path]
    assert config(*words).extract.denoise.dummy_scans == 4
    assert config(*words, "--dummy-scans", "auto").extract.denoise.dummy_scans is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[folds]\nn_flods = 3",
            "unknown setting folds.n_flods. Did you mean 'n_folds'?",
        ),
        ("[folds", "is not TOML"),
        ("folds = 3", "folds is 3; it is a table of settings."),
        ("selection = 3", "selection is 3; it is a table of settings."),
        ("level = 3", "the level is 3"),
        ("bids_dir = 3", "bids_dir is 3"),
        ("[analysis]\nmodels = 'fc-smv'", "fc-svm"),
        ("[extract]\natlases = 3", "--atlases is 3; it takes a list of text."),
    ],
)
def test_a_file_with_a_mistake_is_said_so(tmp_path, folders, text, message):
    path = tmp_path / "a.toml"
    path.write_text(text)
    words = [*folders, "group", "--config-file", path, "--seed", "x"]
    words = words if "level" not in text else ["--config-file", path]
    words = words if "bids_dir" not in text else ["--config-file", path]
    assert message in "\n".join(problems(*words))


def test_everything_wrong_is_said_at_once(folders):
    found = "\n".join(
        problems(
            *("nowhere", folders[1], "grp", "--modls", "fc-svm", "--n-folds", "x"),
            *("--cv", "lso", "--models", "fc-smv", "--mem", "8", "--seed", "-1"),
            *("--high-pass", "1", "--low-pass", ".1", "--nipype-plugin-file", "no.yml"),
        )
    )
    for expected in (
        "no option --modls. Did you mean '--models'?",
        "nowhere is not a folder",
        "the level is 'grp'; it is one of: participant, group, predict.",
        "--n-folds is 'x'; it takes a whole number.",
        "--cv is 'lso'; it is one of: kfold, loso, bootstrap. Did you mean 'loso'?",
        "Did you mean 'fc-svm'?",
        "did you mean 8G?",
        "Swap them?",
        "no.yml does not exist",
    ):
        assert expected in found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["participant", "--n-folds", "3"], "--n-folds acts at group, and this is"),
        (["group", "--high-pass", "1"], "--high-pass acts at participant"),
        (["group", "--atlases", "a", "b"], "--atlases names 2: a b"),
        (["group", "--cv", "loso", "--n-folds", "5"], "one fold a site"),
        (["predict"], "predict needs --model"),
        (["predict", "--model", "no"], "no does not exist"),
        (["participant", "--task-id"], "--task-id takes a value"),
        (["participant", "--space"], "--space takes a value"),
        (["participant", "--config-file"], "--config-file takes a value"),
        (["participant", "--config-file", "no.toml"], "no.toml: No such file"),
        (["participant", "-d", "fmriprep=/no/such"], "--derivatives /no/such does not"),
        (["participant", "--atlases", "no-atlas"], "neither a name nor a file"),
        (["participant", "--denoise-strategy", "simpel"], "Did you mean 'simple'?"),
        (["participant", "--features", "timeserie"], "Did you mean 'timeseries'?"),
        (["participant", "--mem", "lots"], "it takes a size such as 8G"),
        (["participant", "--force=yes"], "--force"),
        (["participant", "more"], "too many words: more"),
        (["participant", "--part", "01"], "no option --part."),
        (["participant", "--force", "--reports-only"], "give one of them"),
    ],
)
def test_a_message_says_what_to_do(folders, words, message):
    assert message in "\n".join(problems(*folders, *words))


def test_missing_words_are_named(folders):
    assert "output_dir, level missing" in problems(folders[0])[0]


def test_derivatives_are_several_and_fmriprep_needs_no_name(folders, tmp_path):
    prep, maps = (tmp_path / name for name in ("prep", "maps"))
    prep.mkdir(), maps.mkdir()
    words = [*folders, "participant", "--features", "graymatter"]
    made = config(*words, "-d", prep, f"cat12={maps}")
    assert (made.derivatives, made.cat12, made.vbm) == (prep, maps, None)
    again = config(*words, "-d", f"VBM={maps}", "--derivatives", f"fmriprep={prep}")
    assert (again.derivatives, again.cat12, again.vbm) == (prep, None, maps)
    path = tmp_path / "saved.toml"
    path.write_text(tomli_w.dumps(to_plain(made)))
    assert config("--config-file", path) == made


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["cta12=P"], "no name 'cta12'; there are: fmriprep, cat12, vbm. Did you mean"),
        (["P", "fmriprep=P"], "--derivatives names fmriprep twice: P fmriprep=P"),
        (["cat12=/no/such"], "-d cat12 /no/such does not exist"),
        (["cat12=P", "vbm=P"], "-d cat12 and -d vbm: maps come from one of them"),
        ([], "--derivatives takes a value"),
        (["vbm=P", "--map-table", "no.tsv"], "--map-table no.tsv does not exist"),
        (["vbm=P", "--map-pattern", "("], "'(' is no regular expression (missing )"),
        (["vbm=P", "--map-pattern", "(.*)"], "'(.*)' has no group named sub"),
        (["P", "--map-pattern", "(?P<sub>1)"], "--map-pattern is for maps of -d cat12"),
        (["P", "--gm-size", "2"], "--gm-size is 2; it takes 4 or more and 256 or less"),
        (["P", "--volume-size", "20"], "--volume-size: --features (graymatter) has no"),
    ],
)
def test_what_is_said_of_maps_is_checked(folders, tmp_path, given, message):
    (tmp_path / "maps").mkdir()
    path = str(tmp_path / "maps")
    words = [word.replace("P", path) if "(" not in word else word for word in given]
    asked = [*folders, "participant", "--features", "graymatter", "-d", *words]
    assert message.replace(" P", f" {path}").replace("=P", f"={path}") in "\n".join(
        problems(*asked)
    ).replace(f"{Path.cwd()}/", "")


def test_maps_without_their_feature_are_refused(folders, tmp_path):
    found = problems(*folders, "participant", "-d", f"cat12={tmp_path / 'bids'}")
    assert (
        "-d cat12: --features (timeseries connectivity) has no 'graymatter'" in found[0]
    )
    found = problems(*folders, "participant", "--gm-smoothing-fwhm", "4")
    assert "has no 'graymatter', so nothing changes" in found[0]


@pytest.mark.parametrize("name", ["cat12", "vbm"])
def test_the_maps_are_never_written_to(folders, tmp_path, name):
    words = [folders[0], f"{tmp_path}/maps/out", "participant"]
    (tmp_path / "maps").mkdir()
    asked = [*words, "--features", "graymatter", "-d", f"{name}={tmp_path}/maps"]
    assert f"lies inside -d {name}" in problems(*asked)[0]


@pytest.mark.parametrize("inside", ["", "derivatives/bidsclf"])
def test_the_input_is_never_written_to(folders, inside):
    out = Path(folders[0], inside)
    assert "lies inside BIDS_DIR" in problems(folders[0], out, "participant")[0]


def test_the_work_folder_stays_out_of_the_derivatives_too(folders, tmp_path):
    (tmp_path / "prep").mkdir()
    words = [*folders, "participant", "-d", f"fmriprep={tmp_path / 'prep'}"]
    found = problems(*words, "-w", tmp_path / "prep" / "work")
    assert "lies inside -d" in found[0]


@pytest.mark.parametrize("level", ["participant", "group"])
@pytest.mark.parametrize(
    ("work", "message"),
    [
        ("bids", "is or holds BIDS_DIR"),
        ("", "is or holds BIDS_DIR"),
        ("bids/work", "lies inside BIDS_DIR"),
        ("out", "is or holds OUTPUT_DIR"),
        ("link", "is or holds BIDS_DIR"),
    ],
)
def test_the_work_folder_is_nobody_s_data(folders, tmp_path, level, work, message):
    (tmp_path / "link").symlink_to(folders[0])
    found = problems(*folders, level, "-w", tmp_path / work)
    assert message in "\n".join(found)


def test_the_work_folder_holds_no_derivatives(folders, tmp_path):
    (tmp_path / "prep" / "fmriprep").mkdir(parents=True)
    words = [*folders, "participant", "-d", f"fmriprep={tmp_path}/prep/fmriprep"]
    assert "is or holds -d" in problems(*words, "-w", tmp_path / "prep")[0]


@pytest.mark.parametrize("level", ["participant", "group"])
def test_the_work_folder_may_lie_in_the_output(folders, level):
    work = Path(folders[1], "work")
    assert config(*folders, level, "-w", work).run.work_dir == work


def test_a_group_that_reads_its_output_may_work_in_it(folders, tmp_path):
    bids = folders[0]
    made = config(bids, bids, "group", "-w", f"{bids}/work")
    assert made.run.work_dir == Path(bids, "work")
    made = config(
        bids, f"{bids}/derivatives/out", "group", "-w", f"{bids}/derivatives/out/w"
    )
    assert made.run.work_dir == Path(bids, "derivatives/out/w")
    found = problems(bids, tmp_path, "participant", "-w", f"{bids}/work")
    assert "lies inside BIDS_DIR" in " ".join(found)


@pytest.mark.parametrize("level", ["participant", "group"])
def test_an_output_that_holds_the_input_is_refused(folders, tmp_path, level):
    assert "holds BIDS_DIR" in problems(folders[0], tmp_path, level)[0]
    (tmp_path / "out" / "fmriprep").mkdir(parents=True)
    words = [*folders, level, "-d", f"fmriprep={tmp_path}/out/fmriprep"]
    assert ("holds -d" in problems(*words)[0]) == (level == "participant")


@pytest.mark.parametrize("level", ["participant", "group"])
@pytest.mark.parametrize("own", ['{"Name": "fMRIPrep"}', "null", '{"Version": "1"}'])
def test_a_dataset_of_another_is_not_written_over(folders, level, own):
    out = Path(folders[1])
    out.mkdir()
    path = out / "dataset_description.json"
    path.write_text(f'{{"Name": "theirs", "GeneratedBy": [{own}]}}')
    assert "is a dataset that bidsclf did not write" in problems(*folders, level)[0]
    path.write_text(f'{{"GeneratedBy": [{own}, {{"Name": "bidsclf"}}]}}')
    assert config(*folders, level).output_dir == out


def test_predictions_have_no_page_to_draw_again(folders, tmp_path):
    (tmp_path / "bundle").mkdir()
    words = [*folders, "predict", "--model", tmp_path / "bundle", "--reports-only"]
    assert "--reports-only acts at participant and group" in problems(*words)[0]


def test_a_link_into_the_input_is_seen_through(folders, tmp_path):
    (tmp_path / "link").symlink_to(folders[0])
    assert (
        "lies inside" in problems(folders[0], tmp_path / "link" / "o", "participant")[0]
    )


def test_an_output_below_a_file_is_refused(folders, tmp_path):
    (tmp_path / "file").touch()
    found = problems(folders[0], tmp_path / "file" / "out", "participant")
    assert "is a file; name a folder" in found[0]


def test_a_folder_that_this_user_cannot_write_to_is_refused(folders, monkeypatch):
    monkeypatch.setattr(
        "os.access", lambda path, mode: False
    )  # root may write anywhere
    assert "cannot be written to by this user" in problems(*folders, "participant")[0]


def test_paths_become_absolute(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.nii.gz").touch()
    made = config("bids", "out", "participant", "--atlases", "mine.nii.gz")
    assert (made.bids_dir, made.output_dir) == (tmp_path / "bids", tmp_path / "out")
    assert made.extract.atlases == (str(tmp_path / "mine.nii.gz"),)


def test_the_help_names_every_option_once():
    text = parser().format_help()
    for option in every():
        assert option.name in text
    assert "_label" not in text


def test_predictions_do_not_land_in_the_analysis_they_come_from(folders, tmp_path):
    (tmp_path / "bundle").mkdir()
    words = [*folders, "predict", "--model", tmp_path / "bundle"]
    assert config(*words).analysis.analysis_id == "predictions"
    assert config(*words, "--analysis-id", "new").analysis.analysis_id == "new"
    assert config(*folders, "group").analysis.analysis_id == "main"


def test_what_is_changed_of_models_is_read_from_words_and_from_a_file(
    folders, tmp_path
):
    words = ["--models", "meanmlp", "--model-settings", "meanmlp:patience=3"]
    words += ["--source", "site != 'NYU'", "--resample-tr", "2.5"]
    made = config(*folders, "group", *words)
    assert made.analysis.settings == ("meanmlp:patience=3",)
    assert (made.cohort.source, made.cohort.resample_tr_s) == ("site != 'NYU'", 2.5)
    path = tmp_path / "run.toml"
    path.write_text(tomli_w.dumps(to_plain(made)))
    assert config("--config-file", path) == made


@pytest.mark.parametrize("level", ["participant", "predict"])
@pytest.mark.parametrize(
    "words",
    [
        ["--model-settings", "meanmlp:patience=3"],
        ["--source", "age < 9"],
        ["--resample-tr", "2"],
        ["--networks", "yeo.nii.gz"],
    ],
)
def test_options_of_the_group_are_refused_elsewhere(folders, level, words):
    said = problems(*folders, level, *words)
    assert f"{words[0]} acts at group, and this is {level}; drop it." in said


def test_what_explains_models_must_be_there(folders, tmp_path):
    (tmp_path / "yeo").mkdir()
    names = ["--networks", tmp_path / "yeo", "--atlas-image", tmp_path / "no.nii"]
    said = problems(*folders, "group", *names, "--decoding-data", tmp_path / "ns")
    assert said == [
        f"--atlas-image {tmp_path / 'no.nii'} does not exist.",
        f"--networks {tmp_path / 'yeo'} is a folder; name a NIfTI file.",
        f"--decoding-data {tmp_path / 'ns'} does not exist.",
    ]
    (tmp_path / "yeo.nii").touch()
    made = config(*folders, "group", "--networks", tmp_path / "yeo.nii")
    assert made.interpret.networks == tmp_path / "yeo.nii"
