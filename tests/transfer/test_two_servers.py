"""One URL on two servers is two places."""

from __future__ import annotations

import numpy as np

import hubzarr as hub
from tests.servers.stores import request


def test_a_copy_to_the_same_bucket_of_another_server_takes_the_chunks_along(s3, s3_moto):
    url = s3.url("x")
    request(f"{s3_moto.endpoint}/{url.split('/')[2]}", "PUT")
    here, there = {"storage_options": s3.options}, {"storage_options": s3_moto.options}
    both = here | {"target_options": s3_moto.options}
    with hub.array((4,), url, dtype="i4", chunks=(2,), **here) as a:
        a[:] = [1, 2, 3, 4]
    planned = hub.copy(url, url, dry_run=True, **both)
    assert planned.objects == 2
    assert not hub.exists(url, **there)
    with hub.copy(url, url, **both) as copied:
        np.testing.assert_array_equal(copied[:].compute(), [1, 2, 3, 4])
    hub.copy(url, f"{url}:v2", history=True, **both)
    hub.delete(url, **here)
    assert hub.load(f"{url}:v2", **there)[:].compute().tolist() == [1, 2, 3, 4]
    assert hub.load(url, **there)[:].compute().tolist() == [1, 2, 3, 4]
