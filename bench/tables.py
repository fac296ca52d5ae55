"""What the tables of the bench say, from what was measured."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench import boards, missed
from bench.boards import Killed, Load, Shared
from bench.builds import WORKERS, Built
from bench.cost import FEW, QUOTED, SIDE, Cost
from bench.faces import Lap as FacesLap
from bench.faces import Measured
from bench.missed import Count, Fate
from bench.near import FAR, MILLION, NEW, WITHIN
from bench.near import Measured as Near
from bench.pool import BAD_SHARE, TIMEOUT_S, Pace, Peak, Saved
from bench.release import FEW as FEW_CROPS
from bench.release import SIZE, Released
from bench.report import Table
from bench.truth import Look, Rule, Score
from bench.ways import Lap
from pipeline.benchmark import Count as Counted
from pipeline.benchmark import Fate as Decided
from pipeline.benchmark import Judged, Share
from pipeline.benchmark.ways import ANIMEFACE_SCRIPT, CASCADE_SCRIPT

# What is promised of the sandbox with the built-in recipes.
RECALL, PRECISION, COPIES, PEAK_BYTES = 0.93, 0.97, 0.90, 1.5e9
# What is promised of the downloader.
REACHED, SCRAPE_PEAK_BYTES, PER_CORE = 0.95, 300e6, 100
# What is promised of faces on hard pictures as large as originals, with the default recipe and two workers.
TIMES = {ANIMEFACE_SCRIPT: 15, CASCADE_SCRIPT: 6}
ACCEPTED_PRECISION, FOUND_RECALL = 0.98, 0.95
# What is promised of the processes that look for faces.
TWO_PROCESSES, DESPITE_HARM, WORKER_PEAK_BYTES, WORKER_MEGAPIXELS = 1.85, 0.90, 400e6, 36.5
# What is promised of a million hashes, on one core.
PAIRS_S, PAIRS_PEAK_BYTES, NEW_S = 60, 1e9, 1.0
RELEASE_PEAK_BYTES = 500e6  # of 100,000 crops
WEAKEST = 3  # characters that are named
ENOUGH = 10  # faces of a character, below which a share says nothing


def faces_promised(measured: Measured) -> Table:
    """Hold the default recipe's way to find faces against what is promised."""
    rows = [[one.what, one.asked, one.measured, _HOLDS[one.holds]] for one in _of_faces(measured)]
    judged, scaling = measured.judged, measured.scaling
    queued = judged.decided(Decided.QUEUED)
    note = (
        f"The default recipe, `{measured.ours}`, faces from {measured.min_face} pixels on; {len(judged.pictures)} hard "
        f"pictures of {measured.megapixels:.1f} megapixels on average, {queued.faces} faces; in brackets, what a share "
        f"may be in truth (95 %, Wilson). {queued.of_guesses.whole} boxes wait for a person, "
        f"{_waiting(queued)} for each 100 faces; {queued.right} of them are faces. "
        f"Two workers looked at all pictures, then one, then two again; two used {scaling.dearer:.2f} × the processor "
        "time of one: what falls short of 2 × beyond that is waiting, for each other or for a busy machine."
    )
    return Table("What is promised of faces", ["promise", "asked", "measured", "holds"], rows, note, words=4)


def _waiting(queued: Counted) -> str:
    """Say how many boxes a person is shown for each 100 faces."""
    return f"{100 * queued.of_guesses.whole / max(1, queued.faces):.0f}"


