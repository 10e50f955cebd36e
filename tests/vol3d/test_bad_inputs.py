"""Every kind of bad scan ends in exit code 2 and one line that says what is wrong and what to do; odd but good ones are read.

The numbers group the kinds: 1-18 files, 19-40 headers and geometry, 41-54 intensities and content; some have several files.
"""

import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.vol3d.scans import SHAPE, as_nobody, ct, dicom, edit, mha, mr, nifti, nifti_of, nrrd
from vol3d.cli.main import main
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_volume

Build = Callable[[Path], "Path | list[str | Path]"]


def _file(name: str, content: bytes) -> Build:
    def build(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return build


def _voxels(change: Callable[[np.ndarray], None], *, dtype: type = np.float32) -> Build:
    """A scan whose voxels were changed; written raw, because `write_volume` refuses most of these."""

    def build(folder: Path) -> Path:
        array = ct().array.astype(dtype)
        change(array)
        return nifti_of(folder, array, datatype={np.float32: 16, np.float64: 64, np.int16: 4, np.uint16: 512, np.int64: 1024, np.uint64: 1280}[dtype])

    return build


def _raw(array: np.ndarray, datatype: int, dims: tuple[int, ...] | None = None) -> Build:
    return lambda folder: nifti_of(folder, array, datatype=datatype, dims=dims)


def _put(index: tuple[int, ...] | slice, value: float) -> Callable[[np.ndarray], None]:
    def change(array: np.ndarray) -> None:
        array[index] = value

    return change


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "scan.nii.gz")
    return folder / "scan.nii.gz"


def _loop(folder: Path) -> Path:
    (folder / "a.nii").symlink_to(folder / "b.nii")
    (folder / "b.nii").symlink_to(folder / "a.nii")
    return folder / "a.nii"


def _dangling(folder: Path) -> Path:
    (folder / "a.nii").symlink_to(folder / "gone.nii")
    return folder / "a.nii"


def _locked(folder: Path) -> Path:
    path = nifti(folder)
    path.chmod(0)
    return path


def _bomb(folder: Path) -> Path:
    path = nifti(folder)
    path.rename(folder / "small.nii")
    data = (folder / "small.nii").read_bytes()
    (folder / "small.nii").unlink()
    bomb = folder / "bomb.nii.gz"
    bomb.write_bytes(gzip.compress(data + bytes(40_000_000), 1))
    return bomb


def _mask(folder: Path, mask: np.ndarray, affine: np.ndarray | None = None) -> list[str | Path]:
    scan = nifti(folder)
    write_volume(Volume(mask, ct().affine if affine is None else affine, "unknown", "a.u."), folder / "mask.nii.gz")
    return [scan, "--mask", folder / "mask.nii.gz"]


def _shifted() -> np.ndarray:
    affine = ct().affine.copy()
    affine[0, 3] += 10
    return affine


def _store(folder: Path, damage: Callable[[Path], object]) -> Path:
    write_volume(ct(), folder / "scan.zarr")
    damage(folder / "scan.zarr")
    return folder / "scan.zarr"


def _sharded(store: Path) -> Path:
    return next(file for file in store.rglob("*") if file.is_file() and file.name != "zarr.json")


def _two_series(folder: Path) -> Path:
    return dicom(folder, SeriesInstanceUID=lambda i: f"1.2.{i % 2}")


def _detached(folder: Path) -> Path:
    return nrrd(folder, name="scan.nhdr", data=b"", data_file="gone.raw.gz")


