"""What several pages say of a release: its number, how it moved, what changed, its metrics."""

from registry.catalog import pictures
from registry.catalog.pictures import Sparkline
from registry.core import versioning
from registry.core.values import Kind
from registry.core.wording import plural
from registry.release.history import Release
from registry.release.overview import Overview


def is_good(release: Release) -> bool:
    """Whether it can be used: readable, neither withdrawn nor faulty."""
    return release.version is not None and not (release.withdrawn or release.fault)


def latest_good(one: Overview) -> Release | None:
    """The latest release that is neither withdrawn nor faulty."""
    return next(filter(is_good, one.releases), None)


def amount(release: Release | None) -> str:
    """The number that says most of a release: its images, or the metric that models are compared by."""
    if release is None or release.version is None:
        return ""
    build = release.version.build
    return plural(build.images, "image") if build else " ".join(_headline(release)[:2])


def _headline(release: Release) -> tuple[str, str, float]:
    metrics = release.version.metrics if release.version else {}
    return next(
        ((name, f"{value:.4g}", value) for name, value in metrics.items() if isinstance(value, float)), ("", "", 0)
    )


def line(one: Overview) -> Sparkline | None:
    """The images of a dataset, or the headline of a model, over its good releases, oldest first."""
    good = [release for release in reversed(one.releases) if is_good(release)]
    if one.artifact.kind is Kind.DATASET:
        values = [float(release.version.build.images) for release in good if release.version and release.version.build]
        what = "images"
    else:
        found = [_headline(release) for release in good]
        values, what = [value for name, _, value in found if name], next((name for name, _, _ in found if name), "")
    return pictures.sparkline(values, f"{what} over {plural(len(values), 'release')}") if values else None


def before(one: Overview, release: Release) -> Release | None:
    """The release before this one, of those that can be read."""
    return next((earlier for earlier in one.releases if earlier.tag < release.tag and earlier.version), None)


def changes(one: Overview, release: Release) -> str:
    """What changed since the release before, as Git has it."""
    earlier = before(one, release)
    if earlier is None or earlier.version is None or release.version is None:
        return "" if earlier else "the first release"
    found = versioning.required_bumps(earlier.version.content, release.version.content, None)
    was, now = earlier.version.build, release.version.build
    images = [f"{was.images:,} → {plural(now.images, 'image')}"] if was and now and was.images != now.images else []
    return ", ".join([*images, *(required.what for required in found)]) or "no change in Git"


def numbers(release: Release) -> dict[str, str]:
    """The metrics of the whole test set; those of classes have a dot in their names."""
    metrics = release.version.metrics if release.version else {}
    return {
        name: f"{value:.4g}" for name, value in metrics.items() if isinstance(value, int | float) and "." not in name
    }