def _of_faces(measured: Measured) -> Iterator[Promise]:
    ours = measured.lap(measured.ours)
    for script, times in TIMES.items():
        other = measured.lap(script)
        if ours and other:
            ratio, used = ours.per_second / other.per_second, other.cpu_of_one() / ours.cpu_of_one()
            parts = (f"{paper} {other.cpu_of_one(paper) / ours.cpu_of_one(paper):.1f}" for paper in ours.cpu_s)
            shown = f"{ratio:.1f} × (processor time {used:.1f}: {', '.join(parts)})"
            yield Promise(f"pictures/s, × {script}", f"≥ {times}", shown, ratio >= times)
    faster = measured.scaling.faster
    yield Promise("2 workers, × 1 worker", f"≥ {TWO_PROCESSES}", f"{faster:.2f} ×", faster >= TWO_PROCESSES)
    peak = measured.peak_bytes
    most = f"{peak / 1e6:.0f} MB" if peak else "not measured"
    below = f"< {WORKER_PEAK_BYTES / 1e6:.0f} MB"
    yield Promise("peak memory of a worker", below, most, peak < WORKER_PEAK_BYTES if peak else None)
    accepted, found = _accepted(measured.judged), _found(measured.judged)
    yield _at_least("precision of what is accepted without a person", accepted.of_guesses, ACCEPTED_PRECISION)
    yield _at_least("recall of what is accepted or queued", found.of_faces, FOUND_RECALL)


def _accepted(judged: Judged) -> Counted:
    return judged.decided(Decided.ACCEPTED)


def _found(judged: Judged) -> Counted:
    return judged.decided(Decided.ACCEPTED, Decided.QUEUED)


def _at_least(what: str, share: Share, least: float) -> Promise:
    value, shown = share.value, f"{share.part} of {share.whole}"
    holds = value >= least if value is not None else None
    return Promise(what, f"≥ {least}", f"{_between(share)}, {shown}" if holds is not None else shown, holds)


def _between(share: Share) -> str:
    """Write a share, and between which shares it lies at 95 %."""
    low, high = share.interval or (0.0, 1.0)
    return f"{share.value:.3f} ({low:.3f}–{high:.3f})" if share.value is not None else ""


def release(few: Released, many: Released) -> Table:
    """Tell what a release takes, however large it is."""
    more = many.crops - few.crops
    held = (many.peak_bytes - few.peak_bytes) / more if more else 0.0
    columns = ["crops", "MB on disk", "seconds", "crops/s", "peak MB", "< 500 MB"]
    columns += ["read again, s", "crops/s", "peak MB", "faults"]
    rows = [
        [
            f"{one.crops:,}",
            f"{one.bytes / 1e6:.0f}",
            f"{one.seconds:.0f}",
            f"{one.crops / one.seconds:.0f}",
            f"{one.peak_bytes / 1e6:.0f}",
            _HOLDS[one.peak_bytes < RELEASE_PEAK_BYTES],
            f"{one.verify_s:.0f}",
            f"{one.crops / one.verify_s:.0f}",
            f"{one.verify_peak_bytes / 1e6:.0f}",
            str(one.faults),
        ]
        for one in (few, many)
    ]
    note = (
        f"Different crops of {SIZE} pixels, published in all formats with classes, and read again by `flow verify`; "
        "each by a process of its own, whose peak is what it had resident at most; seconds are those of the processor. "
        f"Beyond what {FEW_CROPS:,} crops take, each crop more holds {held:.0f} bytes."
    )
    return Table("A release in all formats", columns, rows, note)


def faces_speed(measured: Measured) -> Table:
    """Compare what all ways cost, on the pictures that all were shown."""
    scripts = [lap for lap in measured.laps if lap.way in TIMES]
    columns = ["way", "pictures/s", *(f"× {lap.way}" for lap in scripts), "processor s", "peak MB"]
    rows = [
        [
            lap.way,
            f"{lap.per_second:.2f}",
            *(f"{lap.per_second / other.per_second:.1f}" for other in scripts),
            f"{lap.cpu_of_one():.3f}",
            f"{lap.peak_bytes / 1e6:.0f}" if lap.peak_bytes else "",
        ]
        for lap in measured.laps
    ]
    judged = measured.laps[0].judged
    note = (
        f"{len(judged.pictures)} of those pictures, the same ones to all; two workers for each way, with one thread "
        "each, from the file to the boxes; the scripts look at the full size. Processor seconds are for one picture; "
        "the peak is what one worker had resident at most."
    )
    return Table("Faces on originals: what it costs", columns, rows, note)


