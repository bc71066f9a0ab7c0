"""Thin shells around the work: read, call, write."""

from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from bidsclf import __version__
from bidsclf.config import ExtractConfig, from_plain
from bidsclf.scan import GreyMap, Scan
from bidsclf.workflows._run import attempt


class _Versioned(BaseInterfaceInputSpec):
    # Nipype's cache key is the inputs alone; this makes a release a new key.
    version = traits.Str(__version__, usedefault=True, desc="bidsclf version")
    unit = traits.Str(mandatory=True, desc="name of the unit of work")
    notes = traits.Str(mandatory=True, desc="folder where word of it is left")


class _Ended(TraitedSpec):
    state = traits.Str(desc="'done' or 'failed'")


class _ExtractInput(_Versioned):
    scan = traits.Dict(mandatory=True, desc="Scan.to_dict")
    config = traits.Dict(mandatory=True, desc="the ExtractConfig, plain")
    key = traits.Str(mandatory=True, desc="hashes of settings and inputs")
    out = traits.Str(mandatory=True, desc="output folder")
    cache = traits.Str(mandatory=True, desc="folder of resampled atlases")


class Extract(SimpleInterface):
    """A scan to its features, all atlases at once (``features._pass``)."""

    input_spec = _ExtractInput
    output_spec = _Ended
    always_run = True  # what is done is known from the output, not from a cache

    def _run_interface(self, runtime: Any) -> Any:
        from bidsclf.workflows import _scans  # nilearn: only where scans are read

        given = self.inputs
        job = _scans.ScanJob(
            scan=Scan.from_dict(given.scan),
            config=from_plain(ExtractConfig, given.config),
            unit=given.unit,
            key=given.key,
            out=Path(given.out),
            notes=Path(given.notes),
            cache=Path(given.cache),
        )
        self._results["state"] = _scans.process(job).state
        return runtime


class _ExtractMapInput(_Versioned):
    grey = traits.Dict(mandatory=True, desc="GreyMap.to_dict")
    config = traits.Dict(mandatory=True, desc="the ExtractConfig, plain")
    key = traits.Str(mandatory=True, desc="hashes of settings and inputs")
    out = traits.Str(mandatory=True, desc="output folder")


class ExtractMap(SimpleInterface):
    """A grey-matter map to a small cube (``features.graymatter``)."""

    input_spec = _ExtractMapInput
    output_spec = _Ended
    always_run = True

    def _run_interface(self, runtime: Any) -> Any:
        from bidsclf.workflows import _greymaps

        given = self.inputs
        job = _greymaps.MapJob(
            grey=GreyMap.from_dict(given.grey),
            config=from_plain(ExtractConfig, given.config),
            unit=given.unit,
            key=given.key,
            out=Path(given.out),
            notes=Path(given.notes),
        )
        self._results["state"] = _greymaps.process(job).state
        return runtime


class _PageInput(_Versioned):
    participant = traits.Str(mandatory=True, desc="sub-01")
    out = traits.Str(mandatory=True, desc="output folder")


class Page(SimpleInterface):
    """A participant's files to a page (``report.participant``)."""

    input_spec = _PageInput
    output_spec = _Ended
    always_run = True

    def _run_interface(self, runtime: Any) -> Any:
        from bidsclf.report.participant import participant_page  # matplotlib

        given = self.inputs
        self._results["state"] = attempt(
            given.unit,
            Path(given.notes),
            lambda: [participant_page(Path(given.out), given.participant)],
        ).state
        return runtime


class _PrepareInput(_Versioned):
    model = traits.Str(mandatory=True, desc="a model that takes these rows")
    cohort = traits.Dict(mandatory=True, desc="the CohortConfig, plain")
    work = traits.Str(mandatory=True, desc="work folder of the analysis")
    out = traits.Str(mandatory=True, desc="seam 1")


