"""Reading: the same voxels and places whatever the format, orientation or type; strictness is in `test_bad_inputs`."""

import itertools
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vol3d.scans import SHAPE, SPACING_MM, ct, dicom, mr, nifti
from vol3d.errors import ConfigError, IntensityError, VolumeError
from vol3d.volume import inflate
from vol3d.volume.files import open_regular
from vol3d.volume.geometry import from_nifti, make_affine
from vol3d.volume.read import read_mask, read_volume
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_volume

ORIENTATIONS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))


def _reoriented(scan: Volume, order: tuple[int, ...], signs: tuple[int, ...]) -> Volume:
    """The same scan stored with permuted and reversed axes."""
    array = scan.array.transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
    affine = scan.affine[:, [*order, 3]].copy()
    for axis, sign in enumerate(signs):
        if sign < 0:
            affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
            affine[:3, axis] *= -1
    return scan.with_array(np.ascontiguousarray(array), affine=affine)


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_all_48_orientations_give_the_same_canonical_tensor(order: tuple[int, ...], signs: tuple[int, ...], tmp_path: Path) -> None:
    stored = _reoriented(ct(), order, signs)
    write_volume(stored, tmp_path / "scan.nii.gz")
    read = read_volume(tmp_path / "scan.nii.gz")
    assert read.orientation == stored.orientation
    assert read.notices == ()
    canonical = read.canonical()
    assert np.array_equal(canonical.array, ct().array)
    assert np.allclose(canonical.affine, ct().affine, atol=1e-4)


def test_first_voxel_of_each_orientation_is_where_nibabel_says(tmp_path: Path) -> None:
    for order, signs in ORIENTATIONS[::7]:
        write_volume(_reoriented(ct(), order, signs), tmp_path / "scan.nii.gz")
        image = nibabel.load(tmp_path / "scan.nii.gz")
        read = read_volume(tmp_path / "scan.nii.gz")
        assert np.array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), read.array)
        assert np.allclose(from_nifti(image.affine), read.affine, atol=1e-4)
        assert np.allclose(image.get_qform(), image.get_sform(), atol=1e-4)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan.nrrd", "scan.mha", "scan.mhd", "scan.nhdr"])
@pytest.mark.parametrize("pixel", [SimpleITK.sitkInt16, SimpleITK.sitkUInt16, SimpleITK.sitkInt32, SimpleITK.sitkFloat32])
@pytest.mark.parametrize("packed", [True, False])
def test_files_of_simpleitk_are_read_as_simpleitk_reads_them(name: str, pixel: int, packed: bool, tmp_path: Path) -> None:
    angle = np.radians(11)
    image = SimpleITK.Cast(SimpleITK.GetImageFromArray(mr().array), pixel)
    image.SetSpacing(SPACING_MM[::-1])
    image.SetOrigin((3.0, -40.0, 7.5))
    image.SetDirection((np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle), 0, 0, 0, 1))
    SimpleITK.WriteImage(image, str(tmp_path / name), packed)
    read = read_volume(tmp_path / name)
    assert np.array_equal(read.array, mr().array)
    for index in ((0, 0, 0), (23, 31, 39), (5, 1, 30)):
        lps = np.array(image.TransformIndexToPhysicalPoint(index[::-1]))
        assert np.allclose((read.affine @ [*index, 1])[:3], lps * [-1, -1, 1], atol=1e-3)


@pytest.mark.parametrize("code", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.float32, np.float64])
def test_every_real_type_is_held_exactly_in_a_small_one(code: type, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 100, SHAPE).astype(code)
    nibabel.save(nibabel.Nifti1Image(values.transpose(2, 1, 0), from_nifti(ct().affine), dtype=code), tmp_path / "a.nii.gz")
    read = read_volume(tmp_path / "a.nii.gz")
    assert read.array.dtype == np.int16
    assert np.array_equal(read.array, values)
    assert read.header["stored_dtype"] == np.dtype(code).name


def test_fractions_stay_floats_and_slope_is_applied(tmp_path: Path) -> None:
    path = nifti(tmp_path, scl_slope=0.5, scl_inter=-3.0, volume=mr())
    read = read_volume(path)
    assert read.array.dtype == np.float32
    assert np.array_equal(read.array, mr().array * np.float32(0.5) - 3)
    whole = read_volume(nifti(tmp_path, scl_slope=1.0, scl_inter=-1024.0, volume=ct().with_array((ct().array + 1024).astype(np.uint16))))
    assert whole.array.dtype == np.int16
    assert np.array_equal(whole.array, ct().array)


