import pytest

from benchmarks.topology import lacking


@pytest.fixture(scope="module")
def pool_folder(tmp_path_factory):
    """A folder for a pool; skips where PostgreSQL or Redis is not on the machine."""
    if lack := lacking():
        pytest.skip(f"needs {', '.join(lack)}")
    folder = tmp_path_factory.mktemp("pool")
    # pytest's folders are closed to PostgreSQL's user, who is not root.
    for path in (folder, folder.parent, folder.parent.parent):
        path.chmod(0o711)
    return folder