FILES: dict[str, tuple[Build, str]] = {
    "0 no such file": (lambda f: f / "gone.nii.gz", "no such file"),
    "1 empty file": (_file("scan.nii.gz", b""), "empty"),
    "2 truncated gzip": (lambda f: edit(nifti(f, "a.nii.gz"), cut=9000), "ends too early"),
    "3 gzip without trailer": (lambda f: edit(nifti(f, "a.nii.gz"), cut=8), "ends too early"),
    "3 gzip with half a trailer": (lambda f: edit(nifti(f, "a.nii.gz"), cut=3), "ends too early"),
    "4 wrong checksum": (lambda f: edit(nifti(f, "a.nii.gz"), xor={-6: 1}), "wrong checksum"),
    "5 wrong size field": (lambda f: edit(nifti(f, "a.nii.gz"), xor={-2: 1}), "damaged"),
    "6 flipped bit": (lambda f: edit(nifti(f, "a.nii.gz"), xor={20000: 4}), "damaged"),
    "10 plain data too short": (lambda f: edit(nifti(f), cut=1000), "shorter than the header says"),
    "10 gzip data too short": (lambda f: nifti(f, "a.nii.gz", dim3=30), "shorter than the header says"),
    "10 header cut": (lambda f: edit(nifti(f), cut=len(ct().array.tobytes()) + 300), "shorter than the header says"),
    "12 web page": (_file("scan.nii.gz", b"<!DOCTYPE html><html><body>404</body></html>"), "web page"),
    "12 git lfs pointer": (_file("scan.nii.gz", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "git lfs pull"),
    "12 server message": (_file("scan.nii.gz", b"<?xml version='1.0'?><Error>AccessDenied</Error>"), "download it again"),
    "12 plain text": (_file("scan.nii.gz", b"hello, this is a note about a scan\n"), "plain text"),
    "12 zip": (_file("scan.nii.gz", b"PK\x03\x04" + bytes(100)), "Unpack it"),
    "12 picture": (_file("scan.nii", b"\x89PNG\r\n\x1a\n" + bytes(100)), "picture"),
    "12 zeros": (_file("scan.nii.gz", bytes(5000)), "only zero bytes"),
    "12 gzip of text": (_file("scan.nii.gz", gzip.compress(b"not a scan " * 50)), "plain text"),
    "13 empty folder": (lambda f: f, "no DICOM slice"),
    "13 pipe": (_pipe, "pipe or a device"),
    "13 device": (lambda f: Path("/dev/zero"), "pipe or a device"),
    "14 dangling link": (_dangling, "does not exist"),
    "14 looping link": (_loop, "cannot be opened"),
    "15 header of a petabyte": (lambda f: nifti(f, dim1=30000, dim2=30000, dim3=30000), "27000000000000"),
    "15 gzip header of a terabyte": (lambda f: nifti(f, "a.nii.gz", dim1=1200, dim2=1200, dim3=1200), "shorter than the header says"),
    "15 gzip bomb": (_bomb, "decompression bomb"),
    "17 name too long": (lambda f: f / ("a" * 300), "too long"),
}

HEADERS: dict[str, tuple[Build, str]] = {
    "19 wrong magic": (lambda f: nifti(f, magic=b"n+9\0"), "signature"),
    "19 wrong header size": (lambda f: nifti(f, sizeof_hdr=347), "no scan"),
    "20 no axes": (lambda f: nifti(f, dim0=0), "number of axes"),
    "20 nine axes": (lambda f: nifti(f, dim0=9), "number of axes"),
    "20 axis of zero": (lambda f: nifti(f, dim3=0), "an axis has no voxels"),
    "20 negative axis": (lambda f: nifti(f, dim2=-5), "an axis has no voxels"),
    "20 one axis": (lambda f: nifti(f, dim0=1), "single row"),
    "21 unknown datatype": (lambda f: nifti(f, datatype=9999), "voxel type is unknown"),
    "21 bitpix contradicts": (lambda f: nifti(f, bitpix=32), "contradict"),
    "22 vox_offset 0": (lambda f: nifti(f, vox_offset=0.0), "offset of the voxels"),
    "22 vox_offset NaN": (lambda f: nifti(f, vox_offset=float("nan")), "offset of the voxels"),
    "22 vox_offset past the end": (lambda f: nifti(f, vox_offset=5e6), "shorter than the header says"),
    "23 bogus extension": (lambda f: nifti(f, esize=-16), "extension"),
    "25 nifti pair": (lambda f: nifti(f, "scan.hdr", magic=b"ni1\0"), "pair"),
    "25 analyze": (lambda f: nifti(f, "scan.hdr", magic=b"\0\0\0\0"), "Analyze"),
    "26 no transform": (lambda f: nifti(f, qform_code=0, sform_code=0), "--assume-orientation"),
    "26 nonsense orientation": (lambda f: [nifti(f, qform_code=0, sform_code=0), "--assume-orientation", "XYZ"], "no orientation"),
    "27 sform and qform disagree": (lambda f: nifti(f, qoffset_x=99.0), "two places"),
    "28 pixdim and sform disagree": (lambda f: nifti(f, qform_code=0, pixdim1=2.0), "disagree"),
    "29 singular affine": (lambda f: nifti(f, qform_code=0, srow_x0=0.0, srow_y0=1.5), "cannot be inverted"),
    "30 NaN in the sform": (lambda f: nifti(f, srow_x0=float("nan")), "not numbers"),
    "30 infinite pixdim": (lambda f: nifti(f, pixdim2=float("inf")), "not a number"),
    "30 impossible quaternion": (lambda f: nifti(f, sform_code=0, quatern_b=2.0), "not a rotation"),
    "31 zero spacing": (lambda f: nifti(f, pixdim3=0.0), "zero"),
    "31 negative spacing": (lambda f: nifti(f, pixdim1=-1.5), "negative"),
    "32 sheared axes": (lambda f: nifti(f, qform_code=0, srow_x1=0.2), "sheared"),
    "34 unknown unit": (lambda f: nifti(f, xyzt_units=5), "unit of length"),
    "36 spacing of microns": (lambda f: nifti(f, xyzt_units=3), "implausible"),
    "36 spacing of 50 mm": (lambda f: nifti(f, volume=ct(spacing_mm=(50.0, 1.5, 1.5))), "implausible"),
    "36 extent of 8 mm": (lambda f: nifti(f, volume=ct(spacing_mm=(0.2, 0.2, 0.2))), "field of view"),
    "38 missing slice": (lambda f: dicom(f, ImagePositionPatient=lambda i: [0, 0, 3.0 * i + 3 * (i > 2)]), "1 slices are missing"),
    "38 duplicate slice": (lambda f: dicom(f, ImagePositionPatient=lambda i: [0, 0, 3.0 * max(i, 1)]), "same position"),
    "38 uneven gaps": (lambda f: dicom(f, ImagePositionPatient=lambda i: [0, 0, 3.0 * i + 0.7 * (i > 2)]), "unevenly spaced"),
    "38 tilted gantry": (lambda f: dicom(f, ImagePositionPatient=lambda i: [0, 0.5 * i, 3.0 * i]), "tilted"),
    "38 two series": (_two_series, "2 series"),
    "38 localizer": (lambda f: dicom(f, ImageType=lambda i: ["ORIGINAL", "PRIMARY", "LOCALIZER"]), "localizer"),
    "38 two orientations": (
        lambda f: dicom(f, ImageOrientationPatient=lambda i: [1, 0, 0, 0, 1, 0] if i else [1, 0, 0, 0, 0, -1]),
        "differ in ImageOrientationPatient",
    ),
    "38 two pixel spacings": (lambda f: dicom(f, PixelSpacing=lambda i: [1.5, 1.5 + 0.1 * (i == 3)]), "differ in PixelSpacing"),
    "38 slices without place": (lambda f: dicom(f, ImagePositionPatient=lambda i: None), "no ImagePositionPatient"),
    "38 multi-frame": (lambda f: dicom(f, NumberOfFrames=lambda i: 4), "multi-frame"),
    "38 colour slices": (lambda f: dicom(f, SamplesPerPixel=lambda i: 3), "colours"),
    "38 pixels cut": (lambda f: dicom(f, PixelData=lambda i: bytes(2048 if i else 100)), "cannot be decoded"),
    "38 rescale slope 0": (lambda f: dicom(f, RescaleSlope=lambda i: 0), "rescale"),
    "38 single DICOM file": (lambda f: next(dicom(f).iterdir()), "folder of its series"),
    "39 mask of another shape": (lambda f: _mask(f, np.ones((24, 32, 41), np.uint8)), "another grid"),
    "39 mask at another place": (lambda f: _mask(f, np.ones(SHAPE, np.uint8), _shifted()), "another grid"),
}

CONTENTS: dict[str, tuple[Build, str]] = {
    "41 one NaN": (_voxels(_put((3, 4, 5), np.nan)), "the first at zyx (3, 4, 5)"),
    "42 infinity": (_voxels(_put((0, 0, 7), np.inf)), "the first at zyx (0, 0, 7)"),
    "43 all NaN": (_voxels(_put(slice(None), np.nan)), "No voxel is usable"),
    "43 all zeros": (_voxels(_put(slice(None), 0), dtype=np.int16), "same value 0"),
    "44 slope NaN": (lambda f: nifti(f, scl_slope=float("nan")), "slope or intercept"),
    "44 intercept infinite": (lambda f: nifti(f, scl_inter=float("inf")), "slope or intercept"),
    "45 CT rescaled twice": (lambda f: nifti(f, volume=ct().with_array(ct().array - 1024)), "rescaled twice"),
    "45 CT rescaled twice, -8192": (lambda f: nifti(f, volume=ct().with_array(ct().array - 8192)), "rescaled twice"),
    "45 CT never rescaled": (lambda f: [nifti(f, volume=ct().with_array(ct().array + 1024)), "--modality", "CT"], "never applied"),
    "47 MR called CT": (lambda f: [nifti(f, volume=mr()), "--modality", "CT"], "not look like CT"),
    "47 8-bit pictures called CT": (lambda f: [nifti(f, volume=ct().with_array((ct().array > 0) * np.uint8(200))), "--modality", "CT"], "8-bit"),
    "49 RGB": (_raw(np.zeros((*SHAPE, 3), np.uint8), 128, SHAPE[::-1]), "RGB"),
    "49 complex": (_raw(np.zeros(SHAPE, np.complex64), 32), "complex"),
    "49 128-bit floats": (_raw(np.zeros(SHAPE, np.complex128), 1536), "128-bit"),
    "49 integers beyond 32 bits": (_voxels(_put((0, 0, 0), 2**40), dtype=np.int64), "beyond 32 bits"),
    "50 4D": (_raw(np.zeros((3, *SHAPE), np.int16), 4), "holds 3 volumes"),
    "50 volume that is not there": (lambda f: [nifti_of(f, np.zeros((3, *SHAPE), np.int16), datatype=4), "--volume", "3"], "no such volume"),
    "54 mask with fractions": (lambda f: _mask(f, np.full(SHAPE, 0.5, np.float32)), "whole numbers"),
    "54 mask with negative ids": (lambda f: _mask(f, np.full(SHAPE, -3, np.int16)), "out of range"),
}

FORMATS: dict[str, tuple[Build, str]] = {
    "nrrd with a flipped bit": (lambda f: edit(nrrd(f), xor={20000: 4}), "damaged"),
    "nrrd cut": (lambda f: edit(nrrd(f), cut=100), "ends too early"),
    "nrrd that lies about its size": (lambda f: nrrd(f, sizes="40 32 30"), "shorter than the header says"),
    "nrrd of a petabyte": (lambda f: nrrd(f, sizes="90000 90000 90000"), "729000000000000"),
    "nrrd sizes are words": (lambda f: nrrd(f, sizes="a b c"), "no finite numbers"),
    "nrrd without space": (lambda f: nrrd(f, space=""), "how the voxels lie"),
    "nrrd with vectors": (lambda f: nrrd(f, kinds="vector domain domain"), "colours or vectors"),
    "nrrd as text": (lambda f: nrrd(f, encoding="ascii"), "encoding is not read"),
    "nrrd without byte order": (lambda f: nrrd(f, endian=""), "byte order"),
    "nrrd with singular directions": (lambda f: nrrd(f, space_directions="(1,0,0) (1,0,0) (0,0,2)"), "cannot be inverted"),
    "nrrd without its data file": (_detached, "no such file"),
    "nrrd whose data file is elsewhere": (lambda f: nrrd(f, data=b"", data_file="../../etc/passwd"), "not one file beside it"),
    "nrrd without end of header": (_file("a.nrrd", b"NRRD0004\ntype: short\n"), "lacks the field"),
    "mha with a flipped bit": (lambda f: edit(mha(f), xor={20000: 4}), "damaged"),
    "mha cut": (lambda f: edit(mha(f), cut=100), "ends too early"),
    "mha that lies about its size": (lambda f: mha(f, DimSize="40 32 30"), "shorter than the header says"),
    "mha with zero spacing": (lambda f: mha(f, ElementSpacing="1.5 0 2"), "not positive"),
    "mha without directions": (lambda f: mha(f, TransformMatrix=""), "how the voxels lie"),
    "mha with colours": (lambda f: mha(f, ElementNumberOfChannels="3"), "colours or vectors"),
    "mha whose data file is elsewhere": (lambda f: mha(f, ElementDataFile="/etc/passwd", data=b""), "not one file beside it"),
    "mha without end of header": (_file("a.mha", b"ObjectType = Image\nNDims = 3\n"), "does not end"),
    "zarr with a flipped bit": (lambda f: _store(f, lambda s: edit(_sharded(s), xor={300: 4})), "wrong checksum"),
    "zarr cut": (lambda f: _store(f, lambda s: edit(_sharded(s), cut=7)), "damaged"),
    "zarr without its data": (lambda f: _store(f, lambda s: shutil.rmtree(s / "c")), "cannot be read"),
    "zarr without geometry": (lambda f: _store(f, lambda s: (s / "zarr.json").write_text('{"attributes": {}}')), "where its voxels lie"),
    "zarr with broken metadata": (lambda f: _store(f, lambda s: edit(s / "zarr.json", cut=40)), "where its voxels lie"),
}

BAD = {**FILES, **HEADERS, **CONTENTS, **FORMATS}


@pytest.mark.parametrize("kind", BAD)
def test_bad_scan_is_refused_in_one_line(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    build, words = BAD[kind]
    built = build(tmp_path)
    arguments = [str(part) for part in (built if isinstance(built, list) else [built])]
    before = sorted(tmp_path.rglob("*"))
    code = main(["info", *arguments, "--json"])
    out, err = capfd.readouterr()
    assert code == 2, err
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    assert words in err
    # Which file, and after the problem what to do about it.
    assert any(str(Path(part).parent) in err for part in arguments)
    assert ". " in err.split(": ", 2)[2], err
    assert "Traceback" not in err
    assert sorted(tmp_path.rglob("*")) == before


def test_at_least_forty_kinds_are_covered() -> None:
    # One number may stand for several files here; the tests of reading, writing, resampling and windows cover the rest.
    numbered = {name.split()[0] for name in {**FILES, **HEADERS, **CONTENTS} if not name.startswith("0 ")}
    accepted = {name.split()[0] for name in GOOD}
    elsewhere = {"16", "18", "33", "35", "40", "48", "53", "55"}
    assert len(numbered | accepted | elsewhere) >= 45


def test_unreadable_file_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(nifti(tmp_path, "good.nii")), "--json"]) == 0  # everything is imported while we still may
    path = _locked(tmp_path)
    capfd.readouterr()
    with as_nobody():
        code = main(["info", str(path)])
    _, err = capfd.readouterr()
    assert code == 2
    assert "no permission" in err
    assert err.count("\n") == 1