def faces_found(measured: Measured) -> Table:
    """Compare what all ways find, on the pictures that all were shown."""
    columns = ["way", "precision", "recall", "accepted: precision", "recall", "with queued", "queued a 100 faces"]
    rows = [[lap.way, *_worth(lap)] for lap in measured.laps]
    note = (
        f"{measured.laps[0].judged.count().faces} faces. Precision and recall of a script are of all that it says, "
        "those of kaoset's ways of what is rather a face than none. Then what the rule of the default recipe makes of "
        "it: what it accepts, the recall when a person has seen what is queued, and how much that is."
    )
    return Table("Faces on originals: what is found", columns, rows, note)


def _worth(lap: FacesLap) -> list[str]:
    answer = lap.judged.count()
    said = [_three(answer.precision), _three(answer.recall)]
    if lap.way in TIMES:  # no rule is for them
        return [*said, "", "", "", ""]
    accepted, found, queued = _accepted(lap.judged), _found(lap.judged), lap.judged.decided(Decided.QUEUED)
    return [*said, *map(_three, (accepted.precision, accepted.recall, found.recall)), _waiting(queued)]


def _three(share: float | None) -> str:
    return "" if share is None else f"{share:.3f}"


def ways(title: str, laps: Sequence[Lap]) -> Table:
    """Compare the ways: speed, ratio to each usual script, and what they find."""
    usual = [lap for lap in laps if lap.rule is None]
    columns = ["way", "pictures/s", *(f"× {lap.name}" for lap in usual), "precision", "recall", "F1"]
    rows = []
    for lap in laps:
        ratios = [f"{lap.per_second / other.per_second:.1f}" for other in usual]
        rows.append([lap.name, f"{lap.per_second:.2f}", *ratios, *_quality(lap.score(lap.rule))])
        if lap.rule:
            rows.append(["  and what waits for a person", "", *([""] * len(usual)), *_quality(lap.score(None))])
    pictures = laps[0].pictures
    faces = sum(face.box.width >= one.wanted for one in pictures for face in one.post.truth.faces)
    pixels = sum(one.image.width * one.image.height for one in pictures) / len(pictures) / 1e6
    note = (
        f"{len(pictures)} pictures of {pixels:.1f} megapixels on average, with {faces} faces; one process with one "
        "thread each, from the file to the boxes. The scripts look at the full size. Of kaoset: what it accepts "
        "without a person, then all that it finds."
    )
    return Table(title, columns, rows, note)


def _quality(score: Score) -> list[str]:
    return [f"{score.precision:.3f}", f"{score.recall:.3f}", f"{score.f1:.3f}"]


@dataclass(frozen=True, slots=True)
class Promise:
    """One floor, and what was measured."""

    what: str
    asked: str
    measured: str
    holds: bool | None  # None: a small board, and there was nothing to judge by


def _share(what: str, asked: str, right: int, total: int, least: float = 1.0) -> Promise:
    """Ask for a share of what was planted; of nothing there is none."""
    measured = f"{right} of {total}" + (f" ({right / total:.0%})" if total and least < 1 else "")
    return Promise(what, asked, measured, right >= least * total if total else None)


def promises(built: Built) -> Iterator[Promise]:
    """Hold a build against what is promised."""
    judged = built.judged
    recall, precision = judged.accepted.recall, judged.accepted.precision
    yield Promise("recall of what is accepted", f"≥ {RECALL}", f"{recall:.3f}", recall >= RECALL)
    yield Promise("precision of what is accepted", f"≥ {PRECISION}", f"{precision:.3f}", precision >= PRECISION)
    yield _share("near-copies grouped", f"≥ {COPIES:.0%}", *judged.copies, COPIES)
    strangers = len(judged.wrongly_grouped)
    yield Promise("different pictures grouped", "0", str(strangers), strangers == 0)
    dropped, once = judged.reasons, judged.reposts[0]
    yield _share("bad posts dropped for the right reason", "all", dropped, dropped + len(judged.wrong_reasons))
    yield _share("files of several posts kept once", "all", once, once + len(judged.reposts[1]))
    peak = f"{built.peak_bytes / 1e9:.2f} GB" if built.peak_bytes else "not measured"
    small = built.peak_bytes < PEAK_BYTES if built.peak_bytes else None
    yield Promise(f"peak memory, {WORKERS} workers", f"< {PEAK_BYTES / 1e9} GB", peak, small)


