"""What the operating system refuses is said in its words, with the advice that helps."""

import errno
import os

import pytest

from genjax.train.errors import StorageError, advice, reason, storage_errors


@pytest.mark.parametrize(
  ("number", "part"),
  [
    (errno.ENOSPC, r"make room \(\d+ MiB free\), or choose another --workdir"),
    (errno.EDQUOT, r"make room"),
    (errno.EPERM, r"may not be written: change its owner or its rights"),
    (errno.EROFS, r"may not be written"),
    (errno.ENOENT, r"was it moved or deleted\?"),
    (errno.ENOTDIR, r"is missing or a file"),
    (errno.EIO, r"cannot write .*: Input/output error; choose another --workdir"),
  ],
)
def test_to_make_room_is_the_advice_for_a_full_disk_alone(tmp_path, number, part):
  with pytest.raises(StorageError, match=part) as caught, storage_errors(tmp_path / "not" / "there"):
    raise OSError(number, os.strerror(number))
  assert ("make room" in str(caught.value)) == (number in (errno.ENOSPC, errno.EDQUOT))


def test_the_operating_systems_words_come_out_of_what_tensorstore_quotes(tmp_path):
  quoted = ValueError("RESOURCE_EXHAUSTED: Error writing: [OS error 28: ENOSPC No space left on device]")
  assert reason(quoted) == "ENOSPC: No space left on device"
  assert advice(quoted, tmp_path).startswith("make room (")
