"""zarr's own tests of stores, and its state machines, against ours."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import zarr
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test
from zarr.core.buffer import Buffer, cpu
from zarr.testing.stateful import ZarrHierarchyStateMachine, ZarrStoreStateMachine
from zarr.testing.store import StoreTests

from hubzarr.engine.objects import data_path
from hubzarr.session import open_session
from hubzarr.session.store import VersionedStore
from hubzarr.storage import Storage, open_storage
from tests.store.sample import empty_store, memory_url

# Shrinking these machines takes minutes, and the steps that it prints are telling as they are.
STEPS = settings(
    max_examples=12, stateful_step_count=25, phases=(Phase.explicit, Phase.reuse, Phase.generate)
)


class TestVersionedStore(StoreTests[VersionedStore, cpu.Buffer]):
    store_cls = VersionedStore
    buffer_cls = cpu.Buffer

    @pytest.fixture
    def store_kwargs(self, storage: Storage) -> dict[str, Any]:
        return {"session": empty_store(storage).session}

    @pytest.fixture
    def store(self, open_kwargs: dict[str, Any]) -> VersionedStore:
        store = VersionedStore(**open_kwargs)
        store._is_open = True
        return store

    @pytest.fixture
    def store_not_open(self, store_kwargs: dict[str, Any]) -> VersionedStore:
        return VersionedStore(**store_kwargs)

    async def set(self, store: VersionedStore, key: str, value: Buffer) -> None:
        # Past the store: an object of its own, noted where a session notes loose objects.
        session = store.session
        write_id = session.writes.claim(key)
        data = value.to_bytes()
        session.storage.put(data_path(write_id, ".loose") + key, data)
        session.objects[key] = f"{write_id:016x}", len(data)

    async def get(self, store: VersionedStore, key: str) -> Buffer:
        session = store.session
        write_id, size = session.objects[key]
        data = session.storage.get(data_path(int(write_id, 16), ".loose") + key)
        assert len(data) == size
        return self.buffer_cls.from_bytes(data)

    def test_store_repr(self, store: VersionedStore) -> None:
        assert repr(store) == f"VersionedStore({store.session.name!r}, version='main')"
        assert str(store) == f"hubzarr://{store.session.name}:main"

    def test_store_supports_writes(self, store: VersionedStore) -> None:
        assert store.supports_writes

    def test_store_supports_listing(self, store: VersionedStore) -> None:
        assert store.supports_listing

    def test_equal_means_the_same_state(self, store: VersionedStore) -> None:
        copy = pickle.loads(pickle.dumps(store))
        assert copy == store
        store.set_sync("key", self.buffer_cls.from_bytes(b"1"))
        assert copy != store
        assert store != store.with_read_only(True)
        assert store != "store"


class _Hierarchy(ZarrHierarchyStateMachine):
    def __init__(self) -> None:
        super().__init__(empty_store(open_storage(memory_url())))

    # Where a chunk or shard is cut, ours forgets what is cut off and zarr's own does not: both
    # cut between them here, and tests of our own look at the difference.
    @precondition(lambda self: bool(self.all_arrays))
    @rule(data=st.data())
    def resize_array(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(self.all_arrays)))
        model = zarr.open_array(path=path, store=self.model)
        sizes = data.draw(st.tuples(*[st.integers(0, 8) for _ in model.shape]))
        shape = tuple(
            size if size >= old else min(old, -(-size // chunk) * chunk)
            for size, old, chunk in zip(
                sizes, model.shape, model.shards or model.chunks, strict=True
            )
        )
        model.resize(shape)
        zarr.open_array(path=path, store=self.store).resize(shape)


class _Committing(_Hierarchy):
    """The same, each step in a commit, read back through a store of its own."""

    def check_list_prefix_from_root(self) -> None:
        old = self.store.session
        old.sync()
        self.store = VersionedStore(open_session(old.storage, old.version, author="me"))
        super().check_list_prefix_from_root()


# zarr warns about data types without a specification, which its own strategies draw.
@pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")
@pytest.mark.parametrize("machine", [_Hierarchy, _Committing])
def test_hierarchies(machine: type[_Hierarchy]) -> None:
    run_state_machine_as_test(machine, settings=STEPS)


def test_keys_and_bytes(tmp_path: Path) -> None:
    places = iter(range(1000))

    class Keys(ZarrStoreStateMachine):
        def __init__(self) -> None:
            super().__init__(empty_store(open_storage(tmp_path / str(next(places)))))

    run_state_machine_as_test(Keys, settings=STEPS)