_HOLDS = {True: "yes", False: "NO", None: "–"}


def floors(builds: Sequence[Built]) -> Table:
    """Hold each build against what is promised."""
    rows = [
        [built.recipe.name, one.what, one.asked, one.measured, _HOLDS[one.holds]]
        for built in builds
        for one in promises(built)
    ]
    note = (
        "Accepted: by the recipe's rule, without a person, over all pictures that are looked at. Bad posts: all that "
        "are planted to be dropped, but for copies (their own lines) and decoys (below). Memory: resident, added up "
        "over the whole tree of processes (the command, its workers, the sandbox board) every 0.1 s; pages that they "
        "share count in each."
    )
    columns = ["recipe", "promise", "asked", "measured", "holds"]
    return Table("What is promised, on the whole sandbox", columns, rows, note, words=5)


def stages(builds: Sequence[Built]) -> Table:
    """Give the seconds of each stage."""
    columns, rows = ["stage"], [[str(row["stage"])] for row in builds[0].stages]
    for built in builds:
        columns += [f"{built.recipe.name}: seen", "kept", "seconds"]
        for row, stage in zip(rows, built.stages, strict=True):
            row += [str(stage["seen"]), str(stage["kept"]), f"{stage['seconds']:.1f}"]
    note = f"{WORKERS} workers, a fresh folder, no Prefect, no training; the board's pictures were drawn before."
    return Table("From the list to the release", columns, rows, note)


def ends(builds: Sequence[Built], laps: Sequence[Lap]) -> Table:
    """Give the speed of whole builds, and what came out."""
    rows = [
        ["images scraped", *(str(built.images) for built in builds)],
        ["seconds, all stages", *(f"{built.seconds:.1f}" for built in builds)],
        ["seconds, the whole command", *(f"{built.wall_s:.1f}" for built in builds)],
        ["images/s per core, end to end", *(f"{built.per_core:.2f}" for built in builds)],
        *(
            [f"  × {lap.name}, which only looks", *(f"{built.per_core / lap.per_second:.1f}" for built in builds)]
            for lap in laps
            if lap.rule is None
        ),
        ["faces in the release", *(str(built.stages[-1]["kept"]) for built in builds)],
        ["  of them no drawn face", *(str(built.judged.released.wrong) for built in builds)],
        ["drawn faces that are not in it", *(str(built.judged.released.missed) for built in builds)],
        ["decoys kept out of what is accepted", *("{} of {}".format(*built.judged.decoys) for built in builds)],
    ]
    note = (
        "Drawn faces that are not in it: of pictures that are to be kept, large enough for a crop; one of several "
        "copies is enough."
    )
    return Table("A whole build", ["", *(built.recipe.name for built in builds)], rows, note)


def faces_missed(told: Mapping[str, Sequence[Fate]]) -> Table:
    """Give the shares of faces accepted, and found at all, by what they are like."""
    groups = {name: missed.count(fates) for name, fates in told.items()}
    people = {name: missed.by_character(fates) for name, fates in told.items()}
    rows = []
    for group, counted in next(iter(groups.values())).items():
        if counted.faces:
            rows.append([group, str(counted.faces), *_shares([one[group] for one in groups.values()])])
    for who in _weakest(people.values()):
        rows.append([f"weakest: {who}", str(next(iter(people.values()))[who].faces)])
        rows[-1] += _shares([one[who] for one in people.values()])
    columns = ["drawn faces", "count", *(column for name in told for column in (f"{name}: accepted", "found"))]
    note = (
        "Shares of all drawn faces of that kind. Accepted: without a person. Found: what waits for a person counts too."
    )
    return Table("What is missed", columns, rows, note)


def _weakest(people: Collection[Mapping[str, Count]]) -> list[str]:
    """Name the characters that are accepted least often, over all recipes together."""
    lost = {
        who: sum(1 - one[who].sure / one[who].faces for one in people)
        for who, counted in next(iter(people)).items()
        if counted.faces >= ENOUGH
    }
    return [who for who in sorted(lost, key=lambda who: (-lost[who], who)) if lost[who]][:WEAKEST]