def test_disk_that_runs_full_under_a_real_command(tmp_path: Path) -> None:
    scan = nifti(tmp_path, volume=ct((32, 48, 48), (3.0, 3.0, 3.0)))
    # A limit on file sizes fails a write in the middle, as a full disk does.
    program = (
        "import resource, signal, sys\n"
        "from vol3d.cli.main import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    arguments = ["segment", str(scan), "--expert", "threshold_ct", "--out", str(tmp_path / "labels.nii.gz"), "--json"]
    done = subprocess.run([sys.executable, "-B", "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "labels.nii.gz" in done.stderr
    assert list(tmp_path.iterdir()) == [scan]


@pytest.mark.parametrize(
    "command", [["ask", "SCAN", "Is there a nodule?"], ["segment", "SCAN", "--expert", "threshold_ct"], ["measure", "SCAN", "--mask", "SCAN"]]
)
def test_other_commands_refuse_in_one_line_too(command: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = edit(nifti(tmp_path, "scan.nii.gz"), cut=8)
    assert main([str(path) if word == "SCAN" else word for word in command]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert f"{path}: the gzip stream ends too early" in err


def _big_endian(folder: Path) -> Path:
    import nibabel

    image = nibabel.Nifti1Image(ct().array.transpose(2, 1, 0), ct().affine[:, [2, 1, 0, 3]], nibabel.Nifti1Header(endianness=">"))
    image.set_data_dtype(np.int16)
    nibabel.save(image, folder / "big.nii.gz")
    assert gzip.decompress((folder / "big.nii.gz").read_bytes())[:4] == struct.pack(">i", 348)
    return folder / "big.nii.gz"


def _nifti2(folder: Path) -> Path:
    import nibabel

    image = nibabel.Nifti2Image(ct().array.transpose(2, 1, 0), ct().affine[:, [2, 1, 0, 3]])
    nibabel.save(image, folder / "two.nii.gz")
    return folder / "two.nii.gz"


def _renamed(folder: Path, real: str, name: str) -> Path:
    return nifti(folder, real).rename(folder / name)


def _members(folder: Path) -> Path:
    data = nifti(folder).read_bytes()
    path = folder / "two_members.nii.gz"
    path.write_bytes(gzip.compress(data[:5000]) + gzip.compress(data[5000:]) + bytes(512))
    return path


def _padded(folder: Path) -> Path:
    scan = ct()
    scan.array[:, :3] = -3024
    return nifti(folder, volume=scan)


# name: (builder, code of the notice or "", whether the voxels equal those of `ct()`)
GOOD: dict[str, tuple[Build, str, bool]] = {
    "7 garbage after the gzip stream": (lambda f: edit(nifti(f, "a.nii.gz"), append=b"garbage"), "trailing_bytes", True),
    "8 plain named gz": (lambda f: _renamed(f, "a.nii", "b.nii.gz"), "plain_by_content", True),
    "9 gzip named nii": (lambda f: _renamed(f, "a.nii.gz", "b.nii"), "gzip_by_content", True),
    "11 plain data longer": (lambda f: edit(nifti(f), append=bytes(99)), "trailing_bytes", True),
    "11 gzip data longer": (lambda f: nifti(f, "a.nii.gz", dim3=23), "trailing_bytes", False),
    "17 odd name": (lambda f: nifti(f, "Müller's scan (1) 肝.nii.gz"), "", True),
    "17 name of other bytes": (lambda f: nifti(f, os.fsdecode(b"scan\xff\xfe.nii.gz")), "", True),
    "17 long name": (lambda f: nifti(f, "n" * 240 + ".nii.gz"), "", True),
    "24 big-endian": (_big_endian, "big_endian", True),
    "25 nifti-2": (_nifti2, "", True),
    "26 orientation given": (lambda f: [nifti(f, qform_code=0, sform_code=0), "--assume-orientation", "LPS"], "assumed_orientation", True),
    "27 accepted by its code": (lambda f: [nifti(f, qoffset_x=99.0), "--accept", "qform_sform_disagree"], "qform_sform_disagree", True),
    "32 oblique": (lambda f: nifti(f, volume=_turned()), "oblique", True),
    "33 rounding of axes": (lambda f: nifti(f, qform_code=0, srow_x1=0.0006), "reorthonormalised", True),
    "34 metres": (lambda f: nifti(f, xyzt_units=1, volume=ct(spacing_mm=(0.002, 0.0015, 0.0015))), "units", True),
    "37 thick slices": (lambda f: nifti(f, volume=ct(spacing_mm=(18.0, 1.5, 1.5))), "anisotropic", True),
    "37 single slice": (lambda f: nifti(f, volume=ct((1, 32, 40))), "single_slice", False),
    "41 NaN filled": (lambda f: [_voxels(_put((0, 0, 0), np.nan))(f), "--nan-policy", "fill"], "filled_nan", False),
    "43 constant accepted": (lambda f: [nifti(f, volume=mr().with_array(np.full(SHAPE, 7, np.int16))), "--accept", "constant"], "constant", False),
    "44 slope 0": (lambda f: nifti(f, scl_slope=0.0, scl_inter=-1024.0), "slope_zero", True),
    "46 padding": (_padded, "padding", False),
    "47 8-bit pictures": (
        lambda f: nifti(f, volume=ct().with_array((ct().array > 0) * np.uint8(200), modality="unknown")),
        "unknown_modality",
        False,
    ),
    "51 trailing axis of 1": (lambda f: nifti(f, dim0=4, dim4=1), "squeezed", True),
    "50 volume picked": (lambda f: [_raw(np.stack([mr().array, ct().array]), 4)(f), "--volume", "1"], "", True),
    "52 a picture": (lambda f: nifti_of(f, ct().array[0], datatype=4), "single_slice", False),
    "gzip in two members": (_members, "", True),
    "dicom": (lambda f: dicom(f), "", False),
    "dicom beside other files": (lambda f: (dicom(f), (f / "series" / "notes.txt").write_text("x"))[0], "ignored_files", False),
}


def _turned() -> Volume:
    angle = np.radians(20)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return ct().with_array(ct().array, affine=turn @ ct().affine)


@pytest.mark.parametrize("kind", GOOD)
def test_odd_but_good_scan_is_read_with_a_notice(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    build, code, same = GOOD[kind]
    built = build(tmp_path)
    arguments = [str(part) for part in (built if isinstance(built, list) else [built])]
    assert main(["info", *arguments, "--json"]) == 0, capfd.readouterr().err
    facts = json.loads(capfd.readouterr().out)
    codes = [warning["code"] for warning in facts["warnings"]]
    assert codes == ([code] if code else []), facts["warnings"]
    if same:
        assert facts["shape_zyx"] == list(SHAPE)
        assert (facts["min"], facts["max"]) == (ct().array.min(), ct().array.max())
        assert facts["modality"] == "CT"