@given(
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 5.0)] * 3),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
    seed=st.integers(0, 2**32 - 1),
    suffix=st.sampled_from([".nii", ".nii.gz", ".zarr"]),
    dtype=st.sampled_from([np.uint8, np.int16, np.int32, np.float32]),
)
@settings(max_examples=60, deadline=None)
def test_write_then_read_is_the_identity(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float],
    seed: int,
    suffix: str,
    dtype: type,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    values = np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)
    scan = Volume(values, make_affine(spacing, origin), "MR", "a.u.")
    path = tmp_path_factory.mktemp("trip") / f"scan{suffix}"
    write_volume(scan, path)
    read = read_volume(path, accept=("constant", "implausible_extent"))
    assert read.modality == "MR"
    assert np.array_equal(read.numpy(), values)
    assert np.allclose(read.affine, scan.affine, rtol=1e-6, atol=1e-4)
    assert list(path.parent.iterdir()) == [path]


@given(position=st.integers(0, 10**9), bit=st.integers(0, 7), backend=st.sampled_from(["isal", "zlib"]))
@settings(max_examples=60, deadline=None)
def test_no_flipped_bit_gives_wrong_voxels(position: int, bit: int, backend: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    import zlib

    if backend == "isal":
        pytest.importorskip("isal")
    path = nifti(tmp_path_factory.mktemp("flip"), "scan.nii.gz")
    data = bytearray(path.read_bytes())
    data[10 + position % (len(data) - 10)] ^= 1 << bit
    path.write_bytes(bytes(data))
    with pytest.MonkeyPatch.context() as patch:
        if backend == "zlib":
            patch.setattr(inflate, "_zlib", zlib)
        try:
            read = read_volume(path)
        except VolumeError:
            return
    # Deflate has bits that mean nothing (the length of a code that never occurs): the data are whole, and so is the scan.
    assert np.array_equal(read.array, ct().array)
    assert np.array_equal(read.affine, ct().affine)


@given(share=st.floats(0.0, 1.0, exclude_max=True))
@settings(max_examples=40, deadline=None)
def test_no_truncation_is_read(share: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = nifti(tmp_path_factory.mktemp("cut"), "scan.nii.gz")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(VolumeError):
        read_volume(path)


def test_standard_library_alone_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zlib

    path = nifti(tmp_path, "scan.nii.gz")
    monkeypatch.setattr(inflate, "_zlib", zlib)
    assert np.array_equal(read_volume(path).array, ct().array)


def test_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = nifti(tmp_path)

    def read_while_it_grows() -> None:
        with open_regular(path) as file:
            file.read(100)
            with path.open("ab") as writer:
                writer.write(b"more")

    with pytest.raises(VolumeError, match="changed while"):
        read_while_it_grows()


def test_dicom_series_is_sorted_by_position_and_rescaled_per_slice(tmp_path: Path) -> None:
    series = dicom(tmp_path, RescaleIntercept=lambda i: -1024 + i)
    read = read_volume(series)
    truth = ct((6, 32, 32), (3.0, 1.5, 1.5)).array + np.arange(6)[:, None, None]
    assert np.array_equal(read.array, truth)
    assert read.spacing_mm == (3.0, 1.5, 1.5)
    assert read.orientation == "LPS"
    assert read.modality == "CT"
    assert np.allclose(read.affine[:3, 3], [20, 24, 0])


def test_dicom_feet_first_order_does_not_turn_the_patient(tmp_path: Path) -> None:
    upright = read_volume(dicom(tmp_path)).canonical()
    (tmp_path / "down").mkdir()
    turned = read_volume(dicom(tmp_path / "down", ImagePositionPatient=lambda i: [-20.0, -24.0, -3.0 * i])).canonical()
    assert np.array_equal(turned.array, upright.array[::-1])


def test_lossless_jpeg_slices_are_decoded_by_itk(tmp_path: Path) -> None:
    import pydicom

    series = dicom(tmp_path)
    truth = read_volume(series).array
    for path in series.iterdir():
        image = SimpleITK.ReadImage(str(path))
        narrow = SimpleITK.Cast(image, SimpleITK.sitkInt16)
        for key in image.GetMetaDataKeys():
            narrow.SetMetaData(key, image.GetMetaData(key))
        writer = SimpleITK.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetUseCompression(True)
        writer.SetCompressor("JPEG")
        writer.SetFileName(str(path))
        writer.Execute(narrow)
        assert pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.70"
    assert np.array_equal(read_volume(series).array, truth)


def test_padding_becomes_air_and_stays_known(tmp_path: Path) -> None:
    scan = ct()
    scan.array[:, :3] = -3024
    read = read_volume(nifti(tmp_path, volume=scan))
    assert read.header["padding_value"] == -3024
    assert (read.array[:, :3] == -1024).all()
    assert np.array_equal(read.array[:, 3:], scan.array[:, 3:])


def test_nan_fill_takes_the_darkest_value(tmp_path: Path) -> None:
    values = mr().array.astype(np.float32)
    values[2, 3, 4] = np.nan
    nibabel.save(nibabel.Nifti1Image(values.transpose(2, 1, 0), from_nifti(mr().affine)), tmp_path / "a.nii")
    with pytest.raises(IntensityError, match="NaN"):
        read_volume(tmp_path / "a.nii")
    read = read_volume(tmp_path / "a.nii", nan_policy="fill")
    assert read.array[2, 3, 4] == mr().array.min()
    assert [notice.code for notice in read.notices] == ["filled_nan"]


def test_empty_mask_is_a_valid_mask_but_no_scan(tmp_path: Path) -> None:
    path = tmp_path / "mask.nii.gz"
    write_volume(Volume(np.zeros(SHAPE, np.uint8), ct().affine, "unknown", "a.u."), path)
    assert not read_mask(path).array.any()
    with pytest.raises(IntensityError, match="same value"):
        read_volume(path)


def test_float_mask_of_whole_numbers_becomes_labels(tmp_path: Path) -> None:
    labels = (mr().array % 3).astype(np.float64)
    nibabel.save(nibabel.Nifti1Image(labels.transpose(2, 1, 0), from_nifti(ct().affine)), tmp_path / "m.nii.gz")
    mask = read_mask(tmp_path / "m.nii.gz")
    assert mask.array.dtype == np.uint8
    assert np.array_equal(mask.array, labels)


def test_accept_knows_its_codes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rescaled_twice"):
        read_volume(nifti(tmp_path), accept=("everything",))


REAL = {
    "ct_torso.nii.gz": ("CT", (112, 101, 122), "RAS"),
    "ct_abdomen_slab.nii.gz": ("CT", (30, 101, 122), "RAS"),
    "ct_chest_crop.nii.gz": ("CT", (112, 102, 122), "LPS"),
    "ct_dicom": ("CT", (20, 512, 512), "LPS"),
    "mr_abdomen_slab.nii.gz": ("MR", (20, 91, 117), "LPS"),
    "mr_brain_tumour.nrrd": ("MR", (25, 256, 256), "LAS"),
}


@pytest.mark.parametrize("name", REAL)
def test_real_scans_are_read_without_a_word(name: str, shared_real: Path) -> None:
    scan = read_volume(shared_real / name)
    assert (scan.modality, scan.shape, scan.orientation) == REAL[name]
    assert scan.notices == ()
    assert scan.array.dtype == np.int16


def test_real_masks_lie_on_their_scans(shared_real: Path) -> None:
    from vol3d.volume.geometry import same_grid

    for scan_name, mask_name in (
        ("ct_abdomen_slab.nii.gz", "ct_abdomen_slab_totalseg.nii.gz"),
        ("mr_brain_tumour.nrrd", "mr_brain_tumour_mask.nrrd"),
    ):
        scan, mask = read_volume(shared_real / scan_name), read_mask(shared_real / mask_name)
        assert same_grid(scan.shape, scan.affine, mask.shape, mask.affine)
    assert int((mask.array > 0).sum()) == 4137
    elsewhere = read_mask(shared_real / "mask_on_another_grid.nii.gz")
    scan = read_volume(shared_real / "ct_chest_crop.nii.gz")
    assert not same_grid(scan.shape, scan.affine, elsewhere.shape, elsewhere.affine)


def test_real_ct_rescaled_twice_is_recognised(shared_real: Path, tmp_path: Path) -> None:
    for name in ("ct_torso.nii.gz", "ct_chest_crop.nii.gz", "ct_abdomen_slab.nii.gz"):
        scan = read_volume(shared_real / name)
        for shift in (-1024, -8192):
            image = nibabel.Nifti1Image((scan.array.astype(np.int32) + shift).transpose(2, 1, 0), from_nifti(scan.affine), dtype=np.int32)
            nibabel.save(image, tmp_path / "twice.nii.gz")
            with pytest.raises(IntensityError, match="rescaled twice"):
                read_volume(tmp_path / "twice.nii.gz")


def test_reading_needs_little_more_than_the_array_itself(tmp_path: Path) -> None:
    import tracemalloc

    scan = ct((120, 256, 256))
    write_volume(scan, tmp_path / "scan.nii.gz")
    read_volume(nifti(tmp_path, "small.nii.gz"))  # imports
    tracemalloc.start()
    read = read_volume(tmp_path / "scan.nii.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(read.array, scan.array)
    # The array is 15.7 MB; the histogram's sample and the pieces of the stream take the rest.
    assert peak < scan.array.nbytes + 12e6