def _shares(counts: Sequence[Count]) -> list[str]:
    return [f"{share:.3f}" for one in counts for share in (one.sure / one.faces, one.found / one.faces)]


def boxes_wrong(judged: Mapping[str, tuple[Sequence[Look], Rule | None]]) -> Table:
    """Count the boxes without a face, by what was drawn there."""
    sure = {name: missed.wrong(looks, rule) for name, (looks, rule) in judged.items()}
    found = {name: missed.wrong(looks, None) for name, (looks, _) in judged.items()}
    rows = [
        [kind, *(str(counts[kind]) for name in judged for counts in (sure[name], found[name]))]
        for kind in sorted({kind for one in found.values() for kind in one})
    ]
    columns = ["kind of picture", *(column for name in judged for column in (f"{name}: accepted", "found"))]
    note = "Boxes that hold no drawn face."
    return Table("What is wrong", columns, rows or [["none", *(["0"] * 2 * len(judged))]], note)


def downloader(paces: Sequence[boards.Pace], shared: Shared, load: Load, killed: Killed) -> Table:
    """Hold the downloader against what is promised."""
    rows = [
        [under, one.what, one.asked, one.measured, _HOLDS[one.holds]]
        for under, promises in (
            *((_runs(pace), _of_pace(pace)) for pace in paces),
            (f"{shared.runs} runs of the same {shared.posts:,} posts", _of_shared(shared)),
            (f"{load.posts:,} posts, {load.hosts} hosts", _of_load(load)),
            (f"{killed.posts:,} posts, {killed.kills} × kill -9", _of_kills(killed)),
        )
        for one in promises
    ]
    seconds = load.scraped.wall_s
    note = (
        "By the boards' own logs, from list to scrape; the runs are processes of their own. "
        f"Rate: {1 / paces[0].gap_s:.0f} requests a second are configured. "
        f"Many hosts: {load.faults:,} of {load.requests:,} answers were wrong (429, 500, 503, stalls, resets, cut and "
        f"short bodies, web pages, empty lists) and {load.wrong:,} posts planted to be dropped; in {seconds:.0f} s. "
        f"Kills: a file whose last byte was on its way when a kill came cannot be known to have arrived; "
        f"{killed.excused} such were asked for again, of {killed.threads} under way at each kill. "
        f"{killed.gone_on_with} times a file was gone on with in its middle; {killed.beyond / killed.bytes:.1%} of all "
        "bytes were sent twice."
    )
    return Table(
        "What is promised of the downloader", ["under", "promise", "asked", "measured", "holds"], rows, note, words=5
    )


def _runs(pace: boards.Pace) -> str:
    return "1 run on one host" if pace.runs == 1 else f"{pace.runs} runs at once on one host"


def _of_pace(pace: boards.Pace) -> Iterator[Promise]:
    yield Promise("of the configured rate", f"≥ {REACHED:.0%}", f"{pace.share:.1%}", pace.share >= REACHED)
    most = f"requests in any {pace.window_s:g} s"
    yield Promise(most, f"≤ {pace.allowed}", str(pace.most), pace.most <= pace.allowed)


def _of_shared(shared: Shared) -> Iterator[Promise]:
    yield _none("pictures asked for again after they had come", shared.twice)
    yield _none("counts in the runs' reports that are wrong", len(shared.miscounted))


def _of_load(load: Load) -> Iterator[Promise]:
    right = load.posts - len(load.strayed)
    yield _share("posts kept, or dropped for the right reason", "all", right, load.posts)
    yield _none("counts in the run's reports that are wrong", len(load.miscounted))
    yield _none("files asked for again after their last word", len(load.again))
    yield _none("files that are not the original, byte for byte", len(load.damaged))
    peak = load.scraped.peak_bytes
    measured = f"{peak / 1e6:.0f} MB" if peak else "not measured"
    yield Promise(
        "peak memory", f"< {SCRAPE_PEAK_BYTES / 1e6:.0f} MB", measured, peak < SCRAPE_PEAK_BYTES if peak else None
    )