class Prepare(SimpleInterface):
    """An input to rows that all folds share (``workflows._fits``)."""

    input_spec = _PrepareInput
    output_spec = _Ended
    always_run = True

    def _run_interface(self, runtime: Any) -> Any:
        from bidsclf.workflows import _fits

        given = self.inputs
        work, out = Path(given.work), Path(given.out)
        self._results["state"] = attempt(
            given.unit,
            Path(given.notes),
            lambda: _fits.prepare(work, out, given.cohort, given.model),
        ).state
        return runtime


class _JobInput(_Versioned):
    job = traits.Dict(mandatory=True, desc="the Job, plain")
    work = traits.Str(mandatory=True, desc="work folder of the analysis")
    analysis = traits.Str(mandatory=True, desc="folder of the analysis")
    use_gpu = traits.Bool(False, usedefault=True, desc="nipype schedules GPU slots")
    prepared = traits.Str(desc="state of the rows: waits for them")


class Work(SimpleInterface):
    """A Job: a fold fitted or permuted, or an input screened (``workflows._fits``)."""

    input_spec = _JobInput
    output_spec = _Ended
    always_run = True

    def _run_interface(self, runtime: Any) -> Any:
        from bidsclf.workflows import _fits, _jobs

        given = self.inputs
        job = _jobs.Job(**given.job)
        work, analysis = Path(given.work), Path(given.analysis)
        self._results["state"] = attempt(
            given.unit, Path(given.notes), lambda: _fits.do(work, analysis, job)
        ).state
        return runtime


class _MergeInput(_Versioned):
    jobs = traits.List(traits.Dict, mandatory=True, desc="the Jobs, plain")
    about = traits.Dict(mandatory=True, desc="more of analysis.json")
    work = traits.Str(mandatory=True, desc="work folder of the analysis")
    analysis = traits.Str(mandatory=True, desc="folder of the analysis")


class Merge(SimpleInterface):
    """All scores to predictions."""

    input_spec = _MergeInput
    output_spec = _Ended
    always_run = True

    def _run_interface(self, runtime: Any) -> Any:
        from bidsclf.workflows import _jobs, _tables

        given = self.inputs
        jobs = [_jobs.Job(**job) for job in given.jobs]
        work, analysis = Path(given.work), Path(given.analysis)
        self._results["state"] = attempt(
            given.unit,
            Path(given.notes),
            lambda: _tables.merge(work, analysis, jobs, given.about),
        ).state
        return runtime


class _TableInput(_Versioned):
    job = traits.Dict(mandatory=True, desc="the TableJob, plain")
    after = traits.Str(desc="state of the table that this one is made of")


class Table(SimpleInterface):
    """Predictions to tables that follow from them (``evaluate``)."""

    input_spec = _TableInput
    output_spec = _Ended
    always_run = True

    def _run_interface(self, runtime: Any) -> Any:
        from bidsclf.workflows import _jobs, _tables

        given = self.inputs
        job = _jobs.TableJob.of(given.job)
        self._results["state"] = attempt(
            given.unit, Path(given.notes), lambda: _tables.make(job)
        ).state
        return runtime


class _AnalysisInput(_Versioned):
    analysis = traits.Str(mandatory=True, desc="folder of the analysis")


class Places(SimpleInterface):
    """Regions and communities to their places (``workflows._placing``)."""

    input_spec = _AnalysisInput
    output_spec = _Ended
    always_run = True

    def _run_interface(self, runtime: Any) -> Any:
        from bidsclf.workflows import _placing

        given = self.inputs
        self._results["state"] = attempt(
            given.unit, Path(given.notes), lambda: _placing.place(Path(given.analysis))
        ).state
        return runtime


class GroupPage(SimpleInterface):
    """The tables of an analysis to a page (``report.group``)."""

    input_spec = _AnalysisInput
    output_spec = _Ended
    always_run = True

    def _run_interface(self, runtime: Any) -> Any:
        from bidsclf.report.group import group_page  # matplotlib

        given = self.inputs
        self._results["state"] = attempt(
            given.unit,
            Path(given.notes),
            lambda: [group_page(Path(given.analysis))],
        ).state
        return runtime
