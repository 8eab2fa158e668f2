"""`batches`, `pytorch`, `tensorflow` and `jax`, as methods of whatever has samples."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hubzarr.loaders.frameworks import module_for
from hubzarr.loaders.loader import Loader
from hubzarr.loaders.options import checked
from hubzarr.loaders.source import Source

__all__ = ["Loading"]


class Loading:
    """Samples for training, batch by batch."""

    __slots__ = ()

    @abstractmethod
    def _source(self) -> Source:
        """What loaders read, at the commit of this moment."""

    def batches(
        self,
        batch_size: int | None = 32,
        *,
        tensors: Sequence[str] | None = None,
        shuffle: bool | str = False,
        seed: int = 0,
        window: int | None = None,
        drop_last: bool = False,
        pad: bool = False,
        ragged: str | Mapping[str, str] = "stack",
        fill: Any = 0,
        transform: Callable[[Any], Any] | Mapping[str, Callable[[Any], Any]] | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
        decode: bool | Mapping[str, bool] = True,
        return_index: bool = False,
        form: str = "dict",
        on_error: str = "raise",
        prefetch: int = 2,
        rank: int = 0,
        world_size: int = 1,
    ) -> Loader:
        """Go through the samples in NumPy batches.

        The loader stays on the commit of this moment, whatever is written later.

        Parameters
        ----------
        batch_size : int, optional
            Samples in a batch; None: samples one by one, without a batch axis.
        tensors : sequence of str, optional
            What to load; all tensors by default.
        shuffle : bool or {"window", "full"}
            True and ``"window"``: stretches of neighbouring samples in random order, mixed in a
            window, so that the store is read in large pieces. ``"full"``: any sample anywhere,
            at the cost of reading small pieces.
        seed : int
            Decides the order, together with the number of the epoch.
        window : int, optional
            Samples that are mixed at a time; by default as many as 64 MiB hold as stored. If
            it holds all samples, the shuffle is a full one.
        drop_last : bool
            Leave out the last step if it is not full.
        pad : bool
            Fill the last step up with samples from the beginning of the order.
        ragged : {"stack", "pad", "list", "nested"} or mapping
            How samples that may differ in shape make a batch, for all tensors or by name. To
            ``"stack"`` ones that do differ is an error.
        fill : scalar or mapping
            What pads them.
        transform : callable or mapping, optional
            A function from a sample (a dict, or the value of a single array) to another, or
            functions of a tensor's samples by name. It is called in several threads.
        collate : callable, optional
            A function that makes a batch of a list of samples, in place of `ragged`, `fill` and
            the usual way: samples are as `transform` gave them, in the form of a batch.
        decode : bool or mapping
            False: the stored bytes of samples that are kept one by one, such as images.
        return_index : bool
            Add ``"index"``: numbers of the rows in the dataset.
        form : {"dict", "tuple"}
            Of a batch.
        on_error : {"raise", "skip", "replace"}
            What happens to samples that can't be decoded or transformed. `Loader.skipped`
            lists them.
        prefetch : int
            Batches that are made ahead, in a thread; 0: none.
        rank, world_size : int
            Which of so many readers this one is; together they get each sample once.

        Returns
        -------
        Loader

        Raises
        ------
        InvalidError, InvalidTypeError, NotFoundError
            An argument is wrong.

        Examples
        --------
        >>> import hubzarr as hub
        >>> ds = hub.empty("examples/batches")
        >>> ds.create_tensor("x").extend([[1, 2], [3, 4], [5, 6]])
        >>> ds.create_tensor("label", htype="text").extend(["a", "b", "c"])
        >>> for batch in ds.batches(2):
        ...     print(batch["x"].shape, batch["label"])
        (2, 2) ['a', 'b']
        (1, 2) ['c']
        """
        given = {key: value for key, value in locals().items() if key != "self"}
        source = self._source()
        return Loader(source, checked(source, given))

    def pytorch(self, batch_size: int | None = 32, **options: Any) -> Any:
        """Go through the samples in batches of PyTorch tensors.

        Parameters
        ----------
        batch_size : int, optional
            As for `batches`.
        num_workers : int
            Processes that make batches. 0, the default: threads of this process, which is
            quickest unless a transform spends its time in Python. Batches are the same for any
            number. `prefetch` is for each.
        worker_init_fn : callable, optional
            Called in each worker with its number.
        device : str or torch.device, optional
            Where tensors go; on a GPU, copies overlap with the training step.
        pin_memory : bool
            Make batches in memory that a GPU copies from quickly; implied by a GPU as `device`.
        multiprocessing_context : str, optional
            How workers start: "fork", "spawn" or "forkserver"; PyTorch's default otherwise.
        rank, world_size : int, optional
            By default those of ``torch.distributed``, or of the environment that torchrun sets,
            when a loop begins.
        **options
            All others of `batches`.

        Returns
        -------
        hubzarr.loaders.torch.TorchLoader

        Raises
        ------
        UnsupportedError
            PyTorch is not installed.
        """
        return module_for("torch").load(self._source(), {"batch_size": batch_size, **options})

    def tensorflow(self, batch_size: int | None = 32, **options: Any) -> Any:
        """Go through the samples as a ``tf.data.Dataset``.

        Parameters
        ----------
        batch_size : int, optional
            As for `batches`; None: samples one by one.
        output_signature : dict of tf.TypeSpec, optional
            Types of tensors by name, where they are not those of the tensor, or of the first
            sample after a transform.
        state : mapping, optional
            Where to go on, from ``dataset.hub_loader.state_dict()``.
        **options
            All others of `batches`.

        Returns
        -------
        tf.data.Dataset
            Each iteration over it is one epoch. ``dataset.hub_loader`` is the loader behind it.

        Raises
        ------
        UnsupportedError
            TensorFlow is not installed.
        """
        return module_for("tensorflow").load(self._source(), {"batch_size": batch_size, **options})

    def jax(self, batch_size: int | None = 32, **options: Any) -> Any:
        """Go through the samples in batches for JAX.

        Parameters
        ----------
        batch_size : int, optional
            As for `batches`.
        device : jax.Device or jax.sharding.Sharding, optional
            Where arrays go; NumPy batches, which JAX takes as they are, otherwise.
        rank, world_size : int, optional
            By default those of JAX's processes, once ``jax.distributed`` is initialised.
        **options
            All others of `batches`.

        Returns
        -------
        hubzarr.loaders.jax.JaxLoader

        Raises
        ------
        UnsupportedError
            JAX is not installed.
        """
        return module_for("jax").load(self._source(), {"batch_size": batch_size, **options})