def _of_kills(killed: Killed) -> Iterator[Promise]:
    yield _none("files that had come whole and were fetched again", killed.sent_again)
    yield _none("posts listed twice, or not at all", abs(killed.listed - killed.posts))
    strange = len(killed.strayed) + len(killed.damaged) + len(killed.left) + len(killed.differs)
    yield _none("differences to an undisturbed run", strange)


def _none(what: str, count: int) -> Promise:
    return Promise(what, "0", str(count), count == 0)


def fetching(costs: Sequence[Cost]) -> Table:
    """Compare what fetching an image costs."""
    ours = costs[0]
    rows = [[one.way, f"{one.per_core:.0f}", f"{ours.per_core / one.per_core:.2f}"] for one in costs]
    if len(costs) < 3:
        rows.append(["img2dataset, with resizing, as its README says", f"about {QUOTED}", ""])
    note = (
        f"{ours.images} JPEGs of {SIDE} pixels a side from loopback: user and system time of all processes, "
        f"less what {FEW} images take, so that no start is counted. Promised of kaoset: ≥ {PER_CORE}, which "
        f"{'holds' if ours.per_core >= PER_CORE else 'does NOT hold'}. It lists, fetches, checks the MD5, decodes, "
        "hashes, flushes each file to the disk and remembers it; the script writes what comes."
    )
    return Table("What an image costs", ["way", "images/s per core", "kaoset is × faster"], rows, note)


def processes(pace: Pace, peaks: Sequence[Peak]) -> Table:
    """Hold the processes that look for faces against what is promised of them."""
    faster = pace.one_s / pace.two_s
    promised = [
        ("two processes", Promise("× the pace of one", f"≥ {TWO_PROCESSES}", f"{faster:.2f}", faster >= TWO_PROCESSES))
    ]
    for one in pace.harmed:
        under, kept = f"{one.bad / one.pictures:.1%} of the pictures {one.harm}", pace.two_s / one.seconds
        floor = pace.two_s / (pace.two_s + one.bad * 2 * TIMEOUT_S) if one.harm == "loops" else DESPITE_HARM
        holds = kept >= floor if one.bad / one.pictures <= BAD_SHARE else None  # a small board has too few others
        promised.append((under, Promise("of the pace without", f"≥ {floor:.0%}", f"{kept:.0%}", holds)))
        more = one.processor_s / pace.processor_s - 1
        promised.append((under, Promise("more processor time", "", f"{more:.0%}", None)))
        promised.append((under, _none("outcomes that are wrong", one.wrong)))
    for peak in peaks:
        under = f"{peak.megapixels:.0f} megapixels, {peak.format}"
        measured = f"{peak.bytes / 1e6:.0f} MB" if peak.bytes else "not measured"
        promise = Promise("peak memory", "", measured, None)
        if peak.megapixels < WORKER_MEGAPIXELS and peak.bytes:
            asked = f"< {WORKER_PEAK_BYTES / 1e6:.0f} MB"
            promise = Promise("peak memory", asked, measured, peak.bytes < WORKER_PEAK_BYTES)
        promised.append((under, promise))
    rows = [[under, one.what, one.asked, one.measured, _HOLDS[one.holds]] for under, one in promised]
    note = (
        f"{pace.pictures} pictures, whose faces are found and cut; those that do harm are more. What loops is ended "
        f"after {TIMEOUT_S:g} s, and again when it was tried alone: the floor is that of a run that does nothing else "
        "meanwhile. Memory: resident, of one process, for one picture with a face in full; Pillow holds 4 bytes a "
        "pixel, and the pixels are 3 more, so that nothing is promised beyond 36 megapixels."
    )
    columns = ["under", "promise", "asked", "measured", "holds"]
    return Table("What is promised of the processes", columns, rows, note, words=5)


