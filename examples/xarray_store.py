"""A version in xarray and zarr: label its axes, compute lazily, write results back."""

import dask.array as da
import numpy as np
import xarray as xr
import zarr

import hubzarr as hub


def main() -> None:
    days = np.arange("2026-01-01", "2027-01-01", dtype="datetime64[D]")
    stored = hub.array((365, 20, 40), "examples/weather", dtype="float32", chunks=(73, 20, 40),
                       dimension_names=("day", "lat", "lon"), attributes={"units": "degC"},
                       overwrite=True)  # fmt: skip
    stored[...] = np.random.default_rng(0).normal(10, 5, stored.shape)
    stored.commit("one year of noise")

    # As a lazy DataArray: dask reads the chunks of this commit when they are needed.
    weather = xr.DataArray(
        stored.to_dask(),
        dims=stored.dimension_names,
        coords={"day": days.astype("datetime64[ns]")},
        attrs=dict(stored.attributes),
    )
    monthly = weather.resample(day="1ME").mean()
    print("months:", monthly.sizes["day"], weather.attrs)

    # And back: any dask array becomes a named array in one commit.
    result = hub.from_dask(da.asarray(monthly.data), "examples/weather-monthly", overwrite=True)
    print(repr(result), result.mean())

    # A whole dataset, with one history for all of its arrays.
    store = hub.store("examples/weather-dataset")
    xr.Dataset({"t": weather[:31].compute()}).to_zarr(store, mode="w", consolidated=False)
    print(store.session.commit("January").changes.keys())
    january = xr.open_zarr(hub.store("examples/weather-dataset", mode="r"), consolidated=False)
    print(january.sizes)

    # Any version is a Zarr store, too, for everything that reads Zarr.
    plain = zarr.open_array(stored.store, mode="r")
    print(plain.metadata.dimension_names, plain[0, 0, :3])


if __name__ == "__main__":
    main()
