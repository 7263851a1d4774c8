# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Arrays of Orbax checkpoints, as Flax users write them.

Read through TensorStore, which is what Orbax writes with: of Orbax itself, and of JAX,
nothing is needed, and no more than some rows are restored at a time.
"""

from __future__ import annotations

import os
from typing import Unpack

from numpy.typing import ArrayLike

from ..storage import StoredTable
from .given_keys import given_keys
from .options import TableOptions
from .orbax_metadata import Checkpoint, TreePath, is_tree_path
from .sources import PathLike
from .streams import Part, write_parts


def orbax(
    path: str | os.PathLike[str],
    checkpoint: PathLike,
    *,
    rows: TreePath,
    keys: TreePath | ArrayLike | None = None,
    **options: Unpack[TableOptions],
) -> StoredTable:
    """Write a table of an array in an Orbax checkpoint.

    Checkpoints of `StandardCheckpointer`, `PyTreeCheckpointer` and
    `CheckpointManager` are read, with OCDBT or without, zarr or zarr3, of one device or
    many. Memory holds two of the array's chunks at a time, besides what decoding them
    takes; Orbax writes one chunk for the shard of each device, unless it is given a
    `chunk_byte_size`. Keys are held.

    Args:
        path: folder of the table to write.
        checkpoint: folder of a checkpoint: what was given to `save`; or of a step of a
            `CheckpointManager`, or of an item in it. May be a `gs://`, `s3://` or
            `http://` URL of the folder that holds `_METADATA`.
        rows: where in the tree the array of shape [rows, dim] is, for example
            ("params", "embedding", "embedding"), or the same joined by dots.
        keys: where in the tree integers of shape [rows] are, or the integers
            themselves, as `create_table` takes them. None, the default: a dense table,
            where a row's key is its number.
        **options: those of `create_table`: dtype, default, key_dtype, overwrite,
            progress.

    Returns:
        The table, open.

    Raises:
        TableNotFoundError: there is no checkpoint, or no array at that place in its
            tree (names those there are).
        TableFormatError: a checkpoint of a form that is not read.
        CorruptTableError: a part of the array is damaged or missing.
        TableDataError, KeyDtypeError: shapes, lengths, dtypes, duplicate keys.
        HpsError, OSError: what else `create_table` raises; the table that was there
            before stays as it was.

    Example:
        >>> import tempfile, numpy as np, orbax.checkpoint, jax_hps as hps
        >>> folder = tempfile.mkdtemp()
        >>> params = {"params": {"embedding": np.ones((3, 4), np.float32)}}
        >>> with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        ...     checkpointer.save(f"{folder}/checkpoint", params)
        >>> with hps.ingest.orbax(
        ...     f"{folder}/user", f"{folder}/checkpoint", rows=("params", "embedding")
        ... ) as table:
        ...     table.num_rows, table.dim
        (3, 4)
    """
    opened = Checkpoint.open(checkpoint)
    array = opened.array(rows)
    found = (
        opened.held(keys)
        if is_tree_path(keys)
        else given_keys(keys, options.get("key_dtype"))
    )
    return write_parts(path, [Part(array, found)], options, multiple=array.chunk_rows)