def decoding(saved: Sequence[Saved]) -> Table:
    """Compare a decode for each stage with one for both."""
    rows = [
        [
            one.format,
            f"{one.pixels / 1e6:.1f}",
            f"{one.apart_s * 1e3:.0f}",
            f"{one.together_s * 1e3:.0f}",
            f"{one.apart_s / one.together_s:.2f}",
        ]
        for one in saved
    ]
    columns = ["files", "megapixels", "detect, then crop: ms", "crop where found: ms", "× faster"]
    note = f"Processor time a picture, over {saved[0].pictures} pictures, in one process, without its start."
    return Table("One decode for two stages", columns, rows, note)


def near(measured: Near) -> list[Table]:
    """Hold the search for near hashes against what is promised, and show how it grows."""
    million, asked, scanned = measured.joined[-2], measured.asked, measured.scanned
    all_pairs = f"all pairs of {million.hashes:,} within {WITHIN}"
    some = f"{NEW:,} new against {asked.hashes:,}"
    promised = [
        (all_pairs, Promise("seconds", f"≤ {PAIRS_S}", f"{million.seconds:.1f}", million.seconds <= PAIRS_S)),
        (
            all_pairs,
            Promise(
                "peak memory", "≤ 1 GB", f"{million.peak_bytes / 1e6:.0f} MB", million.peak_bytes <= PAIRS_PEAK_BYTES
            ),
        ),
        (some, Promise("seconds", f"≤ {NEW_S:g}", f"{asked.seconds:.2f}", asked.seconds <= NEW_S)),
    ]
    if asked.missed is not None:
        promised.append((some, _none("answers that are not those of faiss", asked.missed)))
    if scanned is not None:
        compared = f"the pairs of {scanned.asked:,} of these"
        promised.append((compared, _none("pairs that are not those of faiss", scanned.missed)))
    rows = [[under, one.what, one.asked, one.measured, _HOLDS[one.holds]] for under, one in promised]
    held = Table("What is promised of near hashes", ["under", "promise", "asked", "measured", "holds"], rows, words=5)
    grows = [
        [f"{one.hashes:,}", f"{one.seconds:.1f}", f"{one.pairs:,}", f"{one.peak_bytes / 1e6:.0f}"]
        for one in measured.joined
    ]
    grows.append([f"{FAR * MILLION:,}, told by the growth", f"{measured.far_s:.0f}", "", ""])
    columns = ["hashes", "seconds", f"pairs within {WITHIN}", "peak memory, MB"]
    note = (
        f"Seconds of one core; half of the hashes are planted copies, a tenth of all agrees in one quarter. The time "
        f"grows with the number of hashes to the power of {measured.slope:.2f}; where all are compared with all, of 2."
    )
    return [held, _beside(measured), Table("How the search for pairs grows", columns, grows, note)]


def _beside(measured: Near) -> Table:
    """Compare with comparing all with all."""
    million, asked, scanned = measured.joined[-2], measured.asked, measured.scanned
    rows = [
        ["kaoset, all pairs", f"{million.seconds:.2f}", "1.0"],
        [f"kaoset, {asked.new:,} new", f"{asked.seconds:.3f}", "1.0"],
        ["kaoset, one more", f"{asked.one_s:.4f}", ""],
        ["kaoset, writing the index", f"{asked.built_s:.2f}", ""],
    ]
    if scanned is not None:
        measured_part = f"faiss, pairs of {scanned.asked:,}: measured"
        rows.append([measured_part, f"{scanned.seconds:.1f}", ""])
        told = "faiss, all pairs" if scanned.asked == scanned.hashes else "faiss, all pairs: told by rule of three"
        rows.append([told, f"{scanned.whole_s:.0f}", f"{scanned.whole_s / million.seconds:.1f}"])
    if asked.scan_s is not None:
        rows.append([f"faiss, {asked.new:,} new", f"{asked.scan_s:.2f}", f"{asked.scan_s / asked.seconds:.1f}"])
    note = (
        f"{million.hashes:,} hashes, within {WITHIN} bits, seconds of one core. Of faiss it is IndexBinaryFlat, which "
        "compares all with all in native code"
    )
    note += "." if scanned is not None else "; it is not installed here (`kaoset[bench]`)."
    return Table("Near hashes, beside a plain scan", ["way", "seconds", "kaoset is × faster"], rows, note)
